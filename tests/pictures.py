"""Pictures that survive a codec and can be told apart: numbered, textured, correlated."""

from __future__ import annotations

import av
import numpy as np

from realtime.frames import U8

WIDTH, HEIGHT = 320, 240
BITS = 16
BAND_PX = 32
"""height of the band at the top that carries a number in BITS black and white blocks"""


def draw_number(luma: U8, number: int) -> None:
    """Write `number` into the top band of a (H, W) luma plane."""
    block = luma.shape[1] // BITS
    for bit in range(BITS):
        luma[:BAND_PX, bit * block : (bit + 1) * block] = 235 if number >> bit & 1 else 16


def read_number(luma: U8) -> int:
    """What `draw_number` wrote, after a codec."""
    block = luma.shape[1] // BITS
    rows = luma[8 : BAND_PX - 8]
    middles = [rows[:, bit * block + 4 : (bit + 1) * block - 4] for bit in range(BITS)]
    return sum(1 << bit for bit, middle in enumerate(middles) if middle.mean() > 125)


def luma_of(frame: av.VideoFrame) -> U8:
    """(H, W) luma of a decoded frame, whatever its padding."""
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    luma: U8 = rows[: frame.height, : frame.width]
    return luma


def i420_of(luma: U8) -> U8:
    """A grey (H * 3 // 2, W) I420 picture."""
    height, width = luma.shape
    return np.concatenate([luma, np.full((height // 2, width), 128, np.uint8)])


def texture(width: int = WIDTH, height: int = HEIGHT, seed: int = 7) -> U8:
    """Smooth random noise: a pattern that nothing else resembles, and that survives a codec."""
    coarse = np.random.default_rng(seed).integers(40, 220, (height // 16 + 1, width // 16 + 1))
    return np.kron(coarse, np.ones((16, 16)))[:height, :width].astype(np.uint8)


def correlation(first: U8, second: U8) -> float:
    """Pearson's, below the number band."""
    a = first[BAND_PX:].astype(np.float64).ravel()
    b = second[BAND_PX:].astype(np.float64).ravel()
    if a.std() < 1e-6 or b.std() < 1e-6:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
