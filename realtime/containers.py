"""Opens a media file that may come from anybody: of what kind, pointing where, how large it claims.

FFmpeg knows hundreds of formats. Some of them are lists of other files or addresses, one paints any
text as a film; here only containers of pictures and sound are opened, and nothing that they name. A
header may promise pictures of any size, for which a decoder makes room before it has seen one: it
is told the limit.
"""

from __future__ import annotations

from pathlib import Path

import av
from av.container import InputContainer

from realtime.errors import StartupError

FORMATS = (
    *("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "flv", "asf", "ogg"),
    *("mpegts", "mpeg", "mpegvideo", "h264", "hevc", "ivf", "gif", "mxf", "wav", "mp3", "flac"),
    "aac",
)
"""by FFmpeg's names; those of sound alone, so that a refusal can say what is missing"""
MAX_PX = 64_000_000
"""of a picture"""
_OPTIONS = {
    "format_whitelist": ",".join(FORMATS),
    "protocol_whitelist": "file",
    "max_pixels": str(MAX_PX),
}


def open_media(path: Path) -> InputContainer:
    """A container with a video; its decoder refuses larger pictures than MAX_PX.

    Raises:
        StartupError: it is no such file, holds no video, or too large a one.
    """
    try:
        container = av.open(f"file:{path}", options=_OPTIONS)
    except av.ArgumentError:  # not one of the formats
        raise StartupError(
            f"{path}: is of no kind that is looked at; MP4, Matroska, WebM, AVI, MPEG and GIF are"
        ) from None
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StartupError(f"{path}: cannot be read as picture or video: {reason}") from None
    if not container.streams.video:
        container.close()
        raise StartupError(f"{path}: holds no picture and no video")
    video = container.streams.video[0]
    video.thread_type = "AUTO"
    if video.width * video.height > MAX_PX:
        container.close()
        raise StartupError(
            f"{path}: {video.width}x{video.height} is more than {MAX_PX} pixels, which are looked "
            "at at most; make it smaller"
        )
    video.codec_context.options = {"max_pixels": str(MAX_PX)}
    return container
