"""Picture files from outside: read without trusting them, and as pixels only.

The format is one of three, the size is checked before anything is decoded, and what is not pixels
(EXIF, colour profiles) ends here. Imports little, for it also runs in a process of its own, which
is not allowed much memory. Knows no faces.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from realtime.errors import IdentityError

MAX_PIXELS = {"PNG": 16_000_000, "JPEG": 64_000_000, "WEBP": 16_000_000}
"""by format: what is decoded in about a second; a JPEG is decoded no larger than it is needed"""
FORMATS = tuple(MAX_PIXELS)
MAX_BYTES = 32 * 1024 * 1024
MIN_EDGE_PX = 128
_WORKING_EDGE_PX = 2048  # more than any canvas shows; keeps what follows quick
_DRAFT_EDGE_PX = 1536  # of what a JPEG's decoder is asked for: it halves, and so gives up to twice


def read_bytes(path: Path) -> bytes:
    """
    Raises:
        IdentityError: there is no such file, or it is too large.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise IdentityError(f"{path}: more than {MAX_BYTES // 2**20} MiB; save it smaller")
        return path.read_bytes()
    except OSError as error:
        raise IdentityError(f"{path}: cannot be read ({error.strerror})") from error


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def upright(data: bytes, path: str) -> Image.Image:
    """RGBA, turned as the camera was held, its longer edge at most 2048 px.

    Args:
        path: for messages only.

    Raises:
        IdentityError: not one of the formats, too large, too small, or damaged.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size  # from the header; nothing is decoded yet
            most = MAX_PIXELS[image.format or ""]
            if width * height > most:
                raise IdentityError(
                    f"{path}: {width}x{height} has more than {most // 10**6} megapixels, the most "
                    f"for {image.format}; scale it down"
                )
            if min(width, height) < MIN_EDGE_PX:
                raise IdentityError(
                    f"{path}: {width}x{height} is too small; at least {MIN_EDGE_PX} pixels a side"
                )
            share = _DRAFT_EDGE_PX / max(width, height)
            image.draft("RGB", (round(share * width), round(share * height)))  # only JPEG does
            small = _scaled(image)
            turned = ImageOps.exif_transpose(small).convert("RGBA")
    except UnidentifiedImageError:
        raise IdentityError(f"{path}: is no picture in one of {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError:
        raise IdentityError(
            f"{path}: has more than {max(MAX_PIXELS.values()) // 10**6} megapixels; scale it down"
        ) from None
    except (OSError, ValueError, SyntaxError) as error:
        raise IdentityError(f"{path}: damaged picture ({error}); save it again") from error
    return turned


def _scaled(image: Image.Image) -> Image.Image:
    """Its longer edge at most 2048 px, before anything else is done to all of its pixels."""
    if max(image.size) <= _WORKING_EDGE_PX:
        return image
    if image.mode not in ("L", "RGB", "RGBA", "CMYK"):  # palettes cannot be mixed, as they are
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    edges = (_WORKING_EDGE_PX, _WORKING_EDGE_PX)
    image.thumbnail(edges, Image.Resampling.BICUBIC, reducing_gap=2.0)
    return image
