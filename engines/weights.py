"""The weights that ship with the package: where they are, and whether they are what they claim.

Each network has a folder with its graphs, a manifest that pins their sha256, and a model card. A
file that does not match its manifest is not loaded.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from engines.errors import WeightsError

WEIGHTS_DIRECTORY = Path(__file__).with_name("weights")


@dataclass(frozen=True, slots=True)
class Manifest:
    network: str
    licence: str
    files: dict[str, str]
    """file name -> sha256, hexadecimal"""


def read_manifest(network: str, root: Path = WEIGHTS_DIRECTORY) -> Manifest:
    """
    Raises:
        WeightsError: there is none, or it cannot be read.
    """
    path = root / network / "manifest.json"
    try:
        content = json.loads(path.read_text())
        return Manifest(content["network"], content["licence"], dict(content["files"]))
    except FileNotFoundError:
        raise WeightsError(
            f"{path}: missing; no weights for {network}: reinstall reenactd"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{path}: not a weights manifest ({error}): reinstall reenactd"
        ) from None


def digest(network: str, root: Path = WEIGHTS_DIRECTORY) -> str:
    """One SHA-256 for all files of a network, as its manifest pins them.

    Raises:
        WeightsError: as of `read_manifest`.
    """
    files = read_manifest(network, root).files
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def locate(network: str, name: str, root: Path = WEIGHTS_DIRECTORY) -> Path:
    """The checked path of one file of a network.

    Raises:
        WeightsError: the file is missing, unlisted, or its sha256 is not the manifest's.
    """
    expected = read_manifest(network, root).files.get(name)
    path = root / network / name
    if expected is None:
        raise WeightsError(f"{path}: not listed in its manifest: reinstall reenactd")
    if not path.exists():
        raise WeightsError(f"{path}: missing: reinstall reenactd")
    found = sha256_of(path)
    if found != expected:
        raise WeightsError(
            f"{path}: sha256 is {found}, the manifest says {expected}; "
            "the file is damaged or was replaced: reinstall reenactd"
        )
    return path


def verify(network: str, root: Path = WEIGHTS_DIRECTORY) -> list[Path]:
    """Check every file of a network; returns their paths.

    Raises:
        WeightsError: the first file that is not as the manifest says.
    """
    return [locate(network, name, root) for name in read_manifest(network, root).files]


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
