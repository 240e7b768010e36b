"""MakeHuman's files from where the public has them: single files, and one archive that resumes.

A proxy is taken from the environment (HTTPS_PROXY). Nothing is in place before its sum is right.
"""

from __future__ import annotations

import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from engines import downloads
from engines.errors import DownloadError, EngineError
from engines.training.synthetic import assets
from engines.training.synthetic.assets import AssetsError, Report


@dataclass(frozen=True, slots=True)
class Origins:
    """Where files are, and what the archive among them must be."""

    repository: str = assets.REPOSITORY_URL
    pack: str = assets.PACK_URL
    pack_sha256: str = assets.PACK_SHA256


PUBLIC = Origins()


def download(
    folder: Path,
    report: Report,
    origins: Origins = PUBLIC,
    sums: dict[str, str] = assets.SUMS,
    pause: downloads.Pause = time.sleep,
) -> None:
    """Get what is missing in `folder`; run again to go on after an error.

    Raises:
        DownloadError: a place does not answer, breaks off, or has another file.
        AssetsError: the pack lacks a file.
    """
    names = assets.missing(folder, sums)
    for name in names:
        if assets.in_repository(name):
            url = f"{origins.repository}/{name}"
            content = downloads.get(url, pause)
            assets.check(content, sums[name], url)
            downloads.place(folder / name, content)
            report(name)
    rest = [name for name in names if not assets.in_repository(name)]
    if rest:
        archive = folder / "pack.zip"

        def tell(have: int, total: int | None) -> None:
            of = "" if total is None else f" of {total >> 20}"
            report(f"{archive.name}.part {have >> 20}{of} MiB")

        downloads.fetch(origins.pack, archive, tell, origins.pack_sha256, pause)
        unpack(archive, folder, {name: sums[name] for name in rest}, report)
        archive.unlink()


def unpack(archive: Path, folder: Path, sums: dict[str, str], report: Report) -> None:
    """Take files out of the verified pack: the member of that name and that sum.

    Raises:
        AssetsError: there is no such member.
        DownloadError: there is, with another sum, or it cannot be written.
    """
    with zipfile.ZipFile(archive) as opened:
        for name, digest in sums.items():
            found = assets.unpacked_name(name)
            content = _member(opened, Path(found).name, "" if found != name else digest)
            downloads.place(folder / found, content)
            if found != name:
                assets.note_unpacked(folder, found, content)
            report(found)


def _member(opened: zipfile.ZipFile, file_name: str, digest: str) -> bytes:
    """Content of the member with that last name, and that sum where one is given."""
    problem: EngineError | None = None
    for member in opened.namelist():
        if member.rsplit("/", 1)[-1] == file_name:
            content = opened.read(member)
            try:
                if digest:
                    assets.check(content, digest, f"{opened.filename}: {member}")
                return content
            except DownloadError as error:
                problem = error
    raise problem or AssetsError(f"{opened.filename}: holds no {file_name}: use --from DIR")
