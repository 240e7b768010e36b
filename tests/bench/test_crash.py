"""A recorder that is killed at any moment leaves films that play; the bench kills twenty."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from realtime.bench.crash import Remains, Told, inspect, kill_once

KILLS = 3


def test_a_recorder_killed_at_a_random_moment_leaves_a_film_that_plays(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    """Up to what no fragment held yet; what waits in a busy machine's queue, the bench tells."""
    seed = random.SystemRandom().randrange(2**32)
    figure(f"killed at random moments, seed {seed}")
    moments = random.Random(seed)
    for kill in range(KILLS):
        directory = tmp_path / str(kill)
        directory.mkdir()
        last = kill == KILLS - 1
        remains = kill_once(directory, moments.uniform(0.0, 1.0), then_sign=last)
        assert remains.whole and bool(remains.signed) == last, f"seed {seed}: {remains}"
    film = next(directory.glob("*.mp4"))
    told = remains.told
    more = Told(told.handed_s + 1, told.written_s + 1)
    assert not inspect(film, more).whole, "another second would be missed"
    half = tmp_path / "half.bin"
    half.write_bytes(film.read_bytes()[:1000])
    assert inspect(half, told) == Remains(told, 0.0, 0, True)
