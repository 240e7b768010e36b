"""MakeHuman's files: which are needed, what they must be, and where they come from.

Licence: CC0 1.0, since September 2020 (the files' own headers, and LICENSE.ASSETS.md of
https://github.com/makehumancommunity/makehuman). They are never committed here: `fetch` gets them.

`assets.sha256` names every file. Its sums were taken from the copy that this generator was
written with. 25 of them were compared with what other projects published of the same sources, and
all agree: base mesh, eyes and 11 targets with the commit below, four hairstyles with the pack.
Nothing was downloaded from either place yet: there was no internet. Skins are JPEG in that copy and
PNG in the pack, where a PNG is vouched for by the pack's sum; the two differ a little in colour.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

from engines import downloads
from engines.errors import EngineError
from engines.weights import sha256_of

COMMIT = "a8bc2d54ff0ac92e78ff71431b1023eda42bf482"
REPOSITORY_URL = (
    f"https://raw.githubusercontent.com/makehumancommunity/makehuman/{COMMIT}/makehuman/data"
)
PACK_URL = (
    "https://files2.makehumancommunity.org/asset_packs/makehuman_system_assets/"
    "makehuman_system_assets_cc0.zip"
)
PACK_SHA256 = "b542127a8e25547c7c29c19f2d1d2adb9a664c80396ecd694095dbc8028a0107"
"""as several public projects record it; 267 MiB"""
_IN_REPOSITORY = (
    "3dobjs/",
    "eyes/high-poly/",
    "eyes/materials/brown_eye.png",
    "poseunits/",
    "rigs/",
    "targets/",
)
"""beginnings of the paths that the repository has; the rest is in the pack"""
_RECEIPT = "skins.sha256"
"""sums of the skins that came out of the pack, written when they were unpacked"""

Report = Callable[[str], None]
"""told each path that is in place"""


class AssetsError(EngineError):
    """A file of MakeHuman is missing or damaged, or a copy or the pack lacks it."""


def read_sums(path: Path) -> dict[str, str]:
    """Path -> sha256, from a file as `sha256sum` writes it."""
    lines = (line.split("  ", 1) for line in path.read_text().splitlines())
    return {name: digest for digest, name in lines}


SUMS = read_sums(Path(__file__).with_name("assets.sha256"))
"""path -> sha256 of all files needed"""


def in_repository(name: str) -> bool:
    return name.startswith(_IN_REPOSITORY)


def missing(folder: Path, sums: dict[str, str] = SUMS) -> list[str]:
    """Paths of the table that `folder` lacks or has otherwise than the table says."""
    receipt = folder / _RECEIPT
    unpacked = read_sums(receipt) if receipt.exists() else {}
    return [
        name
        for name, digest in sums.items()
        if not _is(folder / name, digest)
        and not _is(folder / unpacked_name(name), unpacked.get(unpacked_name(name), ""))
    ]


def verify(folder: Path, sums: dict[str, str] = SUMS) -> None:
    """
    Raises:
        AssetsError: a file is missing, or is not what the table says.
    """
    names = missing(folder, sums)
    if names:
        state = "damaged" if (folder / names[0]).exists() else "missing"
        raise AssetsError(
            f"{folder / names[0]}: {state} ({len(names)} of {len(sums)} files are not as "
            "assets.sha256 says): run `python -m engines.training.synthetic fetch --assets DIR`"
        )


def unpacked_name(name: str) -> str:
    """What a file is called when it comes from the pack: skins are PNG there."""
    skin = name.startswith("skins/")
    return str(Path(name).with_suffix(".png")) if skin else name


def copy(source: Path, folder: Path, report: Report, sums: dict[str, str] = SUMS) -> None:
    """Take what is missing from `source`, a folder of the same layout; NAME.gz serves for NAME.

    Raises:
        AssetsError: `source` lacks a file.
        DownloadError: it has another one.
    """
    for name in missing(folder, sums):
        plain, packed = source / name, source / f"{name}.gz"
        if plain.exists():
            content = plain.read_bytes()
        elif packed.exists():
            content = _unzipped(packed)
        else:
            raise AssetsError(f"{plain}: missing, nor is there {packed.name}: use another copy")
        check(content, sums[name], str(plain))
        downloads.place(folder / name, content)
        report(name)


def check(content: bytes, digest: str, origin: str) -> None:
    """
    Raises:
        DownloadError: the content's sha256 is another one.
    """
    downloads.check(hashlib.sha256(content).hexdigest(), digest, origin)


def note_unpacked(folder: Path, name: str, content: bytes) -> None:
    """Remember the sum of a skin that came from the verified pack."""
    receipt = folder / _RECEIPT
    sums = read_sums(receipt) if receipt.exists() else {}
    sums[name] = hashlib.sha256(content).hexdigest()
    downloads.place(
        receipt, "".join(f"{digest}  {path}\n" for path, digest in sums.items()).encode()
    )


def _is(path: Path, digest: str) -> bool:
    return path.exists() and sha256_of(path) == digest


def _unzipped(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise AssetsError(f"{path}: not a whole gzip file ({error}): use another copy") from None
