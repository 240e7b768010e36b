"""The check at the camera: who does the steps passes, and nothing else does."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from realtime import likeness, live_check
from realtime.challenge import STEPS, Step, draw
from realtime.clock import NS_PER_S
from realtime.config import Tracking
from realtime.frames import F32, FaceTrack, NoFace, SourceFrame, Timings, Tracked
from realtime.live_check import Judge, LiveCheck, Progress
from realtime.smoothing import LandmarkSmoother
from tests import live_faces
from tests.live_faces import FPS, Shown, filmed, performance, rest, shape, step

ASKED: tuple[Step, ...] = ("left", "blink", "up", "right")
MORE_S = 70
"""after the last picture, for a time to run out"""


def photo(person: int = 1) -> F32:
    found = live_faces.landmarks(Shown(), shape(person))
    assert found is not None
    taken = likeness.shape_of(found)
    assert taken is not None
    return taken


def judged(
    film: Iterable[tuple[F32 | None, int]],
    steps: Sequence[Step] = ASKED,
    of: int = 1,
    smooth: bool = True,
) -> Progress:
    """What becomes of a check; the time goes on after the film."""
    judge, smoother, now_ns = Judge(steps, photo(of), 0), LandmarkSmoother(Tracking()), 0
    for found, now_ns in film:
        if found is not None and smooth:
            found = smoother(found, now_ns, 0.5)
        judge.see(found, now_ns)
    for second in range(MORE_S):
        judge.tick(now_ns + second * NS_PER_S)
    return judge.progress(now_ns)


# Who is drawn


def test_the_order_cannot_be_known() -> None:
    drawn = {draw() for _ in range(4000)}
    assert len(drawn) == 144, "36 orders of turns, 4 places of the blink"
    for steps in drawn:
        turns = [name for name in steps if name != "blink"]
        assert len(turns) == 3 and len(steps) == 4
        assert all(first != second for first, second in itertools.pairwise(turns))


def test_a_draw_follows_its_source_of_chance() -> None:
    numbers = iter([0, 0, 1, 2])
    assert draw(lambda below: next(numbers)) == ("left", "right", "blink", "up")


# Who passes


@pytest.mark.parametrize(
    "steps", [ASKED, ("down", "left", "right", "blink"), ("blink", "up", "down", "left")]
)
@pytest.mark.parametrize("person", [1, 2, 3])
def test_the_person_in_the_picture_passes(steps: tuple[Step, ...], person: int) -> None:
    found = judged(filmed(performance(steps), person), steps, person)
    assert found.problem == "" and found.phase == "passed" and found.done == 4
    assert found.score is not None and found.score < 0.6 * likeness.THRESHOLD


def test_a_slow_camera_is_enough() -> None:
    shown = performance(ASKED)[::2]
    assert judged(filmed(shown, fps=FPS / 2)).phase == "passed"


def test_what_the_eyes_do_meanwhile_is_free() -> None:
    shown = [*rest(), *step("blink"), *performance(ASKED)]
    assert judged(filmed(shown)).phase == "passed"


def test_a_face_that_is_lost_for_a_moment_is_the_same() -> None:
    shown = performance(ASKED)
    shown[50:58] = [replace(one, there=False) for one in shown[50:58]]
    assert judged(filmed(shown)).phase == "passed"


def test_it_waits_until_somebody_looks_ahead() -> None:
    shown = [*[Shown(there=False)] * 100, *performance(ASKED)]
    assert judged(filmed(shown)).phase == "passed"


def test_pictures_that_arrive_in_bursts_were_not_taken_so() -> None:
    judge, now_ns = Judge(ASKED, photo(), 0), 0
    for number, (found, taken_ns) in enumerate(filmed(performance(ASKED)[::3], fps=FPS / 3)):
        now_ns = taken_ns if number % 3 else now_ns + 1_000_000
        judge.see(found, now_ns, taken_ns)
    assert judge.progress(now_ns).problem == ""


# Who does not


ATTACKS: dict[str, tuple[list[Shown], str]] = {
    "a still photo": (rest(30), live_check.TOO_SLOW),
    "a photo that is turned, for it cannot blink": (
        live_faces.without_blinking(performance(ASKED)),
        live_check.OTHER_STEP,
    ),
    "a clip with another order": (
        performance(("right", "blink", "up", "left")),
        live_check.OTHER_STEP,
    ),
    "a clip of all there is, again and again": (
        performance(("up", "blink", "left", "down", "right", "blink") * 3),
        live_check.OTHER_STEP,
    ),
    "a clip with a blink too few": (performance(("left", "up", "right")), live_check.OTHER_STEP),
    "one who gives up": ([*performance(("left",)), *rest(20)], live_check.TOO_SLOW),
    "one who stays turned": (
        [*rest(), *step("left")[:16], *[Shown(yaw_deg=-24.0)] * 500],
        live_check.TOO_SLOW,
    ),
    "one who walks off": ([*performance(("left",)), *[Shown(there=False)] * 100], live_check.LOST),
    "one who comes back after a while": (
        [*performance(("left",)), *[Shown(there=False)] * 20, *performance(ASKED[1:])],
        live_check.LOST,
    ),
    "a cut from one pose to the next": (
        [*rest(), *[Shown(yaw_deg=-24.0)] * 12, *performance(ASKED[1:])],
        live_check.JUMPED,
    ),
    "a cut that is softened": (
        [*rest(), Shown(yaw_deg=-12.0), *[Shown(yaw_deg=-24.0)] * 12, *performance(ASKED[1:])],
        live_check.JUMPED,
    ),
    "nobody": ([Shown(there=False)] * 600, live_check.NOBODY),
    "a camera that goes off": (performance(ASKED)[:60], live_check.NO_PICTURE),
    "a camera that was never on": ([], live_check.NO_PICTURE),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_fails(attack: str) -> None:
    shown, problem = ATTACKS[attack]
    found = judged(filmed(shown))
    assert (found.phase, found.problem) == ("failed", problem)


@pytest.mark.parametrize("attack", ["a cut from one pose to the next", "a cut that is softened"])
def test_a_cut_is_seen_without_smoothing_too(attack: str) -> None:
    shown, problem = ATTACKS[attack]
    assert judged(filmed(shown), smooth=False).problem == problem


@pytest.mark.parametrize("other", [3, 4, 5])
def test_somebody_else_does_the_steps_in_vain(other: int) -> None:
    found = judged(filmed(performance(ASKED), other), of=1)
    assert found.phase == "failed" and found.done == 4
    assert found.problem.startswith("the face at the camera is not like the picture's")
    assert found.score is not None and found.score > likeness.THRESHOLD


def test_one_who_takes_the_others_place_between_two_steps() -> None:
    first, second = performance(ASKED[:2], 1.0), [*rest(1), *performance(ASKED[2:], 1.0)]
    film = [found for found, _ in filmed(first, 1)] + [found for found, _ in filmed(second, 3)]
    timed = [(found, round(at * NS_PER_S / FPS)) for at, found in enumerate(film)]
    found = judged(timed, of=1)
    assert found.phase == "failed"
    assert found.problem == live_check.ANOTHER_FACE or found.problem.startswith("the face at")


def test_too_long_in_all_is_too_long() -> None:
    steps: tuple[Step, ...] = ("left", "right") * 6
    found = judged(filmed(performance(steps, 4.0)), steps)
    assert found.problem == live_check.OUT_OF_TIME


def test_an_ended_check_stays_as_it_is() -> None:
    judge = Judge(ASKED, photo(), 0)
    judge.fail("a reason")
    for found, now_ns in filmed(performance(ASKED)):
        judge.see(found, now_ns)
    judge.fail("another")
    assert judge.progress(0).problem == "a reason" and judge.progress(0).left_s == 0


# Carried from thread to thread


class Hands:
    """A clock whose hands the test moves."""

    def __init__(self) -> None:
        self.ns = 0

    def now_ns(self) -> int:
        return self.ns


def seen_by(
    check: LiveCheck, hands: Hands, film: Iterable[tuple[F32 | None, int]], every: int = 4
) -> Progress:
    rgb = np.zeros((48, 64, 3), np.uint8)
    progress = check.progress()
    for number, (found, now_ns) in enumerate(film):
        hands.ns = now_ns
        face = NoFace("none") if found is None else FaceTrack(found, 1.0)
        source = SourceFrame(number, now_ns * 9 // 100_000, now_ns, rgb)
        check.see(Tracked(source, face, None, Timings(now_ns)))
        if number % every == 0:
            progress = check.progress()
            if progress.phase in ("passed", "failed"):
                break
    return check.progress()


def test_it_says_what_is_to_be_done_one_at_a_time() -> None:
    hands, asked = Hands(), []
    check = LiveCheck(ASKED, photo(), hands, lambda rgb: 1)
    rgb = np.zeros((48, 64, 3), np.uint8)
    for number, (found, now_ns) in enumerate(filmed(performance(ASKED))):
        hands.ns = now_ns
        assert found is not None
        source = SourceFrame(number, now_ns * 9 // 100_000, now_ns, rgb)
        check.see(Tracked(source, FaceTrack(found, 1.0), None, Timings(now_ns)))
        progress = check.progress()
        if progress.ask is not None and progress.ask not in asked:
            asked.append(progress.ask)
            assert 7 < progress.left_s <= 8
    assert tuple(asked) == ASKED and progress.phase == "passed"
    assert set(asked) <= set(STEPS)


@pytest.mark.parametrize("at", [0, 1, 4])
def test_two_faces_fail_whenever_they_are_counted(at: int) -> None:
    counted = itertools.count()
    hands = Hands()
    check = LiveCheck(ASKED, photo(), hands, lambda rgb: 2 if next(counted) == at else 1)
    found = seen_by(check, hands, filmed(performance(ASKED)))
    assert (found.phase, found.problem) == ("failed", live_check.TWO_FACES)
    assert next(counted) == at + 1


def test_a_check_that_nobody_asks_about_is_blind() -> None:
    hands = Hands()
    check = LiveCheck(ASKED, photo(), hands, lambda rgb: 1)
    long = [*performance(ASKED), *rest(20)]
    found = seen_by(check, hands, filmed(long), every=10**6)
    assert found.phase == "failed"


def test_given_up() -> None:
    check = LiveCheck(ASKED, photo(), Hands(), lambda rgb: 1)
    check.give_up("it was given up")
    assert (check.progress().phase, check.progress().problem) == ("failed", "it was given up")


def test_what_was_seen_is_forgotten_with_its_end_and_nothing_is_seen_after_it() -> None:
    check = LiveCheck(ASKED, photo(), Hands(), lambda rgb: 1)
    rgb, face = np.zeros((48, 64, 3), np.uint8), NoFace("none")
    for number in range(3):
        check.see(Tracked(SourceFrame(number, 0, 0, rgb), face, None, Timings(0)))
    assert check._picture is not None and len(check._waiting) == 3
    check.give_up("nobody asks")
    check.see(Tracked(SourceFrame(3, 0, 0, rgb), face, None, Timings(0)))
    assert check._picture is None and not check._waiting
