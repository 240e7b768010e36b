"""What serving costs: totals of threads and sessions become figures per frame, once a second."""

from __future__ import annotations

from functools import partial

import pytest

from realtime.admission import Cost
from realtime.clock import NS_PER_MS, FakeClock
from realtime.load import Exertion, Load
from realtime.workers import RenderWorker, Spent


class Daemon:
    """Sessions that render so many frames a second, each for so long."""

    def __init__(self) -> None:
        self.clock = FakeClock(10**12)
        self.render = RenderWorker("cpu-test", self.clock)
        self.cpu_s = 100.0
        self.load = Load(self.render, self.clock, lambda: self.cpu_s, cores=2)
        self.spent: dict[str, Spent] = {}
        self.asked = 0

    def second(
        self, fps: float, frame_ms: float, *, cpu_ms: float, sheds: bool, avatar: bool = True
    ) -> None:
        """One second of every session in `spent`."""
        frames, spent_ns = round(fps), round(fps * frame_ms * NS_PER_MS)
        for name, before in self.spent.items():
            self.spent[name] = Spent(
                before.frames + frames,
                before.busy_ns + spent_ns,
                before.avatar_frames + frames * avatar,
                before.avatar_ns + spent_ns * avatar,
            )
            self.render.busy_ns += spent_ns
            self.cpu_s += frames * cpu_ms / 1000
        self.clock.advance_ms(1000)
        self.look(sheds)

    def look(self, sheds: bool) -> None:
        def exertion(name: str) -> Exertion:
            self.asked += 1
            return Exertion(self.spent[name], sheds)

        self.load.look({name: partial(exertion, name) for name in self.spent})


@pytest.fixture
def daemon() -> Daemon:
    return Daemon()


def test_the_cost_of_a_frame_is_that_of_its_second(daemon: Daemon) -> None:
    daemon.spent = {"a": Spent(), "b": Spent()}
    daemon.second(20, 10, cpu_ms=20, sheds=False)
    assert daemon.load.busy == pytest.approx(0.4)
    assert daemon.load.next_session_fps(2) == pytest.approx(1000 * 2 / (3 * 20), rel=0.01)
    for _ in range(10):
        daemon.second(10, 30, cpu_ms=20, sheds=False)
    assert daemon.load.next_session_fps(2) == pytest.approx(1000 / 90, rel=0.01)
    assert "2 sessions take 60 ms of render time a frame" in str(daemon.load.refusal(2, 15))
    assert daemon.load.refusal(2, 10) is None


def test_frames_without_an_avatar_say_nothing_of_the_cost(daemon: Daemon) -> None:
    daemon.spent = {"a": Spent()}
    daemon.second(30, 1, cpu_ms=5, sheds=False, avatar=False)
    assert daemon.load.next_session_fps(1) is None
    daemon.load.rehearsed(Cost(20, 20))
    daemon.second(30, 1, cpu_ms=5, sheds=False, avatar=False)
    assert daemon.load.next_session_fps(1) == pytest.approx(25)


def test_sessions_that_lose_frames_show_what_the_machine_can_do(daemon: Daemon) -> None:
    daemon.spent = {"a": Spent(), "b": Spent()}
    for _ in range(10):
        daemon.second(20, 5, cpu_ms=5, sheds=True)
    assert daemon.load.next_session_fps(2) == pytest.approx(40 / 3, rel=0.01)


def test_it_looks_once_a_second_however_often_it_is_called(daemon: Daemon) -> None:
    daemon.spent = {"a": Spent()}
    for _ in range(9):
        daemon.clock.advance_ms(100)
        daemon.look(sheds=False)
    assert daemon.asked == 0
    daemon.clock.advance_ms(100)
    daemon.look(sheds=False)
    assert daemon.asked == 1


def test_nobody_is_there_and_nothing_is_known(daemon: Daemon) -> None:
    daemon.second(0, 0, cpu_ms=0, sheds=False)
    assert daemon.load.busy == 0 and daemon.load.refusal(0, 15) is None
    assert daemon.load.next_session_fps(0) is None
