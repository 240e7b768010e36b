"""What proves the gate: a sleep is where it should be, and nowhere else."""

from __future__ import annotations

import runpy
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import pytest

from realtime import pipeline
from realtime.bench import echo
from realtime.bench.proof import STAGES, exit_code, expected_of, scenario_of
from realtime.bench.slowed import TRANSPORT, main, slow_down, slow_down_transport
from realtime.clock import MonotonicClock
from realtime.frames import Timings
from realtime.metrics import SessionMetrics
from realtime.rtc_encode import Bitrates, CalmVp8Encoder, FastH264Encoder, Steered
from realtime.rtc_receive import OneThreadH264Decoder, OneThreadVp8Decoder
from tests.pictures import i420_of, texture


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name in (
        (pipeline, "Stopwatch"),
        (Steered, "_coded"),
        (SessionMetrics, "handed_over"),
        (OneThreadH264Decoder, "decode"),
        (OneThreadVp8Decoder, "decode"),
        (echo, "DAEMON"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))


def test_one_stage_is_slower_and_its_stopwatch_sees_it() -> None:
    slow_down("mark", 0.02)
    watch = pipeline.Stopwatch(MonotonicClock(), Timings(0))
    assert watch.run("mark", lambda: "marked") == "marked"
    assert watch.run("emit", lambda: "emitted") == "emitted"
    assert watch.timings.stage_ns["mark"] >= 20_000_000 > watch.timings.stage_ns["emit"]


def test_every_stage_that_can_be_slowed_is_one_of_the_pipelines() -> None:
    source = Path(pipeline.__file__).read_text()
    assert all(f'"{stage}"' in source for stage in STAGES)


@pytest.mark.parametrize("encoder", [FastH264Encoder, CalmVp8Encoder])
def test_a_slowed_encoder_takes_longer_over_every_picture(encoder: type[Steered]) -> None:
    slow_down_transport("encode", 0.05)
    frame = av.VideoFrame.from_ndarray(i420_of(texture()), format="yuv420p")
    frame.pts, frame.time_base = 0, Fraction(1, 90_000)
    made = encoder(Bitrates(1_000_000, 2_000_000))
    began_s = time.monotonic()
    made.encode(frame)  # type: ignore[attr-defined]
    assert time.monotonic() - began_s >= 0.05


def test_a_stage_of_the_transport_is_slowed_in_the_daemon_and_not_in_the_bench(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr(runpy, "run_module", lambda name, **_: ran.append((name, sys.argv[1:])))
    coded = Steered._coded
    main("encode", "10", "bench", "echo", "--pictures", "15")
    assert Steered._coded is coded
    assert echo.DAEMON == ("realtime.bench.slowed", "encode", "10", "daemon", "echo")
    main(*echo.DAEMON[1:], "--port", "0")
    assert Steered._coded is not coded
    assert ran == [
        ("realtime.cli", ["bench", "echo", "--pictures", "15"]),
        ("realtime.bench.coded_daemon", ["echo", "--port", "0"]),
    ]


def test_the_proof_ends_by_what_was_found() -> None:
    assert [scenario_of(stage) for stage in TRANSPORT] == ["echo"] * 3
    assert scenario_of("none") == scenario_of("mark") == "pipeline"
    assert expected_of("none") == expected_of("none-of-echo") == "passed"
    assert exit_code("none", ["passed", "passed"]) == 0
    assert exit_code("none", ["passed", "inconclusive"]) == 1
    assert exit_code("mark", ["regression"]) == 0
    assert exit_code("mark", ["regression", "passed"]) == 1
    assert exit_code("mark", []) == 1
