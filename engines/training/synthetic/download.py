"""MakeHuman's files from where the public has them: single files, and one archive that resumes.

A proxy is taken from the environment (HTTPS_PROXY). Nothing is in place before its sum is right.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, build_opener

from engines.training.synthetic import assets
from engines.training.synthetic.assets import AssetsError, Report
from engines.weights import sha256_of

_TIMEOUT_S = 30
_BLOCK = 1 << 20


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
) -> None:
    """Get what is missing in `folder`; run again to go on after an error.

    Raises:
        AssetsError: a place does not answer, breaks off, or has another file.
    """
    names = assets.missing(folder, sums)
    for name in names:
        if assets.in_repository(name):
            url = f"{origins.repository}/{name}"
            content = _get(url)
            assets.check(content, sums[name], url)
            assets.place(folder / name, content)
            report(name)
    rest = [name for name in names if not assets.in_repository(name)]
    if rest:
        archive = folder / "pack.zip.part"
        resume(origins.pack, archive, report)
        _check_pack(archive, origins.pack, origins.pack_sha256)
        unpack(archive, folder, {name: sums[name] for name in rest}, report)
        archive.unlink()


def resume(url: str, path: Path, report: Report) -> None:
    """Download to `path`, going on where an earlier try stopped.

    Raises:
        AssetsError: no answer, or fewer bytes than announced; what came is kept for the next try.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    have = path.stat().st_size if path.exists() else 0
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with _open(request) as response:
            have = have if response.status == 206 else 0
            total = have + int(response.headers.get("Content-Length", 0))
            with path.open("ab" if have else "wb") as file:
                while block := response.read(_BLOCK):
                    file.write(block)
                    have += len(block)
                    report(f"{path.name} {have >> 20} of {total >> 20} MiB")
    except HTTPError as error:
        if error.code != 416:  # nothing is left to send: the file is whole
            raise _unreachable(url, error) from None
    except (OSError, HTTPException) as error:
        raise _unreachable(url, error) from None
    else:
        if have < total:
            raise AssetsError(
                f"{url}: broke off after {have} of {total} bytes: run the same command again, "
                "it goes on there"
            )


def unpack(archive: Path, folder: Path, sums: dict[str, str], report: Report) -> None:
    """Take files out of the verified pack: the member of that name and that sum.

    Raises:
        AssetsError: there is no such member.
    """
    with zipfile.ZipFile(archive) as opened:
        for name, digest in sums.items():
            found = assets.unpacked_name(name)
            content = _member(opened, Path(found).name, "" if found != name else digest)
            assets.place(folder / found, content)
            if found != name:
                assets.note_unpacked(folder, found, content)
            report(found)


def _member(opened: zipfile.ZipFile, file_name: str, digest: str) -> bytes:
    """Content of the member with that last name, and that sum where one is given."""
    problem: AssetsError | None = None
    for member in opened.namelist():
        if member.rsplit("/", 1)[-1] == file_name:
            content = opened.read(member)
            try:
                if digest:
                    assets.check(content, digest, f"{opened.filename}: {member}")
                return content
            except AssetsError as error:
                problem = error
    raise problem or AssetsError(f"{opened.filename}: holds no {file_name}: use --from DIR")


def _check_pack(archive: Path, url: str, digest: str) -> None:
    found = sha256_of(archive)
    if found != digest:
        archive.unlink()
        raise AssetsError(
            f"{url}: sha256 is {found}, must be {digest}; it was damaged on the way or is a new "
            "version: try again, or use --from DIR"
        )


def _get(url: str) -> bytes:
    try:
        with _open(Request(url)) as response:
            return bytes(response.read())
    except (OSError, HTTPException) as error:
        raise _unreachable(url, error) from None


def _open(request: Request) -> Any:
    """The answer. The proxy is what the environment says now; `urlopen` asks it once for ever."""
    return build_opener().open(request, timeout=_TIMEOUT_S)


def _unreachable(url: str, error: Exception) -> AssetsError:
    reason = error.reason if isinstance(error, URLError) else error
    return AssetsError(f"{url}: cannot be had ({reason}): try again, or use --from DIR")
