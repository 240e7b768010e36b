"""A session's film and picture over HTTP, and by the command line against a daemon that listens."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from realtime.bench.clap import Offsets, in_file
from realtime.config import Config
from tests.helpers import (
    CARD_LUMA,
    FACE_LUMA,
    Camera,
    Performer,
    Stand,
    Watcher,
    config_with,
    standing,
    until,
)
from tests.sinks.test_film import times_of
from tests.test_lip_sync import EchoStudio, clapping


def recording_to(directory: Path) -> Config:
    return config_with(recording={"directory": directory}, server={"max_sessions": 2})


async def performing(stand: Stand) -> tuple[Performer, str]:
    """A performer who is live, and the way to their session."""
    performer = Performer(stand.http, Camera())
    await performer.connect()
    await until(lambda: performer.stat("state") == "LIVE")
    return performer, f"/api/sessions/{performer.location.rpartition('/')[2][:6]}"


async def test_a_film_is_begun_told_of_and_ended(tmp_path: Path) -> None:
    async with standing(recording_to(tmp_path)) as stand:
        performer, session = await performing(stand)
        path = f"{session}/recording"
        assert (await stand.http.get(path)).status_code == 404
        assert (await stand.http.delete(path)).status_code == 409
        begun = await stand.http.post(path)
        assert begun.status_code == 201 and begun.json()["state"] == "on"
        again = await stand.http.post(path)
        assert again.status_code == 409 and "recorded already" in again.json()["error"]
        await until(lambda: (performer.stat("recording") or {"seconds": 0})["seconds"] > 1)
        assert performer.stat("recording")["files"] == begun.json()["files"]
        ended = (await stand.http.delete(path)).json()
        assert ended["state"] == "stopped" and ended["dropped"] == 0 and ended["problem"] == ""
        assert (await stand.http.get(path)).json() == ended
        times = times_of(Path(ended["files"][0]))
        assert times[-1] - times[0] == pytest.approx(ended["seconds"], abs=0.001)
        assert (await stand.http.post(path)).status_code == 201, "and another"
        await performer.close()


async def test_the_end_of_a_session_ends_its_film(tmp_path: Path) -> None:
    async with standing(recording_to(tmp_path)) as stand:
        performer, session = await performing(stand)
        film = (await stand.http.post(f"{session}/recording")).json()["files"][0]
        await until(lambda: (performer.stat("recording") or {"seconds": 0})["seconds"] > 0.5)
        assert (await stand.http.delete(performer.location)).status_code == 200
        assert len(times_of(Path(film))) > 10
        await performer.close()


async def test_a_folder_that_cannot_be_written_is_told_and_shown(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    async with standing(recording_to(tmp_path / "file")) as stand:
        performer, session = await performing(stand)
        refused = await stand.http.post(f"{session}/recording")
        assert refused.status_code == 409 and "recording.directory" in refused.json()["error"]
        await until(lambda: (performer.stat("recording") or {"state": ""})["state"] == "failed")
        assert performer.stat("state") == "LIVE"
        await performer.close()


async def test_a_snapshot_is_what_viewers_see(tmp_path: Path) -> None:
    async with standing() as stand:
        performer, session = await performing(stand)
        for fault, luma in (("", FACE_LUMA["juniper"]), ("no_face", CARD_LUMA)):
            stand.script.fault = fault
            await until(lambda wanted=fault: (performer.stat("state") == "CARD") == bool(wanted))  # type: ignore[misc]
            answer = await stand.http.get(f"{session}/snapshot")
            assert answer.status_code == 200 and answer.headers["Content-Type"] == "image/png"
            picture = Image.open(io.BytesIO(answer.content))
            grey = (luma - 16) * 255 / 219
            assert abs(np.asarray(picture)[70:].mean() - grey) < 3
            assert "Synthetic" in picture.info["Comment"]
        await performer.close()


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_session_that_is_not_there_has_no_film(method: str) -> None:
    async with standing() as stand:
        answer = await stand.http.request(method, "/api/sessions/nobody/recording")
        assert answer.status_code == 404 and "no session 'nobody'" in answer.json()["error"]
        bare = {"Authorization": ""}
        path = "/api/sessions/nobody/recording"
        assert (await stand.http.request(method, path, headers=bare)).status_code == 401


async def test_a_session_is_called_alike_wherever_it_is_called(tmp_path: Path) -> None:
    async with standing(recording_to(tmp_path)) as stand:
        performer = Performer(stand.http, Camera())
        await performer.connect(name="stage")
        await until(lambda: performer.stat("state") == "LIVE")
        whole = performer.location.rpartition("/")[2]
        for called in ("stage", whole[:6], whole, "latest"):
            path = f"/api/sessions/{called}"
            begun = await stand.http.post(f"{path}/recording")
            assert begun.status_code == 201
            assert begun.headers["Location"] == f"/api/sessions/{whole[:6]}/recording"
            assert (await stand.http.get(f"{path}/recording")).json()["state"] == "on"
            assert (await stand.http.get(f"{path}/snapshot")).status_code == 200
            command = await stand.http.post(f"{path}/commands", json={"type": "calibrate"})
            assert command.status_code == 204
            assert (await stand.http.delete(f"{path}/recording")).status_code == 200
            watcher = Watcher(stand.http)
            await watcher.connect(f"/whep/{called}")
            await watcher.close()
        await performer.close()


async def test_a_clap_is_together_in_the_film(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    async with standing(recording_to(tmp_path), EchoStudio()) as stand:
        async with clapping(stand) as performer:
            await until(lambda: bool(performer.flashes and performer.clicks))
            session = next(iter(stand.daemon.sessions))
            said = await session.films.begin()
            await until(lambda: (film := session.films.progress) is not None and film.seconds > 7)
        await until(lambda: len(stand.daemon.sessions) == 0)
    offsets = Offsets.of(*in_file(Path(said.files[0])))
    figure(
        f"clap in a film: voice {offsets.median_ms:.1f} ms late, at worst {offsets.worst_ms:.1f}, "
        f"{offsets.within_40:.0%} of {offsets.claps} within 40"
    )
    assert offsets.claps >= 3 and abs(offsets.median_ms) < 40
    assert offsets.within_40 >= 0.8, "but for what a busy machine tears apart"
