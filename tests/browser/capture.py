"""What the page shows, frame by frame and with times: the avatar large, the camera small.

The recorder runs in the page, on the avatar's video frame callback, and only copies both videos'
frames; they are made JPEG and sent over after the recording, so that this does not disturb it.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page

U8 = NDArray[np.uint8]
CAMERA_SIZE = (160, 120)
CHUNK = 40

_RECORD = """
async ([seconds, width, height]) => {
  const avatar = document.getElementById("avatar");
  const own = document.getElementById("self");
  const keep = (video) => {
    const frame = new VideoFrame(video);
    const { format, codedWidth, codedHeight } = frame;
    const data = new Uint8Array(frame.allocationSize());
    const layout = frame.copyTo(data).finally(() => frame.close());
    return { data, layout, init: { format, codedWidth, codedHeight, timestamp: 0 } };
  };
  const entries = [];
  await new Promise((done) => {
    let begun = null;
    const take = () => {
      const now = performance.now();
      begun ??= now;
      entries.push({ now, avatar: keep(avatar), camera: keep(own) });
      if (now - begun < seconds * 1000) avatar.requestVideoFrameCallback(take);
      else done();
    };
    avatar.requestVideoFrameCallback(take);
  });
  const text = async ({ data, layout, init }, width, height) => {
    const frame = new VideoFrame(data, { ...init, layout: await layout });
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").drawImage(frame, 0, 0, width, height);
    frame.close();
    const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.85 });
    let binary = "";
    for (const byte of new Uint8Array(await blob.arrayBuffer())) {
      binary += String.fromCharCode(byte);
    }
    return btoa(binary);
  };
  window.recorded = [];
  for (const { now, avatar, camera } of entries) {
    const { codedWidth, codedHeight } = avatar.init;
    window.recorded.push([
      now,
      await text(avatar, codedWidth, codedHeight),
      await text(camera, width, height),
    ]);
  }
  return window.recorded.length;
}
"""
_SWITCH = """
async (id) => {
  const avatar = document.getElementById("avatar");
  const small = new OffscreenCanvas(64, 48);
  const context = small.getContext("2d", { willReadFrequently: true });
  const entries = [];
  let clickedMs = null;
  await new Promise((done) => {
    const take = () => {
      const now = performance.now();
      context.drawImage(avatar, 0, 0, 64, 48);
      entries.push([now, context.getImageData(0, 0, 64, 48).data]);
      if (clickedMs === null && entries.length > 10) {
        clickedMs = performance.now();
        document.querySelector(`#gallery input[value="${id}"]`).click();
      }
      if (clickedMs === null || now - clickedMs < 2000) avatar.requestVideoFrameCallback(take);
      else done();
    };
    avatar.requestVideoFrameCallback(take);
  });
  const text = (data) => btoa(String.fromCharCode(...data));
  return { clickedMs, entries: entries.map(([now, data]) => [now, text(data)]) };
}
"""


@dataclass(frozen=True)
class Recording:
    times_s: NDArray[np.float64]
    """(N,) when each avatar frame came to the page; the page's clock"""
    avatar: list[U8]
    """N times (480, 640, 3) RGB"""
    camera: list[U8]
    """N times (120, 160, 3) RGB: the camera's picture at the same moments"""


def record(page: Page, seconds: float) -> Recording:
    """Every avatar frame of the next `seconds`, and the camera beside it."""
    count: int = page.evaluate(_RECORD, [seconds, *CAMERA_SIZE])
    rows: list[Any] = []
    for at in range(0, count, CHUNK):
        rows += page.evaluate("([from, to]) => window.recorded.slice(from, to)", [at, at + CHUNK])
    return Recording(
        np.array([row[0] for row in rows]) / 1000,
        [_decode(row[1]) for row in rows],
        [_decode(row[2]) for row in rows],
    )


@dataclass(frozen=True)
class Switch:
    took_ms: float
    """from the click to the first picture of the new identity"""
    frame_ms: float
    """between two pictures, on average"""


def time_switch(page: Page, identity: str) -> Switch:
    """Choose an identity with a click, and watch the picture change.

    A frame is still the old one's while it is nearer to some frame before the click than to any of
    those in the end; the last such frame counts.
    """
    result = page.evaluate(_SWITCH, identity)
    times_ms = np.array([entry[0] for entry in result["entries"]])
    raw = [np.frombuffer(base64.b64decode(entry[1]), np.uint8) for entry in result["entries"]]
    pictures = np.array(raw, np.float32)
    is_before = times_ms < result["clickedMs"]
    is_after = times_ms > times_ms[-1] - 700
    is_old = _distance(pictures, pictures[is_before]) < _distance(pictures, pictures[is_after])
    assert not is_old[is_after].any(), f"the picture did not change to {identity}"
    changed_ms = times_ms[np.flatnonzero(is_old)[-1] + 1]
    return Switch(float(changed_ms - result["clickedMs"]), float(np.diff(times_ms).mean()))


def _distance(pictures: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each picture to the nearest known one, in mean grey levels."""
    return np.array([np.abs(known - one).mean(axis=1).min() for one in pictures], np.float32)


def _decode(text: str) -> U8:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"))
