"""One output picture as PNG. It was marked before it came here; the file says so in words too."""

from __future__ import annotations

import io

import cv2
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from realtime.frames import OutputFrame


def png_of(output: OutputFrame) -> bytes:
    """Some milliseconds of work; not for the event loop."""
    rgb = cv2.cvtColor(output.i420, cv2.COLOR_YUV2RGB_I420)
    words = PngInfo()
    words.add_text("Comment", "Synthetic picture: an avatar drawn by reenactd")
    target = io.BytesIO()
    Image.fromarray(rgb).save(target, "PNG", pnginfo=words)
    return target.getvalue()
