"""An independent WHIP publisher and an independent WHEP player: GStreamer's, against our daemon.

Their certificate is RSA, their H.264 comes from another encoder, the publisher sends sound as well,
takes no video back and has no data channel.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
import uvicorn

from realtime.bench.clap import Offsets
from realtime.server import create_app
from realtime.tokens import Tokens
from tests.helpers import CARD_LUMA, TOKEN, Camera, Performer, Stand, standing, until
from tests.pictures import HEIGHT, WIDTH
from tests.test_lip_sync import EchoStudio, clapping

PYTHON = "/usr/bin/python3"  # the system's, for GStreamer's bindings come with it
PEER = Path(__file__).with_name("gst_peer.py")
CLAPS, FIRST = 20, 8
"""in all, and until the player has put both streams together, bit by bit"""
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
async def served(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Stand, str]]:
    """A daemon that listens, and its address; with another studio if the test brings one."""
    make_studio = getattr(request, "param", None)
    async with standing(studio=make_studio and make_studio()) as stand:
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


@pytest.mark.slow
@pytest.mark.parametrize("served", [EchoStudio], indirect=True)
async def test_gstreamer_sees_and_hears_a_clap_together(
    served: tuple[Stand, str], codec: str, figure: Callable[[str], None]
) -> None:
    """By its own clock: when each would be shown or sounded, after it has put both together."""
    stand, url = served
    async with clapping(stand):
        player = await peer("claps", f"{url}/whep", TOKEN, codec, str(CLAPS))
        out, err = await asyncio.wait_for(player.communicate(), 90)
    assert player.returncode == 0, err.decode()
    told = [json.loads(line) for line in out.splitlines()]
    flashes, clicks = ([one[what] for one in told if what in one] for what in ("flash", "click"))
    offsets = Offsets.of(flashes[FIRST:], clicks)
    figure(
        f"clap at GStreamer, {codec}: voice {offsets.median_ms:.1f} ms late, at worst "
        f"{offsets.worst_ms:.1f}; {offsets.within_40:.0%} of {offsets.claps} within 40"
    )
    assert offsets.claps >= CLAPS - FIRST - 2 and abs(offsets.median_ms) < 40
    assert offsets.within_40 >= 0.8, "but for what a busy machine tears apart"
