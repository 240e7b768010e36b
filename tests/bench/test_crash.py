"""A recorder that is killed leaves films that play; the bench kills twenty."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from realtime.bench.crash import Remains, Told, inspect, kill_once


@pytest.mark.parametrize("after_s", [0.4, 1.3])
def test_a_killed_recorder_leaves_a_film_that_plays(tmp_path: Path, after_s: float) -> None:
    remains = kill_once(tmp_path, after_s)
    assert remains.good and remains.signed, remains
    film = next(tmp_path.glob("*.mp4"))
    told = remains.told
    more = Told(told.handed_s + 3, told.written_s + 3)
    assert not inspect(film, more).good, "three more seconds would be missed"
    half = tmp_path / "half.bin"
    shutil.copy(film, half)
    half.write_bytes(half.read_bytes()[:1000])
    assert inspect(half, told) == Remains(told, 0.0, 0, True)
