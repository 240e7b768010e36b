"""The fake webcam: a performer clip as the Y4M file that Chromium plays as its camera, in a loop.

Chromium plays the file at the rate that its constraints settle on, whatever the clip's own, so the
clip is resampled in time: the file's 30 frames are one second of the performance. Not Motion JPEG:
a webcam's own chip makes pictures, and decoding them here would take a twelfth of a core.
"""

from __future__ import annotations

from pathlib import Path

import av

CAMERA_FPS = 30


def write_fake_camera(clip: Path, target: Path) -> float:
    """Write `clip` as YUV4MPEG2 at 30 fps, nearest frame in time.

    Returns:
        The length of the loop in seconds.
    """
    with av.open(str(clip)) as container:
        rate = container.streams.video[0].average_rate
        assert rate is not None
        decoded = [frame.reformat(format="yuv420p") for frame in container.decode(video=0)]
    width, height = decoded[0].width, decoded[0].height
    frames = [frame.to_ndarray().tobytes() for frame in decoded]
    duration_s = len(frames) / float(rate)
    count = round(duration_s * CAMERA_FPS)
    with target.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{CAMERA_FPS}:1 Ip A1:1 C420jpeg\n".encode())
        for at in range(count):
            file.write(b"FRAME\n")
            file.write(frames[min(int(at / CAMERA_FPS * rate), len(frames) - 1)])
    return count / CAMERA_FPS
