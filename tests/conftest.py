"""Fixtures for all tests: a clean environment, and the performer clips."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PERFORMERS = Path(__file__).parent / "data" / "performers"


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads or writes the settings and the token of whoever runs it."""
    for name in os.environ:
        if name.upper().startswith("REENACTD_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def performer_clip() -> Path:
    """640x480, 25 fps, 10 s, a fictional person who talks, blinks and turns."""
    return PERFORMERS / "performer1.mp4"
