"""What the page shows, frame by frame and with times: the avatar whole, a part of the camera.

The recorder runs in the page, on each video's frame callback, and only copies the frames; they are
made JPEG and sent over after the recording, so that this does not disturb it. Of the camera just
enough is kept to find each picture in its clip again.
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
CAMERA_PART = (240, 160, 160, 160)
"""left, top, width and height: where the performer's face is"""
CHUNK = 40

_RECORD = """
async ([seconds, [x, y, width, height]]) => {
  const avatar = document.getElementById("avatar");
  const own = document.getElementById("self");
  const keep = (video, part) => {
    const frame = new VideoFrame(video);
    const rect = part ?? frame.visibleRect;
    const data = new Uint8Array(frame.allocationSize({ rect }));
    const layout = frame.copyTo(data, { rect }).finally(() => frame.close());
    const { width: codedWidth, height: codedHeight } = rect;
    return { data, layout, init: { format: frame.format, codedWidth, codedHeight, timestamp: 0 } };
  };
  const watch = (video, timesOf, part) =>
    new Promise((done) => {
      const entries = [];
      const begun = performance.now();
      const take = (now, metadata) => {
        entries.push({ times: timesOf(metadata), ...keep(video, part) });
        if (now - begun < seconds * 1000) video.requestVideoFrameCallback(take);
        else done(entries);
      };
      video.requestVideoFrameCallback(take);
    });
  const [shown, captured] = await Promise.all([
    watch(avatar, ({ presentationTime, rtpTimestamp }) => [presentationTime, rtpTimestamp / 90]),
    watch(own, ({ captureTime }) => [captureTime], { x, y, width, height }),
  ]);
  const text = async ({ data, layout, init }) => {
    const frame = new VideoFrame(data, { ...init, layout: await layout });
    const canvas = new OffscreenCanvas(init.codedWidth, init.codedHeight);
    canvas.getContext("2d").drawImage(frame, 0, 0);
    frame.close();
    const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.85 });
    let binary = "";
    for (const byte of new Uint8Array(await blob.arrayBuffer())) {
      binary += String.fromCharCode(byte);
    }
    return btoa(binary);
  };
  window.recorded = { avatar: [], camera: [] };
  for (const entry of shown) window.recorded.avatar.push([await text(entry), ...entry.times]);
  for (const entry of captured) window.recorded.camera.push([await text(entry), ...entry.times]);
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

    avatar: list[U8]
    """N times (480, 640, 3) RGB"""
    shown_s: NDArray[np.float64]
    """(N,) when each avatar frame was handed to the screen"""
    stamped_s: NDArray[np.float64]
    """(N,) its RTP time stamp, from an origin of the stream's own"""
    camera: list[U8]
    """M times CAMERA_PART of a camera picture, RGB"""
    captured_s: NDArray[np.float64]
    """(M,) when the camera took it"""
    stolen: float
    """share of this machine's processor that its host gave to others meanwhile"""


def record(page: Page, seconds: float) -> Recording:
    """Every frame of the avatar and of the camera in the next `seconds`."""
    before = Ticks.now()
    page.evaluate(_RECORD, [seconds, CAMERA_PART])
    stolen = Ticks.now().stolen_since(before)
    avatar, (shown_s, stamped_s) = _fetch(page, "avatar")
    camera, (captured_s,) = _fetch(page, "camera")
    return Recording(avatar, shown_s, stamped_s, camera, captured_s, stolen)


def _fetch(page: Page, name: str) -> tuple[list[U8], NDArray[np.float64]]:
    """Pictures, and (T, N) their times in seconds."""
    rows: list[Any] = []
    while True:
        part = page.evaluate(
            "([name, from, to]) => window.recorded[name].slice(from, to)",
            [name, len(rows), len(rows) + CHUNK],
        )
        if not part:
            break
        rows += part
    return [_decode(row[0]) for row in rows], np.array([row[1:] for row in rows]).T / 1000


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
