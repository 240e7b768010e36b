"""An independent WHIP publisher whose signalling is not ours either: FFmpeg's muxer.

It is the DTLS server unless told otherwise, names no candidate, takes the first one of the answer,
and answers no request for a key frame.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import av
import pytest

from tests.helpers import TOKEN, Stand, Watcher, until
from tests.test_gstreamer import served

__all__ = ["served"]  # a fixture
PEER = Path(__file__).with_name("ffmpeg_peer.py")
pytestmark = pytest.mark.skipif(
    "whip" not in av.formats_available,
    reason=f"PyAV {av.__version__} here comes with an FFmpeg without the WHIP muxer",
)


async def publisher(url: str, *words: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, str(PEER), url, *words, stdin=pipe, stdout=pipe, stderr=pipe
    )


@pytest.mark.parametrize(
    "words", [("baseline",), ("high",), ("baseline", "whip_flags=dtls_active")], ids=" ".join
)
async def test_ffmpeg_publishes_and_a_viewer_watches(
    served: tuple[Stand, str], words: tuple[str, ...]
) -> None:
    stand, url = served
    peer = await publisher(f"{url}/whip?name=ffmpeg", TOKEN, *words)
    try:
        await until(lambda: peer.returncode is not None or len(stand.daemon.sessions) == 1)
        session = stand.daemon.sessions.find("ffmpeg")
        assert session is not None, (await peer.communicate())[1].decode()
        await until(lambda: session.state == "LIVE")
        watcher = Watcher(stand.http)
        await watcher.connect("/whep/ffmpeg")
        await until(lambda: len([seen for seen in watcher.seen if not seen.is_card]) > 20)
        assert session._peer.microphone is not None
        await watcher.close()
    finally:
        _, log = await asyncio.wait_for(peer.communicate(b""), 20)
    assert peer.returncode == 0, log.decode()
    await until(lambda: len(stand.daemon.sessions) == 0)  # it sends DELETE


async def test_a_wrong_token_lets_ffmpeg_know(served: tuple[Stand, str]) -> None:
    _, url = served
    peer = await publisher(f"{url}/whip", "not-the-token", "baseline")
    _, log = await asyncio.wait_for(peer.communicate(b""), 20)
    assert peer.returncode == 1 and "401" in log.decode()
