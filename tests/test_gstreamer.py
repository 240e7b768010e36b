"""An independent WHIP publisher and an independent WHEP player: GStreamer's, against our daemon.

Their certificate is RSA, their H.264 comes from another encoder, the publisher sends sound as well,
takes no video back and has no data channel.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import uvicorn

from realtime.server import create_app
from realtime.tokens import Tokens
from tests.helpers import CARD_LUMA, TOKEN, Camera, Performer, Stand, standing, until
from tests.pictures import HEIGHT, WIDTH

PYTHON = "/usr/bin/python3"  # the system's, for GStreamer's bindings come with it
PEER = Path(__file__).with_name("gst_peer.py")
PACKAGES = (
    "gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-nice python3-gi "
    "gir1.2-gst-plugins-bad-1.0"
)


@pytest.fixture(params=["H264", "VP8"])
def codec(request: pytest.FixtureRequest) -> str:
    """One that GStreamer can code here."""
    name = str(request.param)
    lack = lacking(name)
    if lack and os.environ.get("CI"):
        pytest.fail(f"{lack}; .ci/system-packages installs it", pytrace=False)
    if lack:
        pytest.skip(f"{lack}: apt-get install {PACKAGES}")
    return name


def lacking(codec: str) -> str:
    """What of GStreamer is not on this machine."""
    if not Path(PYTHON).exists():
        return f"no {PYTHON}"
    ran = subprocess.run([PYTHON, str(PEER), "check", codec], capture_output=True, text=True)
    if ran.returncode == 0:
        return ""
    said = ran.stderr.strip().splitlines()[-1]
    missing = ("GStreamer has no", "ModuleNotFoundError: No module named 'gi'", "ValueError: Names")
    assert said.startswith(missing), ran.stderr  # or a fault of the script would skip its own test
    return said


@pytest_asyncio.fixture
async def served() -> AsyncIterator[tuple[Stand, str]]:
    """A daemon that listens, and its address."""
    async with standing() as stand:
        app = create_app(stand.daemon, Tokens(TOKEN), "test loop")
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
        serving = asyncio.create_task(server.serve())
        await until(lambda: server.started)
        yield stand, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        server.should_exit = True
        await serving


async def peer(*words: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        PYTHON, str(PEER), *words, stdin=pipe, stdout=pipe, stderr=pipe
    )


async def test_gstreamer_publishes_and_gstreamer_watches(
    served: tuple[Stand, str], codec: str
) -> None:
    stand, url = served
    publisher = await peer("publish", f"{url}/whip?name=gst", TOKEN, codec)
    await until(lambda: stand.daemon.sessions.find("gst") is not None)
    session = stand.daemon.sessions.find("gst")
    assert session is not None
    await until(lambda: session.state == "LIVE")
    player = await peer("play", f"{url}/whep/gst", TOKEN, codec, "20")
    out, err = await asyncio.wait_for(player.communicate(), 40)
    assert player.returncode == 0, err.decode()
    pictures = [json.loads(line) for line in out.splitlines()]
    assert len(pictures) >= 20
    assert {(one["width"], one["height"]) for one in pictures} == {(WIDTH, HEIGHT)}
    assert pictures[-1]["mean"] > CARD_LUMA + 40, "the avatar, not the card"
    _, err = await asyncio.wait_for(publisher.communicate(b""), 20)
    assert publisher.returncode == 0, err.decode()
    await until(lambda: len(stand.daemon.sessions) == 0)


async def test_gstreamer_watches_a_performer_of_a_browser(
    served: tuple[Stand, str], codec: str
) -> None:
    stand, url = served
    performer = Performer(stand.http, Camera())
    await performer.connect()
    player = await peer("play", f"{url}/whep", TOKEN, codec, "10")
    out, err = await asyncio.wait_for(player.communicate(), 40)
    assert player.returncode == 0, err.decode()
    assert len(out.splitlines()) >= 10
    await until(lambda: len(stand.daemon.viewers) == 0)
    await performer.close()
