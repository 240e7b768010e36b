"""Admission by cost: what is measured in, an answer out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from realtime.admission import MEMORY, Cost, Ledger, Second, alone_fps, forecast, note, refusal

MIN_FPS = 15
MANY_CORES = 64


def after(
    render_ms: Sequence[float],
    cpu_ms: float | None = None,
    capacity_fps: float | None = None,
    *,
    seconds: int = MEMORY,
    ledger: Ledger | None = None,
) -> Ledger:
    """What is known after seconds in which each session took so long."""
    names = {f"s{index}": taken_ms for index, taken_ms in enumerate(render_ms)}
    ledger = ledger or Ledger()
    for _ in range(seconds):
        ledger = note(ledger, Second(names, cpu_ms, capacity_fps), names)
    return ledger


def answer(ledger: Ledger, sessions: int, cores: int = MANY_CORES, min_fps: float = MIN_FPS) -> str:
    return refusal(ledger, sessions, min_fps, cores)[1] or ""


def test_the_render_thread_is_shared_by_all() -> None:
    ledger = after([14, 14, 13])
    assert answer(ledger, 3) == "", "1000 / 55 is 18"
    ledger = after([20, 20, 20])
    assert answer(ledger, 3) == (
        "3 sessions take 60 ms of render time a frame; a 4th would get 12 fps, "
        "server.min_fps is 15; end one, or lower server.min_fps"
    )


def test_a_newcomer_costs_what_the_others_cost_on_average() -> None:
    found = forecast(after([10, 30]), 2, MANY_CORES)
    assert found is not None and found.fps == pytest.approx(1000 / 60)


def test_those_who_have_not_yet_shown_their_cost_count_as_well() -> None:
    ledger = after([20])
    assert answer(ledger, 1) == "" and answer(ledger, 2) == ""
    assert "3 sessions take 60 ms of render time" in answer(ledger, 3)


def test_the_rehearsal_counts_until_somebody_performs() -> None:
    ledger = Ledger(rehearsed=Cost(render_ms=30, cpu_ms=30))
    assert answer(ledger, 1) == ""
    assert "2 sessions take 60 ms of render time" in answer(ledger, 2)
    assert answer(after([10], ledger=ledger), 2) == ""


def test_one_alone_has_what_all_share() -> None:
    assert alone_fps(Cost(render_ms=10, cpu_ms=40), cores=2) == 50
    assert alone_fps(Cost(render_ms=25, cpu_ms=40), cores=8) == 40


def test_the_first_is_never_refused_nor_is_anybody_while_nothing_is_known() -> None:
    assert answer(Ledger(rehearsed=Cost(500, 500)), 0) == ""
    assert answer(after([500]), 0) == ""
    assert answer(Ledger(), 7) == "" and forecast(Ledger(), 7, 2) is None


def test_processors_are_shared_by_all_threads() -> None:
    ledger = after([10, 10, 10], cpu_ms=40)
    assert answer(ledger, 3, cores=4) == ""
    text = answer(ledger, 3, cores=2)
    assert text.startswith("3 sessions take 120 ms of processor time a frame on 2 cores; a 4th")
    assert "would get 12 fps" in text


def test_sessions_that_lose_frames_share_what_there_is() -> None:
    ledger = after([5, 5], capacity_fps=40)
    assert answer(ledger, 2).startswith("2 sessions get 40 fps in all and lose frames; a 3rd")
    assert answer(after([5, 5], capacity_fps=60), 2) == ""


def test_one_slow_second_refuses_nobody_and_many_do() -> None:
    ledger = after([14, 14, 14])
    slow = after([40, 40, 40], capacity_fps=20, seconds=1, ledger=ledger)
    assert answer(slow, 3) == ""
    assert answer(after([40, 40, 40], seconds=MEMORY // 2 + 1, ledger=ledger), 3) != ""


def test_who_was_refused_comes_in_when_there_is_clearly_room() -> None:
    ledger, reason = refusal(after([17] * 3), 3, MIN_FPS, MANY_CORES)
    assert reason is not None and ledger.refused_at == 3
    hardly = after([16.5] * 3, ledger=ledger)
    assert answer(after([16.5] * 3), 3) == "" and answer(hardly, 3) != "", "15.2 fps"
    ledger, reason = refusal(after([15] * 3, ledger=ledger), 3, MIN_FPS, MANY_CORES)
    assert reason is None and ledger.refused_at is None, "16.7 fps"


def test_a_place_that_is_free_again_is_given_away_without_a_margin() -> None:
    ledger, reason = refusal(after([17] * 3), 3, MIN_FPS, MANY_CORES)
    assert reason is not None
    ledger = after([21] * 2, ledger=ledger)
    assert answer(ledger, 2) == "", "15.9 fps"


def test_what_is_gone_is_forgotten() -> None:
    ledger = note(after([90, 10]), Second({"s1": 10}, None, None), ["s1"])
    assert set(ledger.render_ms) == {"s1"}
    assert all(len(taken) <= MEMORY for taken in ledger.render_ms.values())


def test_nothing_is_refused_where_it_is_switched_off() -> None:
    assert answer(after([100] * 5), 5, min_fps=0) == ""


@pytest.mark.parametrize(("count", "word"), [(1, "2nd"), (2, "3rd"), (10, "11th"), (20, "21st")])
def test_it_is_said_as_people_say_it(count: int, word: str) -> None:
    assert f"a {word} would get" in answer(after([100] * count), count)
