"""Which size a viewer gets: what its link carries and time in, a size out."""

from __future__ import annotations

import pytest

from realtime.clock import NS_PER_S
from realtime.link import bitrate_for
from realtime.sinks.fitting import MOST_PATIENCE, NARROW_NS, ROOM, ROOMY_NS, Fit, refitted
from realtime.sinks.sizes import Size

VGA, HD = (640, 480), (1280, 720)


class Seat:
    """A seat, looked at twice a second."""

    def __init__(self, picture_wh: tuple[int, int] = HD, parts: int = 1) -> None:
        self.fit = Fit()
        self.picture_wh, self.parts = picture_wh, parts
        self.now_ns = 0

    def get(self, bound_bps: int | None, seconds: float) -> list[Size]:
        """The sizes that it is given one after the other."""
        sizes = [self.fit.size]
        for _ in range(round(seconds * 2)):
            self.now_ns += NS_PER_S // 2
            self.fit = refitted(self.fit, bound_bps, self.picture_wh, self.now_ns, self.parts)
            if self.fit.size != sizes[-1]:
                sizes.append(self.fit.size)
        return sizes[1:]


def test_without_trouble_nothing_changes() -> None:
    assert Seat().get(None, 3600) == []
    assert Seat().get(bitrate_for(*HD), 3600) == []


@pytest.mark.parametrize(
    ("picture_wh", "bound_bps", "sizes"),
    [
        (HD, bitrate_for(640, 360), ["half"]),
        (HD, bitrate_for(640, 360) - 1, ["quarter"]),
        (HD, 60_000, ["quarter"]),
        (VGA, 60_000, ["half"]),
        ((320, 240), 60_000, []),
    ],
    ids=["the next", "the one after it", "the smallest", "no two are the same", "none is smaller"],
)
def test_a_narrow_link_gets_what_it_carries(
    picture_wh: tuple[int, int], bound_bps: int, sizes: list[Size]
) -> None:
    seat = Seat(picture_wh)
    assert seat.get(bound_bps, NARROW_NS / NS_PER_S) == []
    assert seat.get(bound_bps, 60) == sizes


def test_a_short_trouble_changes_nothing() -> None:
    seat = Seat()
    for _ in range(20):
        assert seat.get(60_000, 2) == [] and seat.get(None, 1) == []


def test_a_picture_above_its_matte_needs_twice_as_much() -> None:
    assert Seat(VGA).get(bitrate_for(*VGA), 60) == []
    assert Seat(VGA, parts=2).get(bitrate_for(*VGA), 60) == ["half"]
    assert Seat(VGA, parts=2).get(2 * bitrate_for(*VGA), 60) == []


def test_it_climbs_step_by_step_where_there_is_room() -> None:
    seat = Seat()
    assert seat.get(60_000, 10) == ["quarter"]
    assert seat.get(round(ROOM * bitrate_for(640, 360)) - 1, 600) == [], "no room yet"
    assert seat.get(round(ROOM * bitrate_for(640, 360)), 600) == ["half"]
    assert seat.get(None, ROOMY_NS / NS_PER_S) == []
    assert seat.get(None, 1) == ["full"]


def test_a_climb_that_fails_is_tried_again_later_and_later() -> None:
    seat = Seat()
    seat.get(60_000, 10)
    waits_s = []
    for _ in range(7):
        began_ns = seat.now_ns
        while not seat.get(None, 0.5):
            pass
        waits_s.append((seat.now_ns - began_ns) / ROOMY_NS)
        assert seat.get(60_000, 10)[-1] == "quarter"
    assert waits_s == pytest.approx([1, 2, 4, 8, 16, 16, 16], abs=0.2)
    assert seat.fit.patience == MOST_PATIENCE
    assert seat.get(None, 3600)[-1] == "full"
    assert seat.fit.patience < MOST_PATIENCE, "what proves right is forgiven"
