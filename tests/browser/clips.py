"""The fake webcam: a performer clip as the MJPEG file that Chromium plays as its camera, in a loop.

Chromium plays the file at the rate that its constraints settle on, whatever the clip's own, so the
clip is resampled in time: the file's 30 frames are one second of the performance.
"""

from __future__ import annotations

from pathlib import Path

import av

CAMERA_FPS = 30


def write_fake_camera(clip: Path, target: Path) -> float:
    """Write `clip` as Motion JPEG at 30 fps, nearest frame in time.

    Returns:
        The length of the loop in seconds.
    """
    with av.open(str(clip)) as container:
        rate = container.streams.video[0].average_rate
        assert rate is not None
        frames = [frame.to_image() for frame in container.decode(video=0)]
    duration_s = len(frames) / float(rate)
    count = round(duration_s * CAMERA_FPS)
    with target.open("wb") as file:
        for at in range(count):
            frames[min(int(at / CAMERA_FPS * rate), len(frames) - 1)].save(file, "JPEG", quality=92)
    return count / CAMERA_FPS
