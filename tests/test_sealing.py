"""Recordings and pictures of a session are signed, whatever happens in between; or it is said."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from realtime import c2pa_manifest, cli, drafts
from realtime.c2pa_manifest import C2paCheck, check_c2pa, unfinished
from realtime.capture_times import CaptureTimes
from realtime.clock import FakeClock
from realtime.config import Output, Recording
from realtime.drafts import Credit, is_held, note_of
from realtime.frames import Composited, OutputFrame, Timings
from realtime.records import Subject
from realtime.sealing import Sealer, Sealing
from realtime.sinks.recorder import Progress, Recorder
from realtime.sinks.snapshot import png_of
from realtime.stages.emit import Emit
from realtime.stages.mark import Mark
from realtime.watermark import Payload
from tests import performers
from tests.fakes import consent
from tests.helpers import config_with, look_in_this_process, standing, until
from tests.sinks.test_film import times_of
from tests.test_recording import performing

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("c2pa") is None, reason="needs the c2pa extra"
)
PAYLOAD = Payload(0x5EA1ED01)
SUBJECT = Subject(str(PAYLOAD), "some network", "22" * 32, {})
JUNIPER = Credit(replace(consent(), portrait_sha256="11" * 32, digest="aa" * 32), room=False)
CORAL = Credit(replace(consent(), portrait_sha256="33" * 32, digest="bb" * 32), room=False)


class Shoot:
    """A recorder that is shown marked pictures at 30 fps, as quickly as it takes them."""

    def __init__(self, directory: Path, sealer: Sealer, **settings: Any) -> None:
        self.credit = JUNIPER
        self._clock = FakeClock(10**9)
        self._shown = [_marked(shift) for shift in range(4)]
        self._count = 0
        config = Recording(directory=directory, **settings)
        made = Sealing(sealer, lambda: SUBJECT, lambda: self.credit)
        self.recorder = Recorder(config, "abc123", self._clock, CaptureTimes(0), made)

    async def go(self, pictures: int) -> None:
        for _ in range(pictures):
            made = self._shown[self._count % len(self._shown)]
            now_ns = self._clock.now_ns()
            pts = 7000 + self._count * 3000
            self.recorder.see(
                replace(made, source_seq=self._count, pts=pts, timings=Timings(now_ns))
            )
            self._count += 1
            self._clock.advance_ms(100 / 3)
            if self._count % 10 == 0:  # of more than 0.75 s that wait some are left out
                await until(lambda: self.recorder.progress.seconds > (self._count - 8) / 30)


def _marked(shift: int) -> OutputFrame:
    picture = np.ascontiguousarray(performers.pictures("performer3")[shift])
    marked = Mark(Output(), PAYLOAD)(Composited(picture))
    return Emit()(marked, 0, 0, "LIVE", Timings(0))


async def filmed(directory: Path, pictures: int = 30, **settings: Any) -> Progress:
    """One recording; what is said of it once its films are signed, or cannot be."""
    sealer = Sealer()
    sealer.start()
    shoot = Shoot(directory, sealer, **settings)
    await asyncio.wrap_future(shoot.recorder.start())
    await shoot.go(pictures)
    await shoot.recorder.close()
    await until(lambda: shoot.recorder.progress.signing == 0, 60)
    await sealer.close()
    return shoot.recorder.progress


async def left_unsigned(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A film whose process was gone before it was signed."""
    with monkeypatch.context() as patch:
        patch.setattr(Sealer, "finish", lambda self, draft, told: (draft.close(), told("")))
        said = await filmed(directory)
    film = Path(said.files[0])
    assert check_c2pa(film).state == "absent" and note_of(film).exists()
    return film


async def next_start() -> None:
    """Of a daemon, as far as films go."""
    sealer = Sealer()
    sealer.start()
    await sealer._worker.run(lambda: None)
    await sealer.close()


def started(*arguments: str, file: int | None = None) -> subprocess.Popen[bytes]:
    command, inherited = [sys.executable, *arguments], () if file is None else (file,)
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, pass_fds=inherited)


def verified(path: Path) -> tuple[int, str]:
    with pytest.MonkeyPatch.context() as patch:
        look_in_this_process(patch)
        result = CliRunner().invoke(cli.app, ["verify", str(path)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, result.output


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def flipped(path: Path, after: bytes, by: int) -> Path:
    """A copy with one bit changed, so many bytes after the last place where that stands."""
    other = path.with_stem(f"flipped-{by}")
    content = bytearray(path.read_bytes())
    content[content.rindex(after) + by] ^= 1
    other.write_bytes(content)
    return other


def stripped(film: Path) -> Path:
    """The same packets, none of the metadata."""
    bare = film.with_stem("bare")
    with av.open(str(film)) as source, av.open(str(bare), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return bare


async def test_a_recording_is_signed_and_every_tampering_shows(tmp_path: Path) -> None:
    said = await filmed(tmp_path, 100)
    film = Path(said.files[0])
    assert said.unsigned == "" and len(times_of(film)) == 100
    assert mode_of(film) == 0o600
    code, text = await asyncio.to_thread(verified, film)
    assert code == 0 and f"for session {PAYLOAD}" in text, text
    claim = check_c2pa(film).claim
    assert claim is not None and claim.picture == "generated"
    assert (claim.identity_sha256, claim.consent_sha256) == ("11" * 32, "aa" * 32)
    assert verified(flipped(film, b"mdat", 3000))[0] == 2
    assert verified(flipped(film, b"consent_sha256", 20))[0] == 2
    code, text = verified(stripped(film))
    assert code == 1 and "carries no C2PA manifest" in text, text


async def test_each_film_says_who_is_seen_in_it(tmp_path: Path) -> None:
    sealer = Sealer()
    sealer.start()
    shoot = Shoot(tmp_path, sealer, max_minutes=1 / 60)
    await asyncio.wrap_future(shoot.recorder.start())
    await shoot.go(20)
    shoot.credit = CORAL
    await shoot.go(15)
    shoot.credit = replace(CORAL, room=True)
    await shoot.go(10)
    said = await shoot.recorder.close()
    await until(lambda: shoot.recorder.progress.signing == 0, 60)
    await sealer.close()
    claims = [check_c2pa(Path(name)).claim for name in said.files]
    seen = [(one.picture, one.identity_sha256[:2], one.further) for one in claims if one]
    assert seen == [
        ("generated", "11", (("33" * 32, "bb" * 32),)),
        ("composite", "33", ()),
    ]


async def test_what_a_crash_left_is_signed_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = await left_unsigned(tmp_path / "films", monkeypatch)
    assert len(times_of(film)) == 30, "unsigned, it plays"
    await next_start()
    assert check_c2pa(film).state == "trusted" and len(times_of(film)) == 30
    assert not note_of(film).exists()


async def test_a_film_that_is_being_made_is_left_alone(tmp_path: Path) -> None:
    shoot = Shoot(tmp_path, Sealer())
    await asyncio.wrap_future(shoot.recorder.start())
    await shoot.go(40)
    film = Path(shoot.recorder.progress.files[0])
    assert is_held(film)
    await next_start()  # of another daemon of the same account
    assert check_c2pa(film).state == "absent" and is_held(film)
    await shoot.go(20)
    await shoot.recorder.close()
    assert len(times_of(film)) == 60


async def test_a_signing_that_is_killed_leaves_the_film_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = await left_unsigned(tmp_path / "films", monkeypatch)
    with film.open("r+b") as file:  # a box of its own that takes seconds to hash
        file.seek(0, 2)
        file.write((200 << 20).to_bytes(4, "big") + b"mdat")
        file.truncate(file.tell() + (200 << 20) - 8)
    before = film.stat()
    child = started("-m", "realtime.film_process", str(note_of(film)))
    await until(lambda: unfinished(film).exists() or child.poll() is not None)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    after = film.stat()
    assert (after.st_ino, after.st_size, after.st_mtime) == (
        before.st_ino,
        before.st_size,
        before.st_mtime,
    )
    assert len(times_of(film)) == 30 and unfinished(film).exists()
    await next_start()
    assert check_c2pa(film).state == "trusted" and not unfinished(film).exists()


async def test_a_full_disk_leaves_the_film_unsigned_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full = (
        "import resource, sys; from pathlib import Path; from realtime import film_process\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "print(film_process.main(Path(sys.argv[1])))"
    )
    popen = subprocess.Popen

    def other(command: list[str], **options: Any) -> Any:
        return popen([command[0], "-c", full, command[-1]], **options)

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", other)
        said = await filmed(tmp_path / "films")
    film = Path(said.files[0])
    assert said.state == "stopped" and f"{film}: the manifest cannot be written" in said.unsigned
    assert said.unsigned in caplog.text and "when the daemon next starts" in caplog.text
    assert len(times_of(film)) == 30 and sorted(film.parent.iterdir()) == [film]
    await next_start()
    assert check_c2pa(film).state == "trusted"


async def test_a_note_that_cannot_be_written_is_said_and_the_film_goes_on(tmp_path: Path) -> None:
    notes = note_of(tmp_path / "x.mp4").parent
    notes.parent.mkdir(parents=True)
    notes.write_text("no folder")
    said = await filmed(tmp_path / "films")
    assert said.state == "stopped" and "unsigned" in said.unsigned
    assert len(times_of(Path(said.files[0]))) == 30


async def test_a_film_that_was_taken_away_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = await left_unsigned(tmp_path / "films", monkeypatch)
    elsewhere = Path(shutil.move(film, tmp_path / "mine.mp4"))
    await next_start()
    assert not film.exists() and not note_of(film).exists()
    assert check_c2pa(elsewhere).state == "absent"
    note_of(film).write_text("{")
    await next_start()
    assert not note_of(film).exists(), "nor does a damaged note stay"


async def test_without_the_extra_films_and_pictures_stay_unsigned_and_it_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(c2pa_manifest, "is_installed", lambda: False)
    said = await filmed(tmp_path / "films", 70, max_minutes=1 / 60)
    assert len(said.files) > 1 and "pip install 'reenactd[c2pa]'" in said.unsigned
    assert caplog.text.count("pip install") == 1
    assert not list(drafts._directory().glob("*"))
    sealer, png = Sealer(), png_of(_marked(0))
    for _ in range(2):
        assert sealer.picture(png, JUNIPER, lambda: SUBJECT) == png
    assert caplog.text.count("pip install") == 2


async def test_a_session_says_what_becomes_of_its_film_and_its_picture_is_signed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "realtime.sealing")
    config = config_with(recording={"directory": tmp_path / "films"}, server={"max_sessions": 2})
    async with standing(config) as stand:
        performer, session = await performing(stand)
        mark = performer.stat("mark")
        path = f"{session}/recording"
        await stand.http.post(path)
        await until(lambda: (performer.stat("recording") or {"seconds": 0})["seconds"] > 0.5)
        said = (await stand.http.delete(path)).json()
        assert said["signing"] == 1 and said["unsigned"] == ""
        while said["signing"]:
            await asyncio.sleep(0.05)
            said = (await stand.http.get(path)).json()
        assert said["unsigned"] == ""
        assert _session(check_c2pa(Path(said["files"][0]))) == mark
        answer = await stand.http.get(f"{session}/snapshot")
        picture = kept(tmp_path / "picture.png", answer.content)
        assert _session(check_c2pa(picture)) == mark
        assert check_c2pa(flipped(picture, b"IDAT", 200)).state == "invalid"
        await performer.close()
    assert "is signed (C2PA)" in caplog.text


def _session(check: C2paCheck) -> str:
    assert check.state == "trusted" and check.claim is not None, check
    return check.claim.session


def kept(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_picture_is_signed_and_every_tampering_shows(tmp_path: Path) -> None:
    bare = tmp_path / "bare.png"
    bare.write_bytes(png_of(_marked(0)))
    picture = tmp_path / "picture.png"
    picture.write_bytes(Sealer().picture(bare.read_bytes(), JUNIPER, lambda: SUBJECT))
    code, text = verified(picture)
    assert code == 0 and f"for session {PAYLOAD}" in text, text
    assert verified(flipped(picture, b"IDAT", 3000))[0] == 2
    assert verified(flipped(picture, b"consent_sha256", 20))[0] == 2
    code, text = verified(bare)
    assert code == 1 and "carries no C2PA manifest" in text, text


async def test_signing_outlives_a_daemon_that_does_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child keeps the lock, so that the next start does not sign beside it."""
    film = await left_unsigned(tmp_path / "films", monkeypatch)
    [draft] = drafts.left()
    child = started("-c", "import time; time.sleep(30)", file=draft.file)
    draft.close()
    try:
        assert is_held(film) and list(drafts.left()) == []
    finally:
        child.kill()
        child.wait()
    assert not is_held(film)
