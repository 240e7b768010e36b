"""A file from the web is whole and what its sum says, or it is not there; a part goes on."""

from __future__ import annotations

import errno
import hashlib
import http.client
import io
import json
import os
import socket
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request

import pytest

from engines import downloads
from engines.downloads import TRIES
from engines.errors import DownloadError
from tests.doubles.web import Web, serving

CONTENT = bytes(range(256)) * 8
OTHER = bytes(reversed(CONTENT))
SUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    with serving(monkeypatch) as web:
        web.files["/f"] = CONTENT
        yield web


class Waits(list[float]):
    """Instead of waiting: how long each wait would have been."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def fetch(web: Web, path: Path, sha256: str = "", url: str = "") -> list[tuple[int, int | None]]:
    """What was reported."""
    told: list[tuple[int, int | None]] = []
    downloads.fetch(
        url or f"{web.url}/f", path, lambda have, total: told.append((have, total)), sha256, Waits()
    )
    return told


def stopped_after(web: Web, path: Path, count: int, sha256: str = "") -> None:
    """An earlier run that got so far, and never any further."""
    web.cuts["/f"] = [count]
    web.refusals["/f"] = []

    def killed(have: int, total: int | None) -> None:
        if have >= count:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        downloads.fetch(f"{web.url}/f", path, killed, sha256)
    web.cuts.clear()
    assert not path.exists()


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def ranges(web: Web) -> list[str]:
    return [wanted for _, wanted in web.asked]


def test_a_file_comes_whole_and_alone(web: Web, tmp_path: Path) -> None:
    told = fetch(web, tmp_path / "new" / "f", SUM)
    assert (tmp_path / "new" / "f").read_bytes() == CONTENT
    assert left_in(tmp_path / "new") == {"f"}
    assert told[0] == (0, len(CONTENT)) and told[-1] == (len(CONTENT), len(CONTENT))


def test_what_is_there_and_right_is_not_asked_for_again(web: Web, tmp_path: Path) -> None:
    fetch(web, tmp_path / "f", SUM)
    fetch(web, tmp_path / "f", SUM)
    fetch(web, tmp_path / "f")
    assert len(web.asked) == 1


def test_what_is_there_and_wrong_is_replaced(web: Web, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(OTHER)
    fetch(web, tmp_path / "f", SUM)
    assert (tmp_path / "f").read_bytes() == CONTENT


@pytest.mark.parametrize("validator", ["etag", "date"])
def test_a_cut_is_gone_on_with_in_the_same_run(web: Web, tmp_path: Path, validator: Any) -> None:
    web.validator = validator
    web.cuts["/f"] = [100, 200]
    told = fetch(web, tmp_path / "f")
    assert ranges(web) == ["", "bytes=100-", "bytes=300-"]
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_a_later_run_goes_on_where_an_interrupted_one_stopped(web: Web, tmp_path: Path) -> None:
    stopped_after(web, tmp_path / "f", 700)
    assert (tmp_path / "f.part").read_bytes() == CONTENT[:700]
    told = fetch(web, tmp_path / "f")
    assert ranges(web) == ["", "bytes=700-"]
    assert told[0] == (700, len(CONTENT))
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert left_in(tmp_path) == {"f"}


def test_a_server_without_ranges_sends_all_of_it_again(web: Web, tmp_path: Path) -> None:
    stopped_after(web, tmp_path / "f", 700)
    web.ranges = False
    fetch(web, tmp_path / "f")
    assert ranges(web) == ["", "bytes=700-"]
    assert (tmp_path / "f").read_bytes() == CONTENT


@pytest.mark.parametrize("conditions", [True, False], ids=["If-Range", "If-Range ignored"])
@pytest.mark.parametrize("changed", [OTHER, OTHER + b"!"], ids=["same length", "longer"])
def test_a_file_that_changed_meanwhile_begins_anew(
    web: Web, tmp_path: Path, conditions: bool, changed: bytes
) -> None:
    stopped_after(web, tmp_path / "f", 700)
    web.files["/f"], web.conditions = changed, conditions
    fetch(web, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == changed
    assert left_in(tmp_path) == {"f"}
    assert ranges(web) == ["", "bytes=700-"] + ([] if conditions else [""])


def test_a_file_that_became_shorter_than_the_part_begins_anew(web: Web, tmp_path: Path) -> None:
    stopped_after(web, tmp_path / "f", 700)
    web.files["/f"], web.conditions = b"short", False
    fetch(web, tmp_path / "f")
    assert ranges(web) == ["", "bytes=700-", ""]
    assert (tmp_path / "f").read_bytes() == b"short"


def test_a_range_that_begins_elsewhere_is_not_put_at_the_end(web: Web, tmp_path: Path) -> None:
    stopped_after(web, tmp_path / "f", 700)
    web.begins = 600
    fetch(web, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == CONTENT


@pytest.mark.parametrize("validator", ["weak etag", "none"])
def test_a_part_that_nothing_vouches_for_is_not_gone_on_with(
    web: Web, tmp_path: Path, validator: Any
) -> None:
    web.validator = validator
    stopped_after(web, tmp_path / "f", 700)
    fetch(web, tmp_path / "f")
    assert ranges(web) == ["", ""]
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_known_sum_vouches_for_a_part(web: Web, tmp_path: Path) -> None:
    web.validator = "none"
    stopped_after(web, tmp_path / "f", 700, SUM)
    fetch(web, tmp_path / "f", SUM)
    assert ranges(web) == ["", "bytes=700-"]
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_part_from_another_address_is_not_gone_on_with(web: Web, tmp_path: Path) -> None:
    stopped_after(web, tmp_path / "f", 700)
    web.files["/mirror"] = CONTENT
    fetch(web, tmp_path / "f", url=f"{web.url}/mirror")
    assert web.asked[-1] == ("/mirror", "")


@pytest.mark.parametrize("note", [None, "", "{}", "[]", '{"url": 1}'])
def test_a_part_without_a_readable_note_is_not_gone_on_with(
    web: Web, tmp_path: Path, note: str | None
) -> None:
    (tmp_path / "f.part").write_bytes(b"who knows")
    if note is not None:
        (tmp_path / "f.part.json").write_text(note)
    fetch(web, tmp_path / "f")
    assert ranges(web) == [""]
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_part_that_is_whole_needs_no_server(web: Web, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(CONTENT)
    note = {"url": f"{web.url}/f", "validator": '"x"', "total": len(CONTENT)}
    (tmp_path / "f.part.json").write_text(json.dumps(note))
    fetch(web, tmp_path / "f")
    assert not web.asked
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_wrong_sum_is_one_line_and_nothing_is_kept(web: Web, tmp_path: Path) -> None:
    web.files["/f"] = OTHER
    with pytest.raises(DownloadError, match=f"/f: sha256 is .*, must be {SUM}; .*--from") as caught:
        fetch(web, tmp_path / "f", SUM)
    assert "\n" not in str(caught.value)
    assert not left_in(tmp_path)


def test_a_line_that_brings_nothing_is_given_up_and_what_came_is_kept(
    web: Web, tmp_path: Path
) -> None:
    web.cuts["/f"] = [700] + [0] * 10
    waits = Waits()
    with pytest.raises(
        DownloadError, match=r"broke off after 700 of 2048 .*\(700 bytes\) is kept: run the same"
    ):
        downloads.fetch(f"{web.url}/f", tmp_path / "f", lambda *_: None, pause=waits)
    assert waits == [2.0**n for n in range(TRIES - 1)]
    assert left_in(tmp_path) == {"f.part", "f.part.json"}


def test_a_line_that_brings_a_little_each_time_is_not_given_up(web: Web, tmp_path: Path) -> None:
    web.cuts["/f"] = [100] * (2 * TRIES)
    fetch(web, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(web: Web, tmp_path: Path) -> None:
    web.refusals["/f"] = [503, 429, 500]
    fetch(web, tmp_path / "f")
    assert len(web.asked) == TRIES
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_refusal_is_final(web: Web, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"/none: cannot be had \(Not Found\): try again, or"):
        fetch(web, tmp_path / "f", url=f"{web.url}/none")
    assert len(web.asked) == 1
    assert not left_in(tmp_path)


def test_a_server_that_is_not_there_is_named(web: Web, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/f"
    with pytest.raises(DownloadError, match="/f: cannot be had .*refused.*--from DIR"):
        fetch(web, tmp_path / "f", url=url)


def test_an_unknown_length_is_reported_as_such(web: Web, tmp_path: Path) -> None:
    web.lengths = False
    told = fetch(web, tmp_path / "f")
    assert told[-1] == (len(CONTENT), None)
    assert (tmp_path / "f").read_bytes() == CONTENT


class FullDisk(io.FileIO):
    """Takes the first bytes, then has no room."""

    room = 300

    def write(self, block: Any) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = super().write(bytes(block)[: self.room])
        self.room -= taken
        return taken


def test_a_full_disk_is_one_line_and_the_part_goes_on(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_after(web, tmp_path / "f", 700)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda self, mode="r", **_: FullDisk(str(self), mode))
        with pytest.raises(DownloadError, match=r"f\.part: the disk is full: free .* goes on"):
            fetch(web, tmp_path / "f")
    fetch(web, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert ranges(web) == ["", "bytes=700-", "bytes=1000-"]


def test_a_folder_that_cannot_be_is_named(web: Web, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError, match=r"file/f: cannot be written \(.*\): it must be in a"):
        fetch(web, tmp_path / "file" / "f")


def test_the_proxy_of_the_environment_is_used(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", web.url)
    fetch(web, tmp_path / "f", url="http://models.invalid/f")
    assert web.asked == [("http://models.invalid/f", "")]
    monkeypatch.setenv("NO_PROXY", "models.invalid")
    with pytest.raises(DownloadError, match="cannot be had"):
        fetch(web, tmp_path / "g", url="http://models.invalid/f")


def test_the_proxy_for_encrypted_lines_is_used_too(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", web.url)
    with pytest.raises(DownloadError, match=r"cannot be had \(Tunnel connection failed: 403"):
        fetch(web, tmp_path / "f", url="https://models.invalid/f")
    assert web.asked[0] == ("CONNECT models.invalid:443", "")


@pytest.mark.parametrize(
    "url", ["f", "ftp:f", "http:///f", "http://a..b/f", "http://[::1/f", "http://127.0.0.1:x/f"]
)
def test_an_address_that_is_none_is_one_line_at_once(web: Web, tmp_path: Path, url: str) -> None:
    waits = Waits()
    with pytest.raises(DownloadError, match="cannot be had") as caught:
        downloads.fetch(url, tmp_path / "f", lambda *_: None, pause=waits)
    assert "\n" not in str(caught.value)
    assert not waits


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_and_the_range_with_it(
    web: Web, tmp_path: Path, status: int
) -> None:
    web.moved["/old"] = status, f"{web.url}/f"
    web.cuts["/f"] = [100]
    fetch(web, tmp_path / "f", url=f"{web.url}/old")
    assert web.asked[-1] == ("/f", "bytes=100-")
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_redirect_out_of_encryption_is_refused() -> None:
    handler = downloads._Redirects()
    request, answer = Request("https://models.invalid/f"), (None, 302, "Found", Message())
    assert handler.redirect_request(request, *answer, "https://cdn.invalid/f") is not None
    with pytest.raises(URLError, match="not encrypted"):
        handler.redirect_request(request, *answer, "http://cdn.invalid/f")


def test_a_small_file_is_got_after_a_cut_and_a_busy_answer(web: Web) -> None:
    web.cuts["/f"], web.refusals["/f"] = [3], [503]
    assert downloads.get(f"{web.url}/f", Waits()) == CONTENT
    assert len(web.asked) == 3


def test_a_small_file_that_never_comes_whole_is_refused(web: Web) -> None:
    web.cuts["/f"] = [3] * TRIES
    with pytest.raises(DownloadError, match=r"/f: cannot be had .*IncompleteRead.*try again"):
        downloads.get(f"{web.url}/f", Waits())


def test_forgetting_leaves_nothing(web: Web, tmp_path: Path) -> None:
    stopped_after(web, tmp_path / "f", 700)
    (tmp_path / "f").touch()
    downloads.forget(tmp_path / "f")
    assert not left_in(tmp_path)


def test_a_write_in_one_move_leaves_what_was_there_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads.place(tmp_path / "f", b"older")

    def fill_the_disk(self: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fill_the_disk)
    with pytest.raises(DownloadError, match="the disk is full"):
        downloads.place(tmp_path / "f", b"newer")
    assert (tmp_path / "f").read_bytes() == b"older"
    assert left_in(tmp_path) == {"f"}


def test_a_broken_answer_is_no_trace(tmp_path: Path, web: Web, monkeypatch: Any) -> None:
    def garbled(*_: Any, **__: Any) -> Any:
        raise http.client.BadStatusLine("garbage")

    monkeypatch.setattr(downloads, "_open", garbled)
    with pytest.raises(DownloadError, match="cannot be had .*garbage"):
        fetch(web, tmp_path / "f")
