"""Where a new session goes, and who has which: looks in, names out."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.admission import Burden, Cost, Ledger
from realtime.placing import Place, choose, next_fps, owner_of_session, owner_of_viewer, performing
from realtime.worker_talk import Look, Running
from tests.test_admission import after

REHEARSED = Ledger(rehearsed=Cost(render_ms=20, cpu_ms=15))
MANY_CORES = 64


def place(worker: int, ledger: Ledger, sessions: int, *awaited: str) -> Place:
    return Place(worker, Burden(ledger, sessions), frozenset(awaited))


def chosen(*places: Place, name: str | None = None, cores: int = 2, min_fps: float = 15) -> Any:
    choice = choose(places, name, cores, min_fps)
    return choice.workers or choice.refusal


def test_the_second_session_goes_where_nobody_is() -> None:
    busy = after([20], cpu_ms=28)
    assert chosen(place(1, busy, 1), place(2, REHEARSED, 0)) == (2, 1)
    assert chosen(place(1, REHEARSED, 0), place(2, busy, 1)) == (1, 2)


def test_the_first_goes_to_the_first_and_unknown_costs_are_shared_by_number() -> None:
    assert chosen(place(1, REHEARSED, 0), place(2, REHEARSED, 0)) == (1, 2)
    assert chosen(place(1, Ledger(), 1), place(2, Ledger(), 0)) == (2, 1)


def test_the_cores_are_shared_by_all_processes() -> None:
    """An empty worker is no room where two others take both cores: 2000 / (3 * 50) is 13 fps."""
    busy = after([10], cpu_ms=50)
    places = place(1, busy, 1), place(2, busy, 1), place(3, REHEARSED, 0)
    assert chosen(*places) == (
        "2 sessions take 100 ms of processor time a frame on 2 cores; a 3rd would get 13 fps, "
        "server.min_fps is 15; end one, or lower server.min_fps"
    )
    assert chosen(*places, cores=4) == (3, 1, 2), "26 fps by the cores, whoever renders"
    assert next_fps(places, 2) == pytest.approx(2000 / 150)


def test_where_the_cores_are_the_bound_the_emptier_process_gets_it() -> None:
    """However its own frames were measured: on the same cores that is noise."""
    places = place(1, after([10], cpu_ms=20), 1), place(2, after([10], cpu_ms=60), 0)
    assert chosen(*places) == (2, 1)


def test_an_empty_workers_frames_cost_what_the_others_do() -> None:
    """The rehearsal knows the render thread only: 15 ms of 50."""
    places = place(1, after([10], cpu_ms=50), 1), place(2, REHEARSED, 0)
    assert next_fps(places, 2) == pytest.approx(2000 / 100)


def test_a_render_thread_that_is_full_refuses_its_own_process_only() -> None:
    full = after([30, 30])
    assert chosen(place(1, full, 2), place(2, REHEARSED, 0), cores=MANY_CORES) == (2,)


def test_all_that_lose_frames_share_what_there_is() -> None:
    """Both lose frames: 18 and 18 fps are what the machine has. One does not: nothing is known."""
    losing, fine = after([10], capacity_fps=18), after([10])
    assert "2 sessions get 36 fps in all and lose frames; a 3rd would get 12 fps" in chosen(
        *(place(1, losing, 1), place(2, losing, 1), place(3, Ledger(), 0)), cores=MANY_CORES
    )
    assert chosen(place(1, losing, 1), place(2, fine, 1), cores=MANY_CORES) == (2,)


def test_who_was_refused_comes_in_when_there_is_clearly_room() -> None:
    cores, hardly = 2, after([10], cpu_ms=42)  # 2000 / (3 * 42) is 15.9 fps
    places = place(1, hardly, 1), place(2, hardly, 1)
    assert choose(places, None, cores, 15).workers == (1, 2)
    assert choose(places, None, cores, 15, refused_at=2).refused_at == 2
    fewer = place(1, hardly, 1), place(2, hardly, 0)
    assert choose(fewer, None, cores, 15, refused_at=2).workers == (2, 1)


def test_nobody_is_refused_where_that_is_switched_off_or_nobody_performs() -> None:
    slow = after([500], cpu_ms=500)
    assert chosen(place(1, slow, 3), place(2, slow, 2), min_fps=0) == (2, 1)
    assert chosen(place(1, slow, 0), place(2, slow, 0)) == (1, 2)


@pytest.mark.parametrize(("awaited", "name"), [("stage", "stage"), ("latest", None)])
def test_a_session_goes_first_where_viewers_wait_for_it(awaited: str, name: str | None) -> None:
    places = place(1, after([10]), 1, awaited), place(2, REHEARSED, 0)
    assert chosen(*places, name=name, cores=MANY_CORES) == (1, 2)
    assert chosen(*places, name="other", cores=MANY_CORES) == (
        (2, 1) if awaited == "stage" else (1, 2)
    )


def look(*sessions: Running, viewers: tuple[str, ...] = ()) -> Look:
    return Look("ready", "fake", sessions, viewers, frozenset(), frozenset(), Ledger())


LOOKS = {
    1: look(Running("aaaaaaaa", "stage", "live", 9.0, True, False), viewers=("v1",)),
    2: look(
        Running("bbbbbbbb", "stage", "live", 5.0, True, False),
        Running("cccccccc", "gone", "closed", 1.0, True, False),
        viewers=("v2",),
    ),
}


def test_everything_is_found_where_it_is() -> None:
    assert owner_of_session(LOOKS, "aaaaaaaa") == 1 and owner_of_session(LOOKS, "bbbbbb") == 2
    assert owner_of_session(LOOKS, "aaaaaaa") is None and owner_of_session(LOOKS, "stage") == 2
    assert owner_of_session(LOOKS, "gone") == owner_of_session(LOOKS, "cccccc") == 2, "it ends"
    assert owner_of_viewer(LOOKS, "v2") == 2 and owner_of_viewer(LOOKS, "v3") is None


def test_viewers_find_the_newest_of_a_name_that_still_runs() -> None:
    assert performing(LOOKS, "stage") == 2 and performing(LOOKS, "latest") == 2
    assert performing(LOOKS, "aaaaaaaa") == 1 and performing(LOOKS, "bbbbbb") == 2
    assert performing(LOOKS, "gone") is None and performing({}, "latest") is None


def test_a_look_arrives_as_it_was_sent() -> None:
    rich = look(Running("a", "b", "live", 1.5, True, False), viewers=("v",))
    rich = Look.read(rich.body())
    assert rich == look(Running("a", "b", "live", 1.5, True, False), viewers=("v",))
    ledger = after([14, 15], cpu_ms=30, capacity_fps=20, ledger=REHEARSED)
    sent = Look("sick", "x", (), (), frozenset({"n"}), frozenset({"i"}), ledger)
    assert Look.read(sent.body()) == sent
