"""A performer clip as the avatar, cut out, each picture with its number in it; and what a page that
watches makes of it, picture by picture.
"""

from __future__ import annotations

import base64
import functools
from dataclasses import dataclass, replace
from fractions import Fraction

import av
import numpy as np
from playwright.sync_api import Page

from realtime.bench import frame_code
from realtime.config import Config
from realtime.frames import U8, Arrived, Controls, OutputFrame
from realtime.render import Job, assemble
from tests.performers import FOLDER, pictures, time_of

WIDTH, HEIGHT = 640, 480
CODE_ROWS = slice(456, 472)
"""where frame_code.py draws"""
CODE_COLUMNS = slice(8, 392)
CLEAR_OF_CODE = 448
"""rows above this are not disturbed by it, whatever the codec's blocks"""

_READ = """
async (count) => {
  const canvas = document.getElementById("avatar");
  const copy = new OffscreenCanvas(640, 480);
  const context = copy.getContext("2d", { willReadFrequently: true });
  const kept = [];
  while (kept.length < count) {
    await new Promise((done) => requestAnimationFrame(done)); // after this frame's drawing
    context.clearRect(0, 0, 640, 480);
    context.drawImage(canvas, 0, 0);
    const { data } = context.getImageData(0, 0, 640, 480);
    const planes = new Uint8Array(640 * 480 + 640 * 16);
    for (let at = 0; at < 640 * 480; at++) planes[at] = data[4 * at + 3];
    for (let at = 0; at < 640 * 16; at++) planes[640 * 480 + at] = data[4 * (640 * 456 + at) + 1];
    if (planes.some((value, at) => at < 640 * 480 && value)) kept.push(planes);
  }
  return kept.map((planes) => {
    let text = "";
    for (let at = 0; at < planes.length; at += 4096) {
      text += String.fromCharCode(...planes.subarray(at, at + 4096));
    }
    return btoa(text);
  });
}
"""


@functools.lru_cache
def performance(name: str, count: int) -> list[OutputFrame]:
    """That many pictures of the avatar in motion, one after the other, each numbered."""
    config = Config()
    job = Job(FOLDER / f"{name}.mp4", FOLDER, "juniper", None, Controls())
    who = assemble(job, config)
    who.pipeline.cut_out(True)
    track, made = who.make_track(), list[OutputFrame]()
    for index, rgb in enumerate(pictures(name)):
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        frame.pts, frame.time_base = index * 3600, Fraction(1, 90_000)
        tracked = track(Arrived(frame, time_of(index)), who.controls)
        output = who.pipeline.process(tracked, who.controls, who.identity)
        if isinstance(output, OutputFrame):
            made.append(numbered(output, len(made)))
        if len(made) == count:
            break
    track.close()
    assert len(made) == count, "the clip is long enough"
    return made


def numbered(output: OutputFrame, number: int) -> OutputFrame:
    """With its number drawn into the colour, and the matte let through there."""
    assert output.stacked_i420 is not None
    flat = output.stacked_i420.reshape(-1).copy()
    pixels, quarter = WIDTH * HEIGHT, WIDTH * HEIGHT // 4
    chroma = [slice(at, at + quarter) for at in (2 * pixels, 2 * pixels + 2 * quarter)]
    colour = np.concatenate([flat[:pixels], *(flat[part] for part in chroma)])
    frame_code.draw(colour.reshape(HEIGHT * 3 // 2, WIDTH), number)
    flat[:pixels] = colour[:pixels]
    for part, at in zip(chroma, (pixels, pixels + quarter), strict=True):
        flat[part] = colour[at : at + quarter]
    flat[pixels : 2 * pixels].reshape(HEIGHT, WIDTH)[CODE_ROWS, CODE_COLUMNS] = 235
    return replace(output, stacked_i420=flat.reshape(HEIGHT * 3, WIDTH))


def alpha_of(output: OutputFrame) -> U8:
    """(H, W) 0..255, the matte that is sent."""
    assert output.stacked_i420 is not None
    luma = output.stacked_i420[HEIGHT : 2 * HEIGHT].astype(float)
    return np.asarray(np.clip(np.rint((luma - 16) * 255 / 219), 0, 255), np.uint8)


@dataclass(frozen=True)
class Shown:
    """A picture that the page drew."""

    number: int
    alpha: U8
    """(H, W) 0..255, of the canvas"""


def shown(page: Page, count: int) -> list[Shown]:
    """What /view draws next; each picture once, those whose number cannot be read left out."""
    found: dict[int, Shown] = {}
    for text in page.evaluate(_READ, count):
        planes = np.frombuffer(base64.b64decode(text), np.uint8)
        strip = np.zeros((HEIGHT, WIDTH), np.uint8)
        strip[CODE_ROWS] = planes[WIDTH * HEIGHT :].reshape(16, WIDTH)
        number = frame_code.read(strip)
        if number is not None:
            alpha = planes[: WIDTH * HEIGHT].reshape(HEIGHT, WIDTH)
            found.setdefault(number, Shown(number, alpha))
    return list(found.values())
