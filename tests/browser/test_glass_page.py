"""The browser's half of the glass bench writes and reads the same numbers as the other half."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from realtime.bench import frame_code
from realtime.frames import U8
from tests.pictures import i420_of, texture

SCRIPT = Path(frame_code.__file__).with_name("glass_page.js")

_DRAW = """([width, height, number]) => {
  const picture = new Uint8Array(width * height * 1.5).fill(77);
  drawNumber(picture, width, height, number);
  let text = "";
  for (let at = 0; at < picture.length; at += 8192) {
    text += String.fromCharCode(...picture.subarray(at, at + 8192));
  }
  return btoa(text);
}"""
_READ = """async ([width, height, data]) => {
  const init = { format: "I420", codedWidth: width, codedHeight: height, timestamp: 0 };
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const frame = new VideoFrame(bytes, init);
  const strip = new OffscreenCanvas(96, 1).getContext("2d", { willReadFrequently: true });
  const shown = new OffscreenCanvas(width, height);
  shown.getContext("2d").drawImage(frame, 0, 0);
  frame.close();
  const drawImage = strip.drawImage.bind(strip);
  strip.drawImage = (video, ...rest) => drawImage(shown, ...rest);
  return readNumber({ videoWidth: width, videoHeight: height }, strip);
}"""


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context()
    page = context.new_page()
    page.goto("about:blank")
    page.add_script_tag(content=SCRIPT.read_text())
    yield page
    context.close()


@pytest.mark.parametrize(("width", "height"), [(640, 480), (480, 270), (1280, 720)])
def test_both_draw_the_same(page: Page, width: int, height: int) -> None:
    for number in (0, 4097, 65_535):
        drawn = np.full((height * 3 // 2, width), 77, np.uint8)
        frame_code.draw(drawn, number)
        theirs = base64.b64decode(page.evaluate(_DRAW, [width, height, number]))
        assert theirs == drawn.tobytes()


@pytest.mark.parametrize(("width", "height"), [(640, 480), (320, 240)])
def test_the_page_reads_what_was_drawn_and_nothing_else(
    page: Page, width: int, height: int
) -> None:
    plain = i420_of(texture(width, height))
    assert page.evaluate(_READ, [width, height, text_of(plain)]) is None
    for number in (0, 4097, 65_535):
        picture = plain.copy()
        frame_code.draw(picture, number)
        assert page.evaluate(_READ, [width, height, text_of(picture)]) == number


def text_of(picture: U8) -> str:
    return base64.b64encode(picture.tobytes()).decode()
