"""Weight-free stand-ins for the engines and ready-made values, for tests of stages and pipeline."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Literal, cast

import numpy as np

from engines.avatar import RenderedArrays
from engines.models import EncodedIdentity, Memory, Reenactor
from engines.pose import MotionTensors, Sight
from engines.shelf import Shelf
from realtime.consent import ConsentRecord
from realtime.frames import F32, U8, FaceTrack, SourceFrame, Timings, Tracked
from realtime.identity import Identity

Background = Literal["identity", "color", "blur", "camera"]

HEIGHT, WIDTH = 240, 320
CANVAS = (HEIGHT, WIDTH)
AVATAR_RGB = (210, 160, 140)
BACKDROP_RGB = (30, 60, 90)


class FakeReenactor:
    """Draws a plain disc that follows the head, and remembers what it was asked for."""

    reason = "fake: for tests"

    def __init__(self, looks: bool = False) -> None:
        self.looks = looks
        self.looked_at: list[U8] = []
        self.portraits: list[tuple[U8, F32, tuple[int, int]]] = []
        self.motions: list[MotionTensors] = []
        self.memories: list[Memory] = []
        self.picture: RenderedArrays | None = None
        """what to answer instead of the disc"""

    def encode_identity(
        self,
        portrait_rgba: U8,
        landmarks_px: F32,
        canvas_hw: tuple[int, int],
        shelf: Shelf | None = None,
    ) -> EncodedIdentity:
        self.portraits.append((portrait_rgba, landmarks_px, canvas_hw))
        return cast(EncodedIdentity, f"encoded {len(self.portraits)}")

    def look(self, rgb: U8, landmarks_px: F32) -> Sight:
        """Sees where the face's middle is, and how light the picture."""
        self.looked_at.append(rgb)
        head = np.zeros(6, np.float32)
        head[3:5] = landmarks_px[:, :2].mean(axis=0) / rgb.shape[0]
        expression = np.full((21, 3), rgb.mean() / 255, np.float32)
        return Sight(head, expression, np.zeros(2, np.float32), 0.5)

    def render(
        self, identity: EncodedIdentity, motion: MotionTensors, memory: Memory
    ) -> RenderedArrays:
        self.motions.append(motion)
        self.memories.append(memory)
        return self.picture or disc(float(motion.translation[0]))

    def as_reenactor(self) -> Reenactor:
        return cast(Reenactor, self)


def disc(shift: float = 0.0, radius: float = 60.0) -> RenderedArrays:
    """A disc of the avatar's colour with a soft edge, moved right by `shift` face units."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    distance = np.hypot(rows - HEIGHT / 2, columns - WIDTH / 2 - 50 * shift)
    alpha = np.clip((radius + 2 - distance) * 64, 0, 255).astype(np.uint8)
    rgb = np.full((HEIGHT, WIDTH, 3), AVATAR_RGB, np.uint8)
    return RenderedArrays(rgb, alpha)


def consent() -> ConsentRecord:
    issued = datetime(2026, 1, 1, tzinfo=timezone.utc)
    return ConsentRecord("fictional", "shows nobody", "0" * 64, "drawn", issued)


def identity(background_rgb: U8 | None = None) -> Identity:
    if background_rgb is None:
        background_rgb = np.full((HEIGHT, WIDTH, 3), BACKDROP_RGB, np.uint8)
    encoded = cast(EncodedIdentity, "encoded")
    return Identity("somebody", "Somebody", encoded, background_rgb, consent())


def tracked(rgb: U8, matte: F32 | None = None, seq: int = 0, **more: Any) -> Tracked:
    """A frame with a face of no consequence in its middle."""
    height, width = rgb.shape[:2]
    angle = np.linspace(0, 2 * np.pi, 478, dtype=np.float32)
    landmarks = np.stack(
        [width / 2 + 8 * np.cos(angle), height / 2 + 8 * np.sin(angle), 0 * angle], axis=1
    )
    source = SourceFrame(seq, seq * 3600, (seq + 1) * 40_000_000, rgb)
    face = FaceTrack(landmarks.astype(np.float32), 1.0)
    return Tracked(source, more.get("face", face), matte, Timings(source.arrived_ns))
