"""The trials of an evaluation: what is shown to whom, and which measures are taken of it.

    self      a person's first frame, driven to where the same person's other frames are
    cross     the same portrait, driven by another person through the daemon's retargeting
    neutral   the same portrait, driven by no motion at all: has the identity stayed?
    clips     a shipped identity, driven by a performer's clip: does it follow, does it flicker?
    still     the same, driven by one noisy picture of a performer who does not move at all

All contestants are shown the same samples, over the same mid grey. A sample in whose output no face
is found is counted in `Scores.missing`; only the measures that need its landmarks go without it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines import crop, face_mesh
from engines.models import Memory
from engines.pose import MotionTensors
from engines.training import measures
from engines.training.contestants import COPY, Contestant, Sitting
from engines.training.people import Find, Person, find_face
from engines.training.performances import STILL_FPS, Performance, Truth, pose_motions, tensors_of
from engines.training.samples import exact_placement
from engines.training.scores import Sample, Scores
from engines.warp import Placement
from realtime.clock import NS_PER_S
from realtime.config import Config
from realtime.drivers.camera import CameraDriver
from realtime.frames import FaceTrack, Motion, SourceFrame
from realtime.stages.retarget import euler_rad

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

INPUT = "input"
"""stands among the contestants where the performer's own picture is measured"""
YAW_STEPS_DEG = (25.0, 40.0)
_SETTLE = 15
"""frames of a still clip before anything is measured: smoothing and rate control begin there"""
_RIGID = list(face_mesh.RIGID)
_STILL = MotionTensors(
    np.eye(3, dtype=np.float32),
    np.zeros(2, np.float32),
    1.0,
    np.zeros((face_mesh.LANDMARKS, 3), np.float32),
    np.ones(2, np.float32),
)


def sit(person: Person, everybody: Sequence[Contestant], find: Find = find_face) -> list[Sitting]:
    """Every contestant's view of one person, on a canvas as large as the portrait."""
    portrait = person.rgba(person.portrait)
    landmarks, canvas_hw = person.landmarks[person.portrait], (portrait.shape[0], portrait.shape[1])
    return [
        Sitting(one, one.reenactor.encode_identity(portrait, landmarks, canvas_hw), find)
        for one in everybody
    ]


def self_trial(person: Person, sittings: Sequence[Sitting], scores: Scores) -> None:
    """Drive the portrait to the person's other frames, and compare with those."""
    own = person.landmarks[person.portrait]
    for frame in person.driving():
        wanted, sample = person.landmarks[frame], Sample(person.name, frame)
        target = crop.over_grey(person.rgba(frame))
        boxes = measures.regions(wanted, (target.shape[0], target.shape[1]))
        for sitting in sittings:
            placement = exact_placement(sitting.identity, own, wanted)
            rgb = sitting.draw(placement, placement.torso)
            name = sitting.contestant.name
            compared = measures.compare(rgb, target, boxes)
            scores.add_all(name, sample, {f"self_{k}": value for k, value in compared.items()})
            _score_landmarks("self", sitting, sample, rgb, placement, scores)


def cross_trial(
    person: Person,
    driver: Person,
    frames: list[str],
    sittings: Sequence[Sitting],
    scores: Scores,
) -> int:
    """Let another person drive the portrait. Returns how many frames retargeting refused."""
    motions = pose_motions(driver, frames, Config())
    for frame, motion in zip(frames, motions, strict=True):
        if motion is not None:
            _cross_frame(Sample(person.name, frame), motion, sittings, scores)
    return sum(motion is None for motion in motions)


def neutral_trial(person: Person, sittings: Sequence[Sitting], scores: Scores) -> None:
    """Draw the portrait at rest, and compare it with the copied portrait."""
    sample = Sample(person.name, "neutral")
    copy = next(one for one in sittings if one.contestant.name == COPY)
    rest = copy.identity.target.place(_STILL)
    own = copy.draw(rest, rest.torso)
    found_own = copy.landmarks_in(own)
    for sitting in sittings:
        name, rgb = sitting.contestant.name, sitting.draw(rest, rest.torso)
        colour = measures.colour_distance(rgb, own, rest.landmarks)
        scores.add("neutral_colour", name, sample, colour)
        found = sitting.landmarks_in(rgb)
        scores.looked_for_face("neutral", name, found is not None)
        if found is not None and found_own is not None:
            shape = measures.shape_distance_percent(found, found_own)
            scores.add("neutral_shape_percent", name, sample, shape)


@dataclass(frozen=True)
class Drawn:
    """A driven clip, as it was to be and as it became."""

    pictures: list[U8]
    """(H, W) luma"""
    wanted: F32
    """(N, 478, 3)"""
    found: list[F32 | None]
    """empty where nobody looked"""


def clip_trial(
    performance: Performance,
    truth: Truth,
    sittings: Sequence[Sitting],
    sample: Sample,
    scores: Scores,
) -> int:
    """Let a performer drive a shipped identity. Returns how many frames retargeting refused."""
    driven = [i for i, motion in enumerate(performance.motions) if motion is not None]
    jaw = np.array([truth[i]["jaw"] for i in driven])
    blink = np.array([truth[i]["blink"] for i in driven])
    for sitting in sittings:
        drawn = _draw_clip(sitting, performance, CameraDriver(Config().tracking))
        name = sitting.contestant.name
        for face in drawn.found:
            scores.looked_for_face("clips", name, face is not None)
        scores.add_all(name, sample, follows(drawn, jaw, blink))
        still = measures.still_landmarks(performance.landmarks[driven])
        still &= measures.still_landmarks(drawn.wanted)
        _score_flicker("clips", name, drawn, performance, still, sample, scores)
        scores.add("clips_still_percent", INPUT, sample, 100 * float(still.mean()))
    return len(performance.motions) - len(driven)


def still_trial(
    performance: Performance, sittings: Sequence[Sitting], sample: Sample, scores: Scores
) -> None:
    """Let somebody drive a shipped identity who does not move: all of the face is still."""
    for sitting in sittings:
        drawn = _draw_clip(sitting, performance, None)
        still = np.repeat(measures.INNER_FACE[None], len(drawn.pictures) - 2, axis=0)
        still[:_SETTLE] = False
        _score_flicker("still", sitting.contestant.name, drawn, performance, still, sample, scores)


def follows(drawn: Drawn, jaw: F64, blink: F64) -> dict[str, float]:
    """How well lips and lids that are found in the output follow the driven ones and the truth."""
    both = [i for i, face in enumerate(drawn.found) if face is not None]
    found = [face for face in drawn.found if face is not None]
    lips, lids = [measures.lip_gap(f) for f in found], [measures.eye_aspect(f) for f in found]
    wanted_lips = [measures.lip_gap(drawn.wanted[i]) for i in both]
    wanted_lids = [measures.eye_aspect(drawn.wanted[i]) for i in both]
    distances = [measures.akd_percent(f, drawn.wanted[i]) for f, i in zip(found, both, strict=True)]
    return {
        "clips_akd_percent": float(np.mean(distances)) if distances else math.nan,
        "clips_lip_gap_r": measures.correlation(lips, wanted_lips),
        "clips_eye_aspect_r": measures.correlation(lids, wanted_lids),
        "clips_lip_gap_truth_r": measures.correlation(lips, jaw[both]),
        "clips_eye_aspect_truth_r": measures.correlation(lids, 1 - blink[both]),
    }


def yaw_range(placement: Placement) -> str:
    """The name of the range in which the head's turn lies, from the portrait."""
    yaw_deg = abs(math.degrees(float(euler_rad(placement.head.rotation)[0])))
    small, large = YAW_STEPS_DEG
    if yaw_deg <= small:
        return f"to_{small:.0f}"
    return f"{small:.0f}_to_{large:.0f}" if yaw_deg <= large else f"beyond_{large:.0f}"


def _cross_frame(
    sample: Sample, motion: Motion, sittings: Sequence[Sitting], scores: Scores
) -> None:
    for sitting in sittings:
        target = sitting.identity.target
        placement = target.place(tensors_of(motion))
        rgb = sitting.draw(placement, target.place(_STILL).torso)
        _score_landmarks("cross", sitting, sample, rgb, placement, scores)


def _score_landmarks(  # noqa: PLR0913 - one step of two trials
    trial: str,
    sitting: Sitting,
    sample: Sample,
    rgb: U8,
    placement: Placement,
    scores: Scores,
) -> None:
    name, found = sitting.contestant.name, sitting.landmarks_in(rgb)
    scores.looked_for_face(trial, name, found is not None)
    if found is None:
        return
    akd = measures.akd_percent(found, placement.landmarks)
    scores.add(f"{trial}_akd_percent", name, sample, akd)
    scores.add(f"{trial}_akd_{yaw_range(placement)}_percent", name, sample, akd)


def _draw_clip(sitting: Sitting, performance: Performance, viewer: CameraDriver | None) -> Drawn:
    """Draw every frame that drives; a viewer tracks them, frame after frame and unsmoothed."""
    target = sitting.identity.target
    rest, memory = target.place(_STILL).torso, Memory()
    pictures: list[U8] = []
    found: list[F32 | None] = []
    placements = [target.place(motion) for motion in performance.motions if motion is not None]
    for index, placement in enumerate(placements):
        rgb = sitting.draw(placement, rest, memory)
        pictures.append(measures.luma(rgb).astype(np.uint8))
        if viewer is not None:
            face = viewer.track(SourceFrame(index, 0, index * NS_PER_S // STILL_FPS, rgb))
            found.append(face.landmarks_px if isinstance(face, FaceTrack) else None)
    if viewer is not None:
        viewer.close()
    return Drawn(pictures, np.stack([placement.landmarks for placement in placements]), found)


def _score_flicker(  # noqa: PLR0913 - one step of two trials
    trial: str,
    name: str,
    drawn: Drawn,
    performance: Performance,
    still: NDArray[np.bool_],
    sample: Sample,
    scores: Scores,
) -> None:
    """Flicker of the output, of the input, and their ratio, at the same landmarks and times."""
    driven = [i for i, motion in enumerate(performance.motions) if motion is not None]
    pictures_in = [performance.pictures[i] for i in driven]
    shown = measures.flicker(drawn.pictures, drawn.wanted, still)
    shown_in = measures.flicker(pictures_in, performance.landmarks[driven], still)
    scores.add(f"{trial}_flicker_levels", name, sample, shown)
    scores.add(f"{trial}_flicker_of_input", name, sample, shown / max(shown_in, 1e-6))
    scores.add(f"{trial}_flicker_levels", INPUT, sample, shown_in)
