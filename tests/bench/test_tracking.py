from __future__ import annotations

import json
from pathlib import Path

import pytest

from realtime.bench import tracking
from realtime.config import Tracking
from realtime.errors import StartupError
from tests import performers

CLIP = performers.FOLDER / "performer2.mp4"


def test_smoothing_calms_a_still_face_and_hardly_delays_a_moving_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tracking.run(CLIP, Tracking(), frames=70)
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["scenario"] == "tracking"
    metrics = report["metrics"]
    assert metrics["shimmer_smoothed_px"] < metrics["shimmer_raw_px"] / 2
    assert metrics["jitter_smoothed_px"] < min(0.15, metrics["jitter_raw_px"])
    assert metrics["step_delay_ms"] < 10
    assert metrics["blink_depth_kept"] > 0.85


def test_without_smoothing_nothing_is_delayed() -> None:
    metrics = tracking.measure(CLIP, Tracking(), smoothing=0.0, frames=45)
    for name in ("step_delay_ms", "head_delay_ms", "lips_delay_ms", "lids_delay_ms"):
        assert metrics[name] == pytest.approx(0, abs=1e-3)
    assert metrics["jitter_raw_px"] == metrics["jitter_smoothed_px"]


def test_what_is_no_clip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("no video")
    with pytest.raises(StartupError, match="cannot be read as video"):
        tracking.measure(path, Tracking())
    with pytest.raises(StartupError, match="at least 30"):
        tracking.measure(CLIP, Tracking(), frames=10)
