"""`reenactd bench glass`: from a picture at the camera to its answer on the screen, over WebRTC.

Every camera picture carries its number, and so does every picture that comes back: the way of each
is timed by one clock, the client's. The same is done with a daemon that only copies (`echo`), in
turns with the real one: what the transport costs is the floor, the difference is the reenactment.
"""

from __future__ import annotations

import asyncio
import math
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from realtime import rtc_internals
from realtime.bench.chromium import Chromium
from realtime.bench.clips import decode
from realtime.bench.daemon_process import DaemonProcess
from realtime.bench.frame_code import require_code_fits
from realtime.bench.frame_log import FrameLog
from realtime.bench.glass_clients import AiortcClient, ChromiumClient, Client, Footage
from realtime.bench.glass_figures import (
    OUTAGE_AT,
    RECOVERY_S,
    Notes,
    Turn,
    after_outage_s,
    around_outage,
    compare,
    evaluate,
)
from realtime.bench.link import Link, Profile
from realtime.bench.machine import Ticks
from realtime.bench.named import for_daemon, require_named_backend
from realtime.bench.report import Report, print_table
from realtime.bench.whip import hung_up
from realtime.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from realtime.config import Config
from realtime.errors import ReenactdError, StartupError

MODES = ("echo", "reenact")
SETTLE_S = 4.0
"""not counted: the encoders' first seconds"""
TAIL_S = 1.0
"""after the last counted picture left the camera, so that its answer can still come"""
FIRST_TIMEOUT_S = 60.0
"""for the first answer; the daemon may still be loading"""
MEASURED_S = 1.0
"""after an outage, at least"""
CLIP_BYTES = 40_000_000
"""of raw pictures that a client holds"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sent through what, and for how long."""

    clip: Path
    identity: str | None
    width_px: int
    height_px: int
    fps: float
    """of the camera, as its size"""
    seconds: float
    """of each turn"""
    rounds: int
    """turns of each of the two daemons"""
    clients: tuple[str, ...]
    profile: Profile
    outage_s: float = 0.0
    """the link goes dark for so long, a third into each turn"""
    serve_arguments: tuple[str, ...] = ()


CLIENTS = {"aiortc": ("aiortc",), "chromium": ("chromium",), "both": ("aiortc", "chromium")}


def clients_of(choice: str) -> tuple[str, ...]:
    """
    Raises:
        StartupError: there is no such client.
    """
    if choice not in CLIENTS:
        raise StartupError(f"--client {choice}: must be one of {', '.join(CLIENTS)}")
    return CLIENTS[choice]


def require_readable(plan: Plan, config: Config) -> None:
    """
    Raises:
        StartupError: a number could not be read, or an outage leaves nothing to measure.
    """
    require_code_fits("the camera (--size)", plan.width_px, plan.height_px)
    canvas = config.video
    require_code_fits("the output (video.width_px, height_px)", canvas.width_px, canvas.height_px)
    if plan.outage_s and after_outage_s(plan.seconds, plan.outage_s) < MEASURED_S:
        least_s = math.ceil((plan.outage_s + RECOVERY_S + MEASURED_S) / (1 - OUTAGE_AT))
        raise StartupError(
            f"--seconds {plan.seconds:g}: an outage of {plan.outage_s:g} s begins after a third, "
            f"and {RECOVERY_S:g} s after it are not counted; make it at least {least_s}"
        )


async def bench_glass(plan: Plan, config: Config) -> Report:
    """Measure, print tables, and return what the last line says.

    Raises:
        StartupError: the backend is `auto`, or numbers could not be read.
        ReenactdError: a daemon does not start or refuses, or no picture comes back.
    """
    require_readable(plan, config)
    require_named_backend(config.engine)
    rtc_internals.install(config.rtc, loopback=True)
    before = Ticks.now()
    footage = footage_of(plan.clip, (plan.width_px, plan.height_px), plan.fps, config)
    metrics: dict[str, float] = {}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reenactd-glass-")))
        daemons = {
            mode: await stack.enter_async_context(
                coded_daemon(mode, folder, plan.serve_arguments, for_daemon(config))
            )
            for mode in MODES
        }
        logs = {mode: FrameLog(frames_file(mode, folder)) for mode in MODES}
        browser = None
        if "chromium" in plan.clients:
            browser = await stack.enter_async_context(Chromium())
        for name in plan.clients:
            turns: dict[str, list[Turn]] = {mode: [] for mode in MODES}
            for round_number in range(plan.rounds):
                for mode in MODES if round_number % 2 == 0 else reversed(MODES):
                    client = _client(name, footage, browser)
                    turns[mode].append(await _turn(client, daemons[mode], logs[mode], plan))
            found = compare(turns)
            if plan.outage_s:
                dark = (plan.seconds, plan.outage_s)
                found |= around_outage(turns["reenact"], *dark, "glass")
                found |= around_outage(turns["echo"], *dark, "echo")
            _print(name, found, plan)
            prefix = "" if name == plan.clients[0] else f"{name}_"
            metrics |= {f"{prefix}{key}": value for key, value in found.items()}
        engine = await daemons["reenact"].engine()
        listening = {mode: daemon.listening_s for mode, daemon in daemons.items()}
    print(f"from its start until it listened: {listening['reenact']:.2f} s")
    return Report(
        "glass",
        {
            "clip": plan.clip.name,
            "identity": plan.identity or config.identities.default,
            "camera": f"{plan.width_px}x{plan.height_px}",
            "fps": plan.fps,
            "seconds": plan.seconds,
            "rounds": plan.rounds,
            "clients": list(plan.clients),
            "codec": config.rtc.codec,
            "canvas": f"{config.video.width_px}x{config.video.height_px}",
            "link": str(plan.profile),
            "outage_s": plan.outage_s,
            "backend": config.engine.backend,
            "engine": engine,
        },
        metrics
        | {
            "listening_s": listening["reenact"],
            "stolen_pct": 100 * Ticks.now().stolen_since(before),
        },
    )


async def _turn(client: Client, daemon: DaemonProcess, log: FrameLog, plan: Plan) -> Turn:
    """Connect, settle, measure, hang up."""
    async with AsyncExitStack() as stack:
        link = None
        if plan.outage_s or not plan.profile.is_perfect:
            link = await stack.enter_async_context(Link(plan.profile))
        await stack.enter_async_context(hung_up(client))
        await client.connect(daemon, plan.identity, link)
        first_ms = await _first_answer(client)
        await asyncio.sleep(SETTLE_S)
        log.take()
        before = await client.take()
        began_s, clock = daemon.processor_s, MonotonicClock()
        began_ns = clock.now_ns()
        await asyncio.sleep(plan.seconds * OUTAGE_AT)
        if link is not None:
            link.go_dark(plan.outage_s)
        await asyncio.sleep(plan.seconds * (1 - OUTAGE_AT))
        window, served = await client.take(), log.take()
        seconds = (clock.now_ns() - began_ns) / NS_PER_S
        spent_s = daemon.processor_s - began_s
        await asyncio.sleep(TAIL_S)
        notes = Notes(before, window, await client.take(), served)
        return evaluate(notes, spent_s, seconds, first_ms)


async def _first_answer(client: Client) -> float:
    """Milliseconds from the connection to the first answer."""
    for _ in range(round(FIRST_TIMEOUT_S / 0.2)):
        await asyncio.sleep(0.2)
        taken = await client.take()
        first_ns = next((at_ns for number, at_ns in taken.seen if number is not None), None)
        if first_ns is not None and taken.connected_ns is not None:
            return max(0, first_ns - taken.connected_ns) / NS_PER_MS
    raise ReenactdError(f"no numbered picture came back within {FIRST_TIMEOUT_S:g} s")


def _client(name: str, footage: Footage, browser: Chromium | None) -> Client:
    if name == "aiortc":
        return AiortcClient(footage)
    assert browser is not None
    return ChromiumClient(browser, footage)


def coded_daemon(
    mode: str, folder: Path, serve_arguments: Sequence[str], settings: Mapping[str, str]
) -> DaemonProcess:
    """A daemon whose pictures carry numbers, and which writes down what it took over each."""
    frames = ("--frames", str(frames_file(mode, folder)))
    program = ("realtime.bench.coded_daemon", mode)
    return DaemonProcess(*frames, *serve_arguments, program=program, settings=settings)


def frames_file(mode: str, folder: Path) -> Path:
    return folder / f"{mode}.jsonl"


def footage_of(clip: Path, size_px: tuple[int, int], fps: float, config: Config) -> Footage:
    """The clip at the camera's size (width, height); as much as a client can hold."""
    width, height = size_px
    at_most = max(2, CLIP_BYTES * 2 // (width * height * 3))
    pictures = [
        np.ascontiguousarray(frame.reformat(width, height, "yuv420p").to_ndarray(), np.uint8)
        for frame in decode(clip, at_most)
    ]
    return Footage(pictures, fps, "vp8" if config.rtc.codec == "vp8" else "h264")


def _print(client: str, metrics: dict[str, float], plan: Plan) -> None:
    ends = (("echo", "echo", "echo_"), ("reenacted", "glass", ""))
    title = f"{client}, {plan.width_px}x{plan.height_px} at {plan.fps:g} fps, {plan.profile}"
    times = [
        (
            name,
            *(metrics[f"{key}_p{percent}_ms"] for percent in (50, 95, 99)),
            metrics[f"{key}_max_ms"],
            metrics.get(f"{plain}server_p50_ms", 0.0),
            metrics.get(f"{plain}server_p95_ms", 0.0),
        )
        for name, key, plain in ends
    ]
    columns = ("camera to screen, ms", "p50", "p95", "p99", "max", "server p50", "server p95")
    print_table(title, columns, times)
    rates = (
        *("delivered_fps", "dropped_pct", "freezes", "frozen_s"),
        *("processor_ms_per_frame", "first_picture_ms"),
    )
    print_table(
        "",
        ("", "fps", "dropped %", "freezes", "frozen s", "processor ms/frame", "first ms"),
        [(name, *(metrics[f"{plain}{rate}"] for rate in rates)) for name, _, plain in ends],
    )
    if plan.outage_s:
        around = [
            (name, *(metrics[f"{key}_{when}_outage_p50_ms"] for when in ("before", "after")))
            for name, key, _ in ends
        ]
        print_table(f"{plan.outage_s:g} s without a link", ("", "p50 before", "after"), around)
    stages = [
        (name.removeprefix("stage_").removesuffix("_p50_ms"), value)
        for name, value in metrics.items()
        if name.startswith("stage_")
    ]
    print_table("stages of a reenacted picture", ("", "median ms"), stages)
