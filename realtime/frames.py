"""Every value that flows, in the order in which it flows. Imports nothing of ours when it runs.

Host images are (H, W, 3) uint8 sRGB in RGB order, row 0 on top, never BGR. Matrices are named
`a_from_b`. Scalars carry their unit. All values are frozen and their arrays are read-only by
agreement once handed over: whoever wants to change one makes a copy.

    Arrived -> SourceFrame -> Tracked -> Motion -> Rendered -> Composited -> Marked -> OutputFrame
    Voice, beside them, untouched

Where frames are drawn on a GPU, Rendered, Composited and Marked have twins that lie there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import av
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from engines.avatar import GpuPicture

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

LANDMARK_COUNT = 478
"""MediaPipe's face mesh (468) with irises (5 + 5): https://arxiv.org/abs/2006.10962"""

NoFaceReason = Literal["none", "too_small", "low_confidence", "implausible"]
OutputState = Literal["START", "LIVE", "HOLD", "CARD"]


@dataclass(frozen=True, slots=True)
class Timings:
    """How long each stage took for one frame, and when the frame arrived."""

    arrived_ns: int
    """monotonic; when the decoder handed the frame over"""
    stage_ns: Mapping[str, int] = field(default_factory=dict)
    """stage name -> nanoseconds spent in it, in the order of the pipeline"""
    began_ns: Mapping[str, int] = field(default_factory=dict)
    """stage name -> when it began; monotonic"""

    def with_stage(self, name: str, spent_ns: int, began_ns: int) -> Timings:
        return Timings(
            self.arrived_ns,
            {**self.stage_ns, name: spent_ns},
            {**self.began_ns, name: began_ns},
        )


@dataclass(frozen=True, slots=True)
class Arrived:
    """A decoded frame in the decoder's own format, not yet touched."""

    frame: av.VideoFrame
    arrived_ns: int
    receive_ns: int = 0
    """from its first packet until here: assembled, decoded; 0 where it did not come by network"""


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """The webcam picture. It is read by the driver, and by the compositor only where the performer
    chose the real background; it has no way to an output."""

    seq: int
    pts: int
    """1/90000 s"""
    arrived_ns: int
    rgb: U8
    """(H, W, 3)"""


@dataclass(frozen=True, slots=True)
class FaceTrack:
    landmarks_px: F32
    """(478, 3): x and y in pixels of the SourceFrame; z in the same scale, smaller is nearer"""
    confidence: float
    """0..1"""


@dataclass(frozen=True, slots=True)
class Performed:
    """A face as another program's tracker tells it: no picture, no landmarks."""

    rotation: F32
    """(3, 3) of the head, in the axes of `Motion`"""
    coefficients: Mapping[str, float]
    """named as in `arkit.NAMES`, 0..1; what is absent is 0"""


@dataclass(frozen=True, slots=True)
class NoFace:
    """Absence is a value with a reason, not None."""

    reason: NoFaceReason


@dataclass(frozen=True, slots=True)
class Tracked:
    source: SourceFrame
    face: FaceTrack | Performed | NoFace
    person_alpha: F32 | None
    """(H, W) 0..1, the performer's matte; made only while the real background is chosen"""
    timings: Timings


@dataclass(frozen=True, slots=True)
class Rest:
    """That a performer's neutral is being taken, and how much a frame has to say about it."""

    take: int
    """counts the neutrals that were asked for"""
    agitation: float
    """0 calm; infinite where the face is turned away"""


@dataclass(frozen=True, slots=True)
class Motion:
    """What the performer does, free of the performer's shape: the same Motion drives any identity.

    Axes of the head frame: x to the right of the picture, y down, z away from the camera. The
    face unit is the distance between the outer eye corners in the neutral face.
    """

    rotation: F32
    """(3, 3), target head now from target head at its neutral"""
    translation: F32
    """(2,) face units, of the head's centre, from where it was at the neutral"""
    scale: float
    """head size relative to the neutral; 1 is the same distance from the camera"""
    expression: F32
    """(478, 3) face units, offsets from the neutral in the head frame, irises included"""
    eye_openness: F32
    """(2,) how open the subject's right and left eye is; 0 closed, 1 as in the neutral"""
    coefficients: Mapping[str, float]
    """ARKit-named: jawOpen, eyeBlinkLeft, eyeBlinkRight, mouthSmile, browInnerUp; 0..1"""
    rest: Rest | None = None
    """only while a neutral is being taken"""


@dataclass(frozen=True, slots=True)
class Rendered:
    """The driven foreground on the canvas, before any background."""

    rgb: U8
    """(H, W, 3) not premultiplied"""
    alpha: U8
    """(H, W) 0..255"""


@dataclass(frozen=True, slots=True)
class RenderedOnGpu:
    """A Rendered that lies on a GPU; until the next one is rendered there."""

    picture: GpuPicture


@dataclass(frozen=True, slots=True)
class Cutout:
    """The avatar without any background, for viewers who put their own behind it."""

    rgb: U8
    """(H, W, 3) not premultiplied, continued under what is transparent"""
    alpha: U8
    """(H, W) 0..255"""


@dataclass(frozen=True, slots=True)
class Composited:
    rgb: U8
    """(H, W, 3), H and W even"""
    cutout: Cutout | None = None
    """the same picture's; only while somebody watches it"""


@dataclass(frozen=True, slots=True)
class CompositedOnGpu:
    """A Composited that lies on a GPU; never with a cutout."""

    picture: GpuPicture


@dataclass(frozen=True, slots=True)
class MarkedCutout:
    """A cutout that carries the mark, in its matte as well. Only `stages/mark.py` makes one."""

    rgb: U8
    """(H, W, 3) not premultiplied"""
    alpha: U8
    """(H, W) 0..255"""


@dataclass(frozen=True, slots=True)
class Marked:
    """A picture that carries the visible mark, and knows the invisible one that it has to carry.

    Only `stages/mark.py` makes one.
    """

    rgb: U8
    """(H, W, 3), H and W even"""
    label: str
    """as it stands in the picture; empty where a setting took it off"""
    payload: int
    """32 bits that the invisible mark has to say, for `emit` to add"""
    cutout: MarkedCutout | None = None


@dataclass(frozen=True, slots=True)
class MarkedOnGpu:
    """A Marked that lies on a GPU. Only `stages/mark.py` makes one."""

    picture: GpuPicture
    label: str
    """as of `Marked`"""
    payload: int
    """as of `Marked`"""


@dataclass(frozen=True, slots=True)
class OutputFrame:
    """What a sink may show: it carries the invisible mark, whatever the settings.

    Only `stages/emit.py` makes one, and only from a Marked or a MarkedOnGpu.
    """

    i420: U8
    """(H * 3 // 2, W), BT.601 limited range"""
    stacked_i420: U8 | None = field(default=None, kw_only=True)
    """(H * 3, W) the same picture cut out, above its matte; only while somebody watches that"""
    width_px: int
    height_px: int
    source_seq: int
    """the SourceFrame that it answers; -1 for a card"""
    pts: int
    """1/90000 s of that source frame; a sink may re-stamp it"""
    state: OutputState
    timings: Timings
    payload: int
    """what its invisible mark says"""


@dataclass(frozen=True, slots=True)
class Voice:
    """Some milliseconds of the performer's voice, as their own encoder made them."""

    opus: bytes
    """one packet (RFC 6716)"""
    ticks: int
    """1/48000 s on the microphone's clock, of its first sample; never resampled"""
    pts: int | None
    """1/90000 s on the scale of SourceFrame.pts: of the camera picture that was taken meanwhile;
    None before there was any"""
    arrived_ns: int
    """monotonic"""


@dataclass(frozen=True, slots=True)
class Controls:
    """What a performer changes live, by data channel. Gains: 0 off, 1 as performed, 2 at most."""

    expression: float = 1.0
    """over all of mouth, blink, brows and gaze"""
    mouth: float = 1.0
    blink: float = 1.0
    brows: float = 1.0
    gaze: float = 1.0
    head: float = 1.0
    smoothing: float = 0.5
    """0 rawest and fastest, 1 calmest"""
    background: Literal["identity", "color", "blur", "camera"] = "identity"
    color: str = "#00b140"
    """#rrggbb of the solid background (the broadcast chroma green)"""
    mirror: bool = False
    """flip the avatar horizontally, as in a mirror"""
