"""What the page shows, frame by frame and with times: the avatar large, the camera small.

The recorder runs in the page, on each video's frame callback, and only copies the frames; they are
made JPEG and sent over after the recording, so that this does not disturb it.
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

from realtime.bench.machine import Ticks

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
  const watch = (video, timeOf) =>
    new Promise((done) => {
      const entries = [];
      const begun = performance.now();
      const take = (now, metadata) => {
        entries.push({ at: timeOf(metadata), ...keep(video) });
        if (now - begun < seconds * 1000) video.requestVideoFrameCallback(take);
        else done(entries);
      };
      video.requestVideoFrameCallback(take);
    });
  const [shown, captured] = await Promise.all([
    watch(avatar, (metadata) => metadata.presentationTime),
    watch(own, (metadata) => metadata.captureTime),
  ]);
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
  window.recorded = { avatar: [], camera: [] };
  for (const entry of shown) {
    const { codedWidth, codedHeight } = entry.init;
    window.recorded.avatar.push([entry.at, await text(entry, codedWidth, codedHeight)]);
  }
  for (const entry of captured) {
    window.recorded.camera.push([entry.at, await text(entry, width, height)]);
  }
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
    """Both videos; times are the page's clock, in seconds."""

    shown_s: NDArray[np.float64]
    """(N,) when each avatar frame was handed to the screen"""
    avatar: list[U8]
    """N times (480, 640, 3) RGB"""
    captured_s: NDArray[np.float64]
    """(M,) when the camera took each of its pictures"""
    camera: list[U8]
    """M times (120, 160, 3) RGB"""
    stolen: float
    """share of this machine's processor that its host gave to others meanwhile"""


def record(page: Page, seconds: float) -> Recording:
    """Every frame of the avatar and of the camera in the next `seconds`."""
    before = Ticks.now()
    page.evaluate(_RECORD, [seconds, *CAMERA_SIZE])
    stolen = Ticks.now().stolen_since(before)
    shown_s, avatar = _fetch(page, "avatar")
    captured_s, camera = _fetch(page, "camera")
    return Recording(shown_s, avatar, captured_s, camera, stolen)


def _fetch(page: Page, name: str) -> tuple[NDArray[np.float64], list[U8]]:
    rows: list[Any] = []
    while True:
        part = page.evaluate(
            "([name, from, to]) => window.recorded[name].slice(from, to)",
            [name, len(rows), len(rows) + CHUNK],
        )
        if not part:
            break
        rows += part
    return np.array([row[0] for row in rows]) / 1000, [_decode(row[1]) for row in rows]


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
