"""The models that a user got: where they are, and whether they are still what was got.

    $XDG_DATA_HOME/reenactd/models/liveportrait/{lock.json, motion.safetensors, ...}

A published file is checked, converted, and removed; `lock.json` keeps its sha256 and those of what
it became. A sum that this release does not know is taken from the first file that loads as the
networks it must hold, and binds from then on. Weights that ship with reenactd: see `weights.py`.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from engines import downloads
from engines.catalogue import Model, Published
from engines.downloads import writing
from engines.errors import BackendError, DownloadError, WeightsError
from engines.nets.liveportrait.sizes import Sizes
from engines.weights import sha256_of

LOCK = "lock.json"
_BUSY = ".busy"

Convert = Callable[[Path, str, Mapping[str, Path], Sizes], None]


@dataclass(frozen=True, slots=True)
class Pin:
    """What was got as one published file."""

    origin: str
    """URL, or path of a copy"""
    sha256: str
    """of the published file"""
    kept: dict[str, str]
    """name of a file that it became -> sha256"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One file of weights, looked at."""

    path: Path
    problem: str = ""
    """path, what is wrong, and the fix; empty if the file is what it must be"""

    @property
    def missing(self) -> bool:
        return not self.path.exists()


def default_root() -> Path:
    """XDG Base Directory Specification."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "reenactd" / "models"


def converter() -> Convert:
    """
    Raises:
        BackendError: PyTorch or safetensors is not here.
    """
    try:
        from engines.nets.liveportrait.convert import convert
    except ImportError as error:
        raise BackendError(
            f"PyTorch and safetensors check and convert models, and cannot be imported ({error}); "
            "pip install 'reenactd[gpu]', or without a GPU: pip install torch safetensors"
        ) from None
    return convert


@dataclass(frozen=True, slots=True)
class Store:
    """One model's folder."""

    model: Model
    root: Path

    @property
    def folder(self) -> Path:
        return self.root / self.model.name

    def examine(self) -> list[Finding]:
        """Look at every kept file, sums included.

        Raises:
            WeightsError: the lock cannot be read.
        """
        pins = self.read_lock()
        return [found for file in self.model.files for found in self._look(file, pins)]

    def missing(self) -> list[Published]:
        """Published files of which something is not here, or not as it was got.

        Raises:
            WeightsError: the lock cannot be read.
        """
        pins = self.read_lock()
        return [file for file in self.model.files if any(f.problem for f in self._look(file, pins))]

    def locate(self, network: str) -> Path:
        """The checked path of one network's weights, for who loads them.

        Raises:
            WeightsError: they are missing, or not what was got.
        """
        pins, path = self.read_lock(), self._kept(network)
        file = next(file for file in self.model.files if network in file.networks)
        for finding in self._look(file, pins):
            if finding.path == path and finding.problem:
                raise WeightsError(finding.problem)
        return path

    def expected(self, file: Published) -> str:
        """The sha256 that a published file must have; empty if nobody knows.

        Raises:
            WeightsError: the lock cannot be read.
        """
        pin = self.read_lock().get(file.name)
        return file.sha256 or (pin.sha256 if pin else "")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While something is being got: two at once would write to the same part.

        Raises:
            DownloadError: somebody else is at it, or the folder cannot be written.
        """
        path = self.folder / _BUSY
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("w")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DownloadError(
                    f"{self.folder}: another `reenactd models get {self.model.name}` is at it: "
                    "wait for it, or stop it"
                ) from None
            yield

    def download(
        self,
        file: Published,
        source: str,
        report: downloads.Report,
        pause: downloads.Pause = time.sleep,
    ) -> Pin:
        """Get one file from below the URL `source`, check, convert and pin it.

        Raises:
            DownloadError: it cannot be had, its sum is another, or the disk is full; a part that
                can be gone on with is kept.
            WeightsError: it is of another model; nothing of it is kept.
            BackendError: PyTorch is not here.
        """
        url, path = f"{source.rstrip('/')}/{file.path}", self.folder / file.name
        downloads.fetch(url, path, report, self.expected(file), pause)
        try:
            return self._keep(file, path, url)
        except WeightsError:
            downloads.forget(path)
            raise

    def copy(self, file: Published, source: Path) -> Pin:
        """Take one file out of a folder of the user's, check, convert and pin it.

        Raises:
            DownloadError: the folder lacks it, its sum is another, or the disk is full.
            WeightsError: it is of another model.
            BackendError: PyTorch is not here.
        """
        path = _find(file, source)
        size = path.stat().st_size
        if file.sha256 and size != file.size:
            raise DownloadError(
                f"{path}: has {size} bytes, must have {file.size}: it is cut short or another "
                "file; use another copy"
            )
        downloads.check(_sum_of(path), self.expected(file), str(path))
        return self._keep(file, path, str(path))

    def read_lock(self) -> dict[str, Pin]:
        """Name of a published file -> what was got as it.

        Raises:
            WeightsError: it cannot be read.
        """
        path = self.folder / LOCK
        try:
            content = json.loads(path.read_text())
            return {
                name: Pin(str(pin["origin"]), str(pin["sha256"]), dict(pin["kept"]))
                for name, pin in content["files"].items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise WeightsError(
                f"{path}: no lock of a model ({reason}): remove it and {self._fix}"
            ) from None

    @property
    def _fix(self) -> str:
        return f"run `reenactd models get {self.model.name}`"

    def _kept(self, network: str) -> Path:
        return self.folder / f"{network}.safetensors"

    def _look(self, file: Published, pins: Mapping[str, Pin]) -> Iterator[Finding]:
        for network in file.networks:
            path = self._kept(network)
            wrong = _wrong(path, file, pins.get(file.name))
            yield Finding(path, f"{path}: {wrong}; {self._fix}" if wrong else "")

    def _keep(self, file: Published, path: Path, origin: str) -> Pin:
        """Convert a file whose sum is right or unknown. The lock comes last: without it, what was
        written before is nothing."""
        convert = converter()
        targets = {network: self._kept(network) for network in file.networks}
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            convert(path, origin, targets, self.model.sizes)
        kept = {target.name: sha256_of(target) for target in targets.values()}
        pin = Pin(origin, _sum_of(path), kept)
        pins = {**self.read_lock(), file.name: pin}
        files = {name: asdict(pins[name]) for name in sorted(pins)}
        content = json.dumps({"model": self.model.name, "files": files}, indent=2) + "\n"
        downloads.place(self.folder / LOCK, content.encode())
        downloads.forget(self.folder / file.name)
        return pin


def _find(file: Published, source: Path) -> Path:
    """Where a copy is: laid out as published, below `pretrained_weights`, or all in one folder."""
    places = [source / file.path, source / "pretrained_weights" / file.path, source / file.name]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise DownloadError(
            f"{source}: holds neither {file.path} nor {file.name}: use a folder that holds them"
        )
    return found


def _wrong(path: Path, file: Published, pin: Pin | None) -> str:
    """How a kept file is not what it must be; empty if it is."""
    if not path.exists():
        return "missing"
    if pin is None or path.name not in pin.kept:
        return f"{LOCK} does not say what it must be"
    if file.sha256 and file.sha256 != pin.sha256:
        return f"made from another {file.name} than this release knows"
    try:
        found = sha256_of(path)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    same = found == pin.kept[path.name]
    return "" if same else f"damaged: sha256 is {found}, {LOCK} says {pin.kept[path.name]}"


def _sum_of(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise DownloadError(
            f"{path}: cannot be read ({error.strerror or error}): use another copy"
        ) from None
