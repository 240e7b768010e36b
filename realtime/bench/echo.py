"""`reenactd bench echo`: what the transport costs, without a face: receive, decode, encode, send.

A daemon that copies the camera's picture (`coded_daemon.py echo`) and a scripted client, both on
this machine. `bench pipeline` sees what happens to a frame; this sees how it comes and goes, so the
two together are what `bench compare` gates a change by. It can stand ready for turns of a second:
between them its camera stands still.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from realtime import rtc_internals
from realtime.bench.daemon_process import DaemonProcess
from realtime.bench.frame_code import require_code_fits
from realtime.bench.frame_log import FrameLog, Served, stage_medians
from realtime.bench.glass import footage_of
from realtime.bench.glass_clients import AiortcClient, Record
from realtime.bench.machine import machine_record
from realtime.bench.report import Report, percentiles, print_table
from realtime.bench.whip import hung_up
from realtime.clock import NS_PER_MS
from realtime.config import Config
from realtime.errors import ReenactdError

WARM_UP_PICTURES = 10
"""of a turn, not counted: the output shows the card until it is sure that pictures come again"""
SETTLE_S = 4.0
"""once: the encoders' first seconds"""
TAIL_S = 2.0
"""after the last picture left the camera, for its answer, at most"""
TURN_TIMEOUT_S = 60.0
LOOK_INTERVAL_S = 0.02
REPEATS = 5
"""on a machine that is busy elsewhere a whole turn's pictures can be too late"""
REST_S = 3.0
"""between two signs of life, while the other side loads: longer than its turn takes"""
REQUEST_INTERVAL_S = 0.2
"""how soon Ctrl-C is obeyed by who waits for a request"""
DAEMON: tuple[str, ...] = ("realtime.bench.coded_daemon", "echo")
"""the program; `slowed.py` takes another"""


@dataclass(frozen=True, slots=True)
class Plan:
    clip: Path
    width_px: int
    height_px: int
    """of the camera"""
    fps: float
    pictures: int
    """counted in each turn"""
    serve_arguments: tuple[str, ...] = ()


class Standing:
    """A connected client whose camera stands still until a turn."""

    def __init__(self, client: AiortcClient, log: FrameLog, plan: Plan) -> None:
        self._client = client
        self._log = log
        self._plan = plan

    async def turn(self) -> dict[str, float]:
        """One turn's figures; one in which nothing came is taken again, and that is counted.

        Raises:
            ReenactdError: nothing came again and again, or the daemon ended the session.
        """
        record, served = await self._taken()
        repeated = 0
        while repeated < REPEATS and not is_measurable(record, served, self._plan.pictures):
            record, served = await self._taken()
            repeated += 1
        repeats = {"repeated_turns": float(repeated)}
        return figures(record, served, self._plan.pictures) | repeats

    async def _taken(self) -> tuple[Record, list[Served]]:
        await self._client.take()
        self._log.take()
        camera, wanted = self._client.camera, WARM_UP_PICTURES + self._plan.pictures
        camera.start_film()
        patience_s = TURN_TIMEOUT_S + 2 * wanted / self._plan.fps
        for _ in range(round(patience_s / LOOK_INTERVAL_S)):
            if len(camera.sent) >= wanted:  # by count: a busy machine's camera falls behind
                break
            await asyncio.sleep(LOOK_INTERVAL_S)
        camera.stop_film()
        record = await self._client.take()
        if self._client.closed is not None:
            raise ReenactdError(f"the daemon ended the session: {self._client.closed}")
        last = record.sent[-1][0] if record.sent else None
        for _ in range(round(TAIL_S / LOOK_INTERVAL_S)):
            if any(number == last for number, _ in record.seen):
                break
            await asyncio.sleep(LOOK_INTERVAL_S)
            record.seen += (await self._client.take()).seen
        return record, self._log.take()

    async def rest(self) -> None:
        """A picture now and then, for a daemon ends a session from which none comes."""
        while True:
            await asyncio.sleep(REST_S)
            self._client.camera.start_film()
            await asyncio.sleep(1 / self._plan.fps)
            self._client.camera.stop_film()


def is_measurable(record: Record, served: Sequence[Served], pictures: int) -> bool:
    """Whether a picture that counts came back, and its answer is in the log."""
    counted = {number for number, _ in record.sent[-pictures:]}
    return bool(served) and any(number in counted for number, _ in record.seen)


def figures(record: Record, served: Sequence[Served], pictures: int) -> dict[str, float]:
    """Of the last so many pictures that were sent, and of the last so many that went out.

    Raises:
        ReenactdError: nothing came back.
    """
    sent_ns = dict(record.sent[-pictures:])
    seen_ns: dict[int, int] = {}
    for number, at_ns in record.seen:
        if number in sent_ns:
            seen_ns.setdefault(number, at_ns)
    counted = served[-pictures:]
    if not seen_ns or not counted:
        raise ReenactdError(
            f"echo: of {len(sent_ns)} pictures {len(seen_ns)} came back with their numbers, among "
            f"{len(record.seen)} that came, and {len(counted)} answers went out"
        )
    ways_ms = [(at_ns - sent_ns[number]) / NS_PER_MS for number, at_ns in seen_ns.items()]
    metrics = percentiles("echo", ways_ms)
    metrics |= percentiles("echo_server", [each.server_ms for each in counted])
    for name, spent_ms in stage_medians(counted).items():
        metrics[f"stage_{name}_p50_ms"] = spent_ms
    metrics["echo_dropped_pct"] = 100 * (1 - len(seen_ns) / len(sent_ns))
    return metrics


@contextlib.asynccontextmanager
async def standing(plan: Plan, config: Config) -> AsyncIterator[tuple[Standing, str]]:
    """A daemon with its client, and what the daemon computes with.

    Raises:
        ReenactdError: the daemon does not start or refuses, or no picture comes back.
    """
    require_code_fits("the camera (--size)", plan.width_px, plan.height_px)
    rtc_internals.install(config.rtc, loopback=True)
    footage = footage_of(plan.clip, (plan.width_px, plan.height_px), plan.fps, config)
    with tempfile.TemporaryDirectory(prefix="reenactd-echo-") as folder:
        file = Path(folder) / "frames.jsonl"
        arguments = ("--frames", str(file), *plan.serve_arguments)
        async with DaemonProcess(*arguments, program=DAEMON) as daemon:
            await daemon.prepared()
            client = AiortcClient(footage)
            async with hung_up(client):
                await client.connect(daemon, None, None)
                await asyncio.sleep(SETTLE_S)
                client.camera.stop_film()
                yield Standing(client, FrameLog(file), plan), await daemon.engine()


async def bench_echo(plan: Plan, config: Config) -> Report:
    """Measure one turn, print a table, and return what the last line says.

    Raises:
        ReenactdError: the daemon does not start or refuses, or no picture comes back.
    """
    async with standing(plan, config) as (ready, engine):
        metrics = await ready.turn()
    _print(metrics, plan)
    return Report("echo", _conditions(plan, config, engine), metrics)


async def bench_on_request(
    plan: Plan, config: Config, requests: FileIO, say: Callable[[Report], None]
) -> None:
    """Start once, then one turn for every line.

    Args:
        requests: without a buffer, for whether a line waits is seen at the file itself.

    Raises:
        ReenactdError: the daemon does not start or refuses, or no picture comes back.
    """
    machine = machine_record()
    async with standing(plan, config) as (ready, engine):
        conditions = _conditions(plan, config, engine)
        while await _asked(ready, requests):
            say(Report("echo", conditions, await ready.turn(), machine))


async def _asked(ready: Standing, requests: FileIO) -> bool:
    """Whether there is another request, or no more."""
    resting = asyncio.create_task(ready.rest())
    unwanted = threading.Event()
    try:
        return await asyncio.to_thread(_next_line, requests, unwanted)
    finally:
        unwanted.set()
        resting.cancel()


def _next_line(requests: FileIO, unwanted: threading.Event) -> bool:
    """As `_asked`; blocks. No process ends before a thread of its pool, and nothing ends one that
    reads: so it waits, and looks again and again whether anybody still wants to know."""
    while not unwanted.is_set():
        if select.select([requests], [], [], REQUEST_INTERVAL_S)[0]:
            return bool(requests.readline())
    return False


def _conditions(plan: Plan, config: Config, engine: str) -> dict[str, str | int | float]:
    return {
        "clip": plan.clip.name,
        "camera": f"{plan.width_px}x{plan.height_px}",
        "fps": plan.fps,
        "pictures": plan.pictures,
        "codec": config.rtc.codec,
        "engine": engine,
    }


def _print(metrics: dict[str, float], plan: Plan) -> None:
    print_table(
        f"an echo, {plan.width_px}x{plan.height_px} at {plan.fps:g} fps, milliseconds",
        ("", "p50", "p95", "p99"),
        [
            (name, *(metrics[f"{key}_p{percent}_ms"] for percent in (50, 95, 99)))
            for name, key in (("camera to screen", "echo"), ("of it the daemon", "echo_server"))
        ],
    )
    stages = [
        (name.removeprefix("stage_").removesuffix("_p50_ms"), value)
        for name, value in metrics.items()
        if name.startswith("stage_")
    ]
    print_table("its stages", ("", "median ms"), stages)
