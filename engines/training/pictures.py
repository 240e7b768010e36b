"""Frames of a training folder, as pixels; one that cannot be read ends the program in a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

U8 = NDArray[np.uint8]


def read_rgba(path: Path) -> U8:
    """(H, W, 4)

    Raises:
        SystemExit: it is missing or damaged.
    """
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGBA"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise SystemExit(
            f"{path}: cannot be read as a picture ({error}); make this frame anew, or remove it"
        ) from None
