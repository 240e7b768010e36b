"""Whether the person at the camera is there, alive, and looks like the one in a picture.

    look ahead, for a second -> step -> look ahead -> step -> ... -> is it the face of the picture?

Each step is one of a drawn order (`challenge.py`): done in time, from rest, by a motion that can be
followed, and no other one instead. The shape of the face, as it is at rest between the steps, is
compared with the picture's (`likeness.py`). All of it is read from the landmarks that drive the
avatar; nothing of them is kept.

`Judge` is pure: faces and times in. `LiveCheck` carries them from the thread that tracks to those
who ask how it goes.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from engines.rigid import fit_similarity
from realtime import face_regions, likeness
from realtime.calibration import Calibrator, Neutral, Sample
from realtime.challenge import Step
from realtime.clock import NS_PER_S, VIDEO_CLOCK_HZ, Clock
from realtime.frames import F32, U8, FaceTrack, Tracked
from realtime.stages.retarget import euler_rad

Phase = Literal["rest", "act", "back", "passed", "failed"]

TOTAL_S = 60.0
REST_S = 15.0
"""until somebody looks ahead"""
STEP_S = 8.0
"""for each step, and for each way back"""
SILENT_S = 3.0
"""without any picture"""
LOST_S = 0.5
"""without a face: in longer ones somebody else could take the place"""
TURN_DEG, NOD_DEG = 16.0, 11.0
"""a head that is turned, and one that is raised or lowered"""
RESTING = 0.5
"""share of them below which a head looks ahead"""
HELD_FRAMES = 3
"""so many in a row are a turn, or a look ahead"""
LEAP, LEAP_PER_S, LONGEST_LEAP_S = 0.4, 10.0, 0.15
"""what a head may do of a turn from one picture to the next, or in that time; more is a cut"""
JUMP_DEG, JUMP_UNITS, JUMP_SCALE = 20.0, 0.6, 1.3
"""from one picture to the next: a cut, or another picture held up"""
SHUT, OPEN = 0.55, 0.75
"""shares of the lids' opening at rest"""
LONGEST_BLINK_S = 2.0
MOST_SHAPES = 60
"""that are kept of each look ahead"""
_MOST_WAITING = 300
"""pictures, for who asks too seldom"""
_SKULL = np.flatnonzero(face_regions.regions().skull)

NOBODY = "no face looked at the camera"
NO_PICTURE = "no picture came from the camera"
LOST = "the face was lost from sight"
JUMPED = "the face jumped from one picture to the next"
OTHER_STEP = "another movement was made than the one that was asked for"
TOO_SLOW = "the movement was not made in time"
OUT_OF_TIME = "the time ran out"
TWO_FACES = "more than one face was in the picture"
ANOTHER_FACE = "the face changed between the first movement and the last"


@dataclass(frozen=True, slots=True)
class Progress:
    """How a check goes."""

    phase: Phase
    done: int
    """steps"""
    of: int
    ask: Step | None
    """what is to be done now; None: look ahead"""
    left_s: float
    """until this step is given up"""
    problem: str
    """why it failed; empty otherwise"""
    score: float | None
    """distance of the faces' shapes, face units; None before the end"""


class Judge:
    """Follows one face through the steps.

    Args:
        photo: (478, 3) shape of the picture's face, of `likeness`.
    """

    def __init__(self, steps: Sequence[Step], photo: F32, began_ns: int) -> None:
        self.steps = tuple(steps)
        self.phase: Phase = "rest"
        self.problem = ""
        self.score: float | None = None
        self._photo = photo
        self._done = 0
        self._began_ns = self._phase_ns = self._heard_ns = began_ns
        self._face_ns: int | None = None
        """by the camera's clock"""
        self._begin_rest()

    def _begin_rest(self) -> None:
        self._calibrator = Calibrator(1.0, on_demand=True)
        self._neutral: Neutral | None = None
        self._aim: F32 | None = None
        """where the head pointed in the picture before"""
        self._last: Sample | None = None
        self._shapes: list[list[F32]] = [[]]
        """of each look ahead"""
        self._forget_way()

    def _forget_way(self) -> None:
        self._leapt = False
        self._held = 0
        self._held_turn: Step | None = None
        self._shut_ns: int | None = None
        self._was_open = False

    @property
    def running(self) -> bool:
        return self.phase not in ("passed", "failed")

    def progress(self, now_ns: int) -> Progress:
        ask = self.steps[self._done] if self.phase == "act" else None
        left_s = 0.0
        if self.running:
            in_all_s = TOTAL_S - (now_ns - self._began_ns) / NS_PER_S
            left_s = min(self._patience_s - (now_ns - self._phase_ns) / NS_PER_S, in_all_s)
        return Progress(
            self.phase, self._done, len(self.steps), ask, max(0.0, left_s), self.problem, self.score
        )

    @property
    def _patience_s(self) -> float:
        return REST_S if self.phase == "rest" else STEP_S

    def fail(self, problem: str) -> None:
        """End it; what failed before stays as it is."""
        if self.phase != "failed":
            self.phase, self.problem = "failed", problem

    def tick(self, now_ns: int) -> None:
        """Time goes by, whether or not anything is seen."""
        if not self.running:
            return
        if now_ns - self._began_ns > TOTAL_S * NS_PER_S:
            self.fail(OUT_OF_TIME)
        elif now_ns - self._heard_ns > SILENT_S * NS_PER_S:
            self.fail(NO_PICTURE)
        elif now_ns - self._phase_ns > self._patience_s * NS_PER_S:
            self.fail(NOBODY if self.phase == "rest" else TOO_SLOW)

    def see(self, landmarks_px: F32 | None, now_ns: int, taken_ns: int | None = None) -> None:
        """One picture of the camera: its face's (478, 3) landmarks, or None without one.

        Args:
            taken_ns: by the camera's clock, for pictures may arrive in bursts; None for `now_ns`.
        """
        self.tick(now_ns)
        taken_ns = now_ns if taken_ns is None else taken_ns
        self._heard_ns = now_ns
        if not self.running:
            return
        gap_ns, sample = 0, None if landmarks_px is None else Sample.of(landmarks_px)
        face_ns = taken_ns if self._face_ns is None else self._face_ns
        problem = LOST if taken_ns - face_ns > LOST_S * NS_PER_S else ""
        if sample is not None:
            last, self._last = self._last, sample
            gap_ns, self._face_ns = taken_ns - face_ns, taken_ns
            if last is not None and _jumped(last, sample):
                problem = JUMPED
        if problem and self.phase == "rest":
            self._begin_rest()
        elif problem:
            self.fail(problem)
        elif landmarks_px is not None and sample is not None:
            self._follow(landmarks_px, sample, now_ns, gap_ns)

    def _follow(self, landmarks_px: F32, sample: Sample, now_ns: int, gap_ns: int) -> None:
        if self._neutral is None:
            self._neutral = self._calibrator.add(sample, now_ns)
            self._keep(sample)
            if self._neutral is not None:
                self._enter("act", now_ns)
            return
        pose = fit_similarity(self._neutral.face[_SKULL], landmarks_px[_SKULL], _SKULL_WEIGHTS)
        aim = _aim(euler_rad(pose.rotation))
        turn, share = _turn(aim)
        held = self._hold(turn, share, aim, gap_ns)
        if share < RESTING:
            self._keep(sample)
        if self.phase == "back":
            self._come_back(share, held, now_ns)
        elif held is not None:
            self._turned(held, now_ns)
        elif self.steps[self._done] == "blink" and self._blinked(sample, share, now_ns):
            self._enter("back", now_ns)

    def _hold(self, turn: Step, share: float, aim: F32, gap_ns: int) -> Step | None:
        """The turn in which the head is held, if it is; notes how it came there."""
        before, self._aim = self._aim, aim
        if share < RESTING:
            self._leapt = False
        if before is not None:
            limit = max(LEAP, LEAP_PER_S * min(gap_ns / NS_PER_S, LONGEST_LEAP_S))
            self._leapt |= float(np.linalg.norm(aim - before)) > limit
        if share < 1:
            self._held, self._held_turn = 0, None
        else:
            self._held = self._held + 1 if turn == self._held_turn else 1
            self._held_turn = turn
        return self._held_turn if self._held >= HELD_FRAMES else None

    def _turned(self, held: Step, now_ns: int) -> None:
        if held != self.steps[self._done]:
            self.fail(OTHER_STEP)
        elif self._leapt:
            self.fail(JUMPED)
        else:
            self._enter("back", now_ns)

    def _come_back(self, share: float, held: Step | None, now_ns: int) -> None:
        done = self.steps[self._done]
        if held is not None and held != done:
            self.fail(OTHER_STEP)
        elif len(self._shapes[-1]) >= HELD_FRAMES and share < RESTING:
            self._done += 1
            if self._done < len(self.steps):
                self._enter("act", now_ns)
            else:
                self._compare()

    def _blinked(self, sample: Sample, share: float, now_ns: int) -> bool:
        """Whether both eyes have closed and opened, the head looking ahead all the while."""
        assert self._neutral is not None
        opening = float(np.mean([_opening(sample.face, self._neutral.face, eye) for eye in (0, 1)]))
        if share >= 1:
            self._shut_ns, self._was_open = None, False
        elif opening > OPEN:
            blinked = self._shut_ns is not None
            if self._shut_ns is not None:
                blinked = now_ns - self._shut_ns < LONGEST_BLINK_S * NS_PER_S
            self._shut_ns, self._was_open = None, True
            return blinked
        elif opening < SHUT and self._was_open and self._shut_ns is None:
            self._shut_ns = now_ns
        return False

    def _keep(self, sample: Sample) -> None:
        if sample.frontal and len(self._shapes[-1]) < MOST_SHAPES:
            self._shapes[-1].append(sample.face)

    def _enter(self, phase: Phase, now_ns: int) -> None:
        self.phase, self._phase_ns = phase, now_ns
        if phase == "back":
            self._shapes.append([])
        self._forget_way()

    def _compare(self) -> None:
        looks = [likeness.mean_shape(shapes) for shapes in self._shapes if shapes]
        together = likeness.mean_shape([shape for shapes in self._shapes for shape in shapes])
        self.score = likeness.distance(self._photo, together)
        if any(likeness.distance(looks[0], look) > likeness.THRESHOLD for look in looks[1:]):
            self.fail(ANOTHER_FACE)
        elif self.score > likeness.THRESHOLD:
            self.fail(
                f"the face at the camera is not like the picture's: {self.score:.3f} apart, "
                f"at most {likeness.THRESHOLD:.3f} is let through"
            )
        else:
            self.phase = "passed"


class LiveCheck:
    """One check: seen by the thread that tracks, asked about by others.

    Args:
        count_faces: of a picture; takes its time.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        photo: F32,
        clock: Clock,
        count_faces: Callable[[U8], int],
    ) -> None:
        self._judge = Judge(steps, photo, clock.now_ns())
        self._clock = clock
        self._count_faces = count_faces
        self._waiting: deque[tuple[F32 | None, int, int]] = deque(maxlen=_MOST_WAITING)
        self._picture: U8 | None = None
        self._counted = (True, 0)
        self._lock = threading.Lock()

    @property
    def steps(self) -> tuple[Step, ...]:
        return self._judge.steps

    def see(self, tracked: Tracked) -> None:
        """What the session tracked in one picture; takes no time."""
        if not self._judge.running:
            return
        face = tracked.face
        landmarks = face.landmarks_px if isinstance(face, FaceTrack) else None
        self._picture = tracked.source.rgb
        taken_ns = tracked.source.pts * NS_PER_S // VIDEO_CLOCK_HZ
        self._waiting.append((landmarks, tracked.source.arrived_ns, taken_ns))

    def progress(self) -> Progress:
        """Judge what was seen since; blocks for some milliseconds, and where faces are counted."""
        with self._lock:
            judge = self._judge
            while self._waiting and judge.running:
                judge.see(*self._waiting.popleft())
            now_ns = self._clock.now_ns()
            judge.tick(now_ns)
            progress = judge.progress(now_ns)
            if self._sees_another(progress):
                judge.fail(TWO_FACES)
            self._forget_if_over()
            return judge.progress(now_ns)

    def _sees_another(self, progress: Progress) -> bool:
        """Looked at before the first step, and after each."""
        at = progress.phase == "rest", progress.done
        if at == self._counted or self._picture is None or progress.phase == "failed":
            return False
        self._counted = at
        return self._count_faces(self._picture) > 1

    def give_up(self, problem: str) -> None:
        """End it, unless it has ended."""
        with self._lock:
            if self._judge.running:
                self._judge.fail(problem)
            self._forget_if_over()

    def _forget_if_over(self) -> None:
        if not self._judge.running:
            self._picture = None
            self._waiting.clear()


def _aim(angles_rad: F32) -> F32:
    """(2,) where a head points that looked ahead, sideways and downwards: 1 is a turn."""
    return np.asarray(np.degrees(angles_rad[:2]) / (TURN_DEG, NOD_DEG), np.float32)


def _turn(aim: F32) -> tuple[Step, float]:
    """Which turn that is most of, and how much of it."""
    aside, down = aim.tolist()
    if abs(aside) >= abs(down):
        return ("right" if aside > 0 else "left"), abs(aside)
    return ("down" if down > 0 else "up"), abs(down)


def _jumped(before: Sample, now: Sample) -> bool:
    """Whether no head moves so far from one picture to the next."""
    between = before.rotation.T @ now.rotation
    turned_rad = math.acos(float(np.clip((np.trace(between) - 1) / 2, -1, 1)))
    moved = float(np.linalg.norm(now.centre_px - before.centre_px)) / before.scale_px
    grown = max(now.scale_px / before.scale_px, before.scale_px / now.scale_px)
    return math.degrees(turned_rad) > JUMP_DEG or moved > JUMP_UNITS or grown > JUMP_SCALE


def _opening(face: F32, neutral: F32, eye: int) -> float:
    """Of an eye, as a share of its opening at rest."""
    return face_regions.lid_gap(face, eye) / max(face_regions.lid_gap(neutral, eye), 1e-3)


_SKULL_WEIGHTS = face_regions.regions().skull[_SKULL]
