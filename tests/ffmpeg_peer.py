"""A WHIP publisher of nothing but FFmpeg: its own WHIP muxer, which PyAV brings along.

    python ffmpeg_peer.py URL TOKEN PROFILE [OPTION=VALUE ...]      until its standard input ends

H.264 of that profile and Opus, sent and not received; the offer names no candidate. The options are
the muxer's. Knows nothing of reenactd.
"""

from __future__ import annotations

import select
import sys
import time
from fractions import Fraction

import av
import numpy as np

WIDTH, HEIGHT, FPS, RATE_HZ = 320, 240, 30, 48_000
PRESETS = {"baseline": "ultrafast", "main": "veryfast", "high": "veryfast"}
"""the quickest that uses what the profile is for"""


def picture(count: int) -> av.VideoFrame:
    """A bright square that wanders."""
    i420 = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    i420[:HEIGHT] = 60
    left = 4 * count % (WIDTH - 60)
    i420[90:150, left : left + 60] = 200
    frame = av.VideoFrame.from_ndarray(i420, format="yuv420p")
    frame.pts, frame.time_base = count, Fraction(1, FPS)
    return frame


def silence(count: int) -> av.AudioFrame:
    """As long as a picture."""
    samples = RATE_HZ // FPS
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 2 * samples), np.int16), layout="stereo")
    frame.sample_rate, frame.pts = RATE_HZ, count * samples
    frame.time_base = Fraction(1, RATE_HZ)
    return frame


def publish(url: str, token: str, profile: str, options: dict[str, str]) -> None:
    muxing = {"authorization": token, **options}
    with av.open(url, "w", format="whip", options=muxing) as whip:
        coding = {"preset": PRESETS[profile], "tune": "zerolatency", "profile": profile, "g": "30"}
        video = whip.add_stream("libx264", rate=FPS, options=coding)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = whip.add_stream("libopus", rate=RATE_HZ, layout="stereo")
        began_s, count = time.monotonic(), 0
        while not select.select([sys.stdin], [], [], 0)[0]:
            whip.mux(video.encode(picture(count)))
            whip.mux(sound.encode(silence(count)))
            count += 1
            time.sleep(max(0.0, began_s + count / FPS - time.monotonic()))


if __name__ == "__main__":
    av.logging.set_level(av.logging.VERBOSE)
    url, token, profile, *pairs = sys.argv[1:]
    publish(url, token, profile, dict(pair.split("=", 1) for pair in pairs))
