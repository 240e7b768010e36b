"""A file that is looked at over HTTP: one verdict, nothing kept, no hostile file too much."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from realtime import http_body, verify_process, verifying
from realtime.verify_process import Heard
from tests import performers
from tests.helpers import Stand, standing
from tests.test_records import written
from tests.test_verify import film, marked_luma, still

ANY = {"Content-Type": "application/octet-stream"}
PATH = "/api/verify"


@pytest.fixture
async def stand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Stand]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with standing() as stand:
        yield stand
    left = [name for name in os.listdir(tmp_path) if name.startswith("reenactd-verify-")]
    assert left == [], "nothing of a file is kept"


async def told(stand: Stand, data: bytes, name: str) -> dict[str, Any]:
    answer = await stand.http.post(PATH, params={"name": name}, content=data, headers=ANY)
    assert answer.status_code == 202, answer.text
    return await over(stand, answer.json()["job"])


async def over(stand: Stand, job: str) -> dict[str, Any]:
    for _ in range(600):
        said: dict[str, Any] = (await stand.http.get(f"{PATH}/{job}")).json()
        if said["state"] != "running":
            return said
        await asyncio.sleep(0.05)
    raise TimeoutError(said)


async def test_a_marked_picture(stand: Stand, tmp_path: Path) -> None:
    said = await told(stand, still(tmp_path / "x.png", marked_luma()).read_bytes(), "my film.png")
    assert said["state"] == "done" and said["error"] == ""
    assert said["verdict"]["verdict"] == "marked"
    assert said["verdict"]["confidence"] == "certain"
    assert "file" not in said["verdict"]
    texts = " ".join(check["text"] for check in said["verdict"]["checks"])
    assert "session 0ddba115" in texts and "reenactd-verify-" not in texts


async def test_a_film_tells_how_far_it_is(
    stand: Stand, tmp_path: Path, performer_clip: Path
) -> None:
    path = film(tmp_path / "film.mp4", performer_clip, marked_from=0)
    assert (await told(stand, path.read_bytes(), "film.mp4"))["verdict"]["verdict"] == "marked"


async def test_nothing_found(stand: Stand, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(performers.pictures("performer3")[0]).save(path)
    said = await told(stand, path.read_bytes(), "x.png")
    assert (said["verdict"]["verdict"], said["verdict"]["confidence"]) == ("nothing", "low")


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "text": b"no picture at all",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    "playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\nhttp://127.0.0.1:1/x\n",
    "concat": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    "noise": random.Random(1).randbytes(200_000),
    "mp4 head and noise": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"
    + random.Random(2).randbytes(50_000),
    "png head": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\xff\xff\xff\0\xff\xff\xff\x08\x02\0\0\0",
    "record": b'{"x": 1}\n' * 10,
}


@pytest.mark.parametrize(
    ("hostile", "name"),
    [
        *((hostile, "x.mp4") for hostile in HOSTILE),
        ("png head", "x.png"),
        ("record", "../../x.jsonl"),
        ("text", "x." + "y" * 200),
    ],
)
async def test_a_hostile_file_is_a_line(stand: Stand, hostile: str, name: str) -> None:
    said = await told(stand, HOSTILE[hostile], name)
    assert said["state"] in ("failed", "done")
    if said["state"] == "failed":
        assert said["error"] and "\n" not in said["error"] and "Traceback" not in said["error"]
        assert "reenactd-verify-" not in said["error"], "the page learns no path"


async def test_one_file_at_a_time_and_it_can_be_stopped(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        verify_process, "_COMMAND", [sys.executable, "-c", "import time; time.sleep(60)"]
    )
    first = await stand.http.post(PATH, content=b"x", headers=ANY)
    job = first.json()["job"]
    assert first.json()["state"] == "running"
    second = await stand.http.post(PATH, content=b"x", headers=ANY)
    assert second.status_code == 503 and second.headers["Retry-After"]
    assert (await stand.http.delete(f"{PATH}/{job}")).status_code == 204
    assert (await over(stand, job))["error"] == "it was stopped"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("print('nonsense')", "cannot be looked at"),
        ("print('x' * 10**6, end='')", "cannot be looked at"),
        ("import os; os.abort()", "cannot be looked at"),
        ("pass", "cannot be looked at"),
        ("import time; time.sleep(60)", "takes longer than 0.5 s"),
    ],
)
def test_a_process_that_fails(monkeypatch: pytest.MonkeyPatch, program: str, said: str) -> None:
    monkeypatch.setattr(verify_process, "_COMMAND", [sys.executable, "-c", program])
    monkeypatch.setattr(verify_process, "PATIENCE_S", 0.5 if "sleep" in program else 20)
    heard: list[Heard] = []
    verify_process.look(Path("/x"), heard.append, lambda: False)
    assert heard[-1].state == "failed" and said in heard[-1].error


def test_the_process_has_no_secrets_and_bounds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REENACTD_SECRET", "hidden")
    program = (
        "import os, resource, sys, cv2; from pathlib import Path; "
        "from realtime import verify_process as v; "
        "v.look_here = lambda path, tell, whole: tell(v.Heard('done', verdict={"
        "'environment': dict(os.environ), 'nice': os.nice(0), 'threads': cv2.getNumThreads(), "
        "'limits': [resource.getrlimit(x)[0] for x in (resource.RLIMIT_AS, resource.RLIMIT_CPU, "
        "resource.RLIMIT_FSIZE)]})); v._answer(Path(sys.argv[1]), sys.argv[2:])"
    )
    monkeypatch.setattr(verify_process, "_COMMAND", [sys.executable, "-c", program])
    heard: list[Heard] = []
    verify_process.look(tmp_path, heard.append, lambda: False)
    assert heard[-1].verdict is not None, heard
    assert (heard[-1].verdict["nice"], heard[-1].verdict["threads"]) == (verify_process.NICE, 1)
    assert "hidden" not in json.dumps(heard[-1].verdict["environment"])
    assert heard[-1].verdict["limits"] == [verify_process.MEMORY_BYTES, verify_process.CPU_S, 0]


async def test_a_record_keeps_the_name_of_its_session(stand: Stand) -> None:
    one, other = written(payload="0000000a"), written(payload="0000000b").read_bytes()
    assert (await told(stand, one.read_bytes(), one.name))["verdict"]["verdict"] == "signed"
    said = await told(stand, other, one.name)
    assert said["verdict"]["verdict"] == "tampered"


async def test_too_much_and_too_slow(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "MAX_UPLOAD_BYTES", 1000)
    answer = await stand.http.post(PATH, content=bytes(1001), headers=ANY)
    assert answer.status_code == 413
    monkeypatch.setattr(http_body, "LONG_PATIENCE_S", 0.1)

    async def never() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    assert (await stand.http.post(PATH, content=never(), headers=ANY)).status_code == 408
    assert (await stand.http.get(f"{PATH}/made-up")).status_code == 404
    assert (await stand.http.delete(f"{PATH}/made-up")).status_code == 404


async def test_old_answers_go_and_descriptors_do_not_stay(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_process, "_COMMAND", [sys.executable, "-c", "pass"])
    jobs, before = [], len(os.listdir("/proc/self/fd"))
    for _ in range(verifying.MOST_KEPT + 2):
        answer = await stand.http.post(PATH, content=b"x", headers=ANY)
        jobs.append(answer.json()["job"])
        await over(stand, jobs[-1])
    assert (await stand.http.get(f"{PATH}/{jobs[0]}")).status_code == 404
    assert (await stand.http.get(f"{PATH}/{jobs[-1]}")).status_code == 200
    assert len(os.listdir("/proc/self/fd")) <= before + 2


async def test_view_tokens_look_at_nothing(stand: Stand) -> None:
    for scope, status in (("view", 403), ("publish", 404)):
        made = await stand.http.post("/api/tokens", json={"scope": scope})
        bearer = {"Authorization": f"Bearer {made.json()['token']}"}
        assert (await stand.http.get(f"{PATH}/x", headers=bearer)).status_code == status
