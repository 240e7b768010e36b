"""`reenactd` with a deliberate sleep in one stage, to prove a gate by.

    python -m realtime.bench.slowed STAGE MILLISECONDS bench pipeline ...
    python -m realtime.bench.slowed STAGE MILLISECONDS bench echo ...

A stage of the pipeline runs in this process; one of the transport (receive, encode, send) in the
daemon that `bench echo` starts, which is this program again, with `daemon` for `bench`. Only
`proof.py` runs it.
"""

from __future__ import annotations

import runpy
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

from realtime import pipeline

T = TypeVar("T")
TRANSPORT = ("receive", "encode", "send")
DAEMON = "daemon"


def slow_down(stage: str, sleep_s: float) -> None:
    """Every run of that stage in this process takes so much longer, and its stopwatch sees it."""

    class Slowed(pipeline.Stopwatch):
        def run(self, stage_name: str, work: Callable[[], T]) -> T:
            if stage_name != stage:
                return super().run(stage_name, work)

            def late() -> T:
                time.sleep(sleep_s)
                return work()

            return super().run(stage_name, late)

    pipeline.Stopwatch = Slowed  # type: ignore[misc]


def slow_down_transport(stage: str, sleep_s: float) -> None:
    """The same for what a daemon does around its pipeline, on the thread that does it."""
    from realtime.metrics import SessionMetrics
    from realtime.rtc_encode import Steered
    from realtime.rtc_receive import OneThreadH264Decoder, OneThreadVp8Decoder

    places: dict[str, tuple[tuple[type, str], ...]] = {
        "receive": ((OneThreadH264Decoder, "decode"), (OneThreadVp8Decoder, "decode")),
        "encode": ((Steered, "_coded"),),
        "send": ((SessionMetrics, "handed_over"),),
    }
    for owner, name in places[stage]:
        setattr(owner, name, _late(getattr(owner, name), sleep_s))


def _late(work: Callable[..., Any], sleep_s: float) -> Callable[..., Any]:
    def late(*arguments: Any, **named: Any) -> Any:
        time.sleep(sleep_s)
        return work(*arguments, **named)

    return late


def main(stage: str, milliseconds: str, *arguments: str) -> None:
    sleep_s = float(milliseconds) / 1e3
    program = "realtime.cli"
    if arguments[0] == DAEMON:
        slow_down_transport(stage, sleep_s)
        program, arguments = "realtime.bench.coded_daemon", arguments[1:]
    elif stage in TRANSPORT:
        from realtime.bench import echo

        echo.DAEMON = ("realtime.bench.slowed", stage, milliseconds, DAEMON, "echo")
    else:
        slow_down(stage, sleep_s)
    sys.argv = ["reenactd", *arguments]
    runpy.run_module(program, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
