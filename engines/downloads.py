"""Files from the web: each is whole and what its sum says, or it is not there at all.

    get(url)           a small one, held in memory
    fetch(url, path)   a large one: grows as `path.part` and goes on there after a cut or a Ctrl-C

A part is gone on with only where the whole can be trusted: its sum is known, or the server gave it
an ETag or a date, and repeats it; else it begins anew. A proxy is taken from the environment
(HTTP_PROXY, HTTPS_PROXY, NO_PROXY, as urllib reads them). Knows nothing of what is in a file.
"""

from __future__ import annotations

import errno
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from email.message import Message
from http.client import HTTPException, InvalidURL
from pathlib import Path
from ssl import SSLCertVerificationError
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from engines.errors import DownloadError
from engines.weights import sha256_of

TRIES = 4
"""one after another that bring nothing new, before it is given up"""
_BUSY = (408, 429, 500, 502, 503, 504)
"""answers of a server that may do better next time"""
_AGENT = "reenactd"
"""some servers refuse the name that urllib gives itself"""
_TIMEOUT_S = 30
_BLOCK = 1 << 18
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")

T = TypeVar("T")
Report = Callable[[int, "int | None"], None]
"""told how many bytes are there, and how many there will be if the server says so"""
Pause = Callable[[float], None]
"""waits so many seconds"""


def get(url: str, pause: Pause = time.sleep) -> bytes:
    """
    Raises:
        DownloadError: no answer, a refusal, or fewer bytes than announced.
    """

    def whole() -> bytes:
        with _open(url, {}) as response:
            return bytes(response.read())

    return _patiently(url, whole, lambda: 0, pause)


def fetch(
    url: str, path: Path, report: Report, sha256: str = "", pause: Pause = time.sleep
) -> None:
    """Have the file at `path`; what is there already, whole and right, is not asked for again.

    Args:
        sha256: what it must be; empty if nobody knows.

    Raises:
        DownloadError: no answer, a refusal, it broke off, its sum is another, or the disk is full.
            After a cut the part is kept for the next call; of a wrong file nothing is.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            if not sha256 or sha256_of(path) == sha256:
                return
            path.unlink()
    part = _Part(url, _part_of(path), bool(sha256))
    _patiently(url, lambda: part.go_on(report), part.size, pause)
    with writing(path):
        try:
            check(sha256_of(part.path), sha256, url)
        except DownloadError:
            part.discard()
            raise
        part.path.replace(path)
        part.discard()


def forget(path: Path) -> None:
    """Remove a fetched file and all that `fetch` left of it.

    Raises:
        DownloadError: it cannot be removed.
    """
    with writing(path):
        path.unlink(missing_ok=True)
        _Part("", _part_of(path), False).discard()


def check(found: str, expected: str, origin: str) -> None:
    """
    Raises:
        DownloadError: the sum is another than the expected one, if there is one.
    """
    if expected and found != expected:
        raise DownloadError(
            f"{origin}: sha256 is {found}, must be {expected}; it is damaged, cut short, or "
            "another version: try again, or use --from DIR with another copy"
        )


def place(path: Path, content: bytes) -> None:
    """Write in one move: whoever looks sees the old file, the whole new one, or none.

    Raises:
        DownloadError: it cannot be written.
    """
    part = _part_of(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Around what touches the disk.

    Raises:
        DownloadError: instead of an OSError, with what to do.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DownloadError(
                f"{path}: the disk is full: free some space and run the same command again, "
                "it goes on where it stopped"
            ) from None
        raise DownloadError(
            f"{path}: cannot be written ({error.strerror or error}): it must be in a folder that "
            "you may write to"
        ) from None


def _part_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


class _Passing(Exception):
    """It failed, and may not the next time; the text says how."""


@dataclass(frozen=True, slots=True)
class _Origin:
    """What a part is a part of. Kept beside it, so that a later process can go on."""

    url: str
    validator: str
    """what changes with the file: its ETag or its date; empty if the server says neither"""
    total: int | None
    """bytes of the whole"""


class _Part:
    """A file on its way."""

    def __init__(self, url: str, path: Path, sum_is_known: bool) -> None:
        self.path = path
        self._url = url
        self._sum_is_known = sum_is_known
        self._note = path.with_name(f"{path.name}.json")

    def size(self) -> int:
        """Bytes that need not come again."""
        return self.path.stat().st_size if self._known() else 0

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def go_on(self, report: Report) -> None:
        """
        Raises:
            _Passing, OSError, HTTPException: it may be tried again.
        """
        known, have = self._known(), self.size()
        if known and have == known.total:
            return
        headers = {"Range": f"bytes={have}-"} if have else {}
        if known and have and known.validator:
            headers["If-Range"] = known.validator
        try:
            with _open(self._url, headers) as response:
                self._take(response, known, have, report)
        except HTTPError as error:
            if error.code == 416:  # nothing lies beyond what is here, so it is no part
                self.discard()
                raise _Passing("the file there is another one now") from None
            raise

    def _known(self) -> _Origin | None:
        """What the part is of, if it can be gone on with."""
        try:
            known = _Origin(**json.loads(self._note.read_text()))
        except (OSError, ValueError, TypeError):
            return None
        trusted = self._sum_is_known or bool(known.validator)
        return known if trusted and known.url == self._url and self.path.exists() else None

    def _take(self, response: Any, known: _Origin | None, have: int, report: Report) -> None:
        origin = _Origin(self._url, _validator(response.headers), _total(response))
        if response.status == 206:
            if known is None or not _continues(response, origin, known, have):
                self.discard()
                raise _Passing("the file there is another one now")
        else:
            have = 0
            self.discard()
            place(self._note, json.dumps(asdict(origin)).encode())
        report(have, origin.total)
        with self._opened("ab" if have else "wb") as write:
            while block := response.read1(_BLOCK):
                write(block)
                have += len(block)
                report(have, origin.total)
        if origin.total is not None and have < origin.total:
            raise _Passing(f"broke off after {have} of {origin.total} bytes")

    @contextmanager
    def _opened(self, mode: str) -> Iterator[Callable[[bytes], None]]:
        """Failures of the disk become DownloadErrors here, those of the line stay what they are."""
        with writing(self.path):
            file = self.path.open(mode, buffering=0)

        def write(block: bytes) -> None:
            with writing(self.path):
                while block:
                    block = block[file.write(block) :]

        try:
            yield write
        finally:
            with writing(self.path):
                file.close()


class _Redirects(HTTPRedirectHandler):
    """As urllib follows them, and 308, which it does not know before Python 3.11."""

    http_error_308 = HTTPRedirectHandler.http_error_302

    def redirect_request(self, req: Request, *answer: Any) -> Request | None:
        new_url = str(answer[-1])
        if req.type == "https" and not new_url.startswith("https:"):
            raise URLError(f"it sends us on to {new_url}, which is not encrypted")
        code = 307 if answer[1] == 308 else answer[1]
        return super().redirect_request(req, answer[0], code, *answer[2:])


def _open(url: str, headers: Mapping[str, str]) -> Any:
    """The answer. The proxy is what the environment says now; `urlopen` asks it once for ever.

    Raises:
        OSError, HTTPException: there is none.
    """
    try:
        request = Request(url, headers={"User-Agent": _AGENT, **headers})
        return build_opener(_Redirects).open(request, timeout=_TIMEOUT_S)
    except ValueError as error:  # the URL, a redirect's, or the proxy's is malformed
        raise URLError(str(error)) from None


def _patiently(url: str, attempt: Callable[[], T], size: Callable[[], int], pause: Pause) -> T:
    """Try until it works, or until `TRIES` in a row brought nothing; wait longer each time.

    Raises:
        DownloadError: the last failure, or the first one that no repetition would mend.
    """
    failures = 0
    while True:
        before = size()
        try:
            return attempt()
        except (_Passing, OSError, HTTPException) as error:
            failures = 1 if size() > before else failures + 1
            if failures == TRIES or not _may_pass(error):
                raise _given_up(url, error, size()) from None
            pause(2.0 ** (failures - 1))


def _may_pass(error: Exception) -> bool:
    if isinstance(error, HTTPError):
        return error.code in _BUSY
    reason = error.reason if isinstance(error, URLError) else error
    return not isinstance(reason, (SSLCertVerificationError, InvalidURL, str))


def _given_up(url: str, error: Exception, kept: int) -> DownloadError:
    reason = error.reason if isinstance(error, URLError) else str(error) or type(error).__name__
    if kept:
        return DownloadError(
            f"{url}: {reason}; what came so far ({kept} bytes) is kept: run the same command "
            "again, it goes on there"
        )
    return DownloadError(f"{url}: cannot be had ({reason}): try again, or use --from DIR")


def _validator(headers: Message) -> str:
    tag = headers.get("ETag", "")
    weak = not tag or tag.startswith("W/")  # may stand for other bytes that mean the same
    return headers.get("Last-Modified", "") if weak else tag


def _total(response: Any) -> int | None:
    if response.status == 206:
        found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        return int(found[2]) if found else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _continues(response: Any, origin: _Origin, known: _Origin, have: int) -> bool:
    """Whether the answer is the rest of the file that is known, from where it stopped."""
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    same = origin.validator in ("", known.validator) and origin.total == known.total
    return found is not None and int(found[1]) == have and same
