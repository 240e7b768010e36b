"""`reenactd bench glass`: from a picture at the camera to its answer on the screen, over WebRTC.

Every camera picture carries its number, and so does every picture that comes back: the way of each
is timed by one clock, the client's. The same is done with a daemon that only copies (`echo`), in
turns with the real one: what the transport costs is the floor, the difference is the reenactment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from realtime import rtc_internals
from realtime.bench.chromium import Chromium
from realtime.bench.clips import decode
from realtime.bench.daemon_process import DaemonProcess
from realtime.bench.glass_clients import AiortcClient, ChromiumClient, Client, Footage, Record
from realtime.bench.link import Link, Profile
from realtime.bench.machine import Ticks
from realtime.bench.report import Report, percentiles, print_table
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
OUTAGE_AT = 1 / 3
"""of a turn"""
RECOVERY_S = 2.0
"""after an outage, not counted as after it"""
FREEZE_NS = 200 * NS_PER_MS
"""a longer gap between two new pictures is seen as a freeze"""
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


@dataclass(frozen=True, slots=True)
class Turn:
    """One daemon's seconds with one client."""

    way_ms: Sequence[float]
    """of every picture that came back, capture to screen"""
    made_s: Sequence[float]
    """when the camera made each of those, from the turn's first picture"""
    captured: int
    gaps_ns: Sequence[int]
    """between one new picture on the screen and the next"""
    unreadable: int
    server_ms: Sequence[tuple[float, float]]
    """the daemon's own medians and 95th percentiles over two seconds each"""
    stages_ms: dict[str, float]
    processor_s: float
    """that the daemon used"""
    seconds: float
    first_ms: float
    """from the connection to the first answer"""


CLIENTS = {"aiortc": ("aiortc",), "chromium": ("chromium",), "both": ("aiortc", "chromium")}


def clients_of(choice: str) -> tuple[str, ...]:
    """
    Raises:
        StartupError: there is no such client.
    """
    if choice not in CLIENTS:
        raise StartupError(f"--client {choice}: must be one of {', '.join(CLIENTS)}")
    return CLIENTS[choice]


def evaluate(
    window: Record, after: Record, processor_s: float, seconds: float, first_ms: float
) -> Turn:
    """
    Args:
        window: what was noted while it counted.
        after: what still came in the time after it; nothing sent then counts.
    """
    sent_ns = dict(window.sent)
    first_seen_ns: dict[int, int] = {}
    for number, at_ns in [*window.seen, *after.seen]:
        if number in sent_ns:
            first_seen_ns.setdefault(number, at_ns)
    began_ns = min(sent_ns.values(), default=0)
    shown_ns = sorted(first_seen_ns.values())
    live = [each for each in window.stats if each["type"] == "stats" and each["fps_out"] > 0]
    names = list(live[-1]["stages_ms"]) if live else []
    return Turn(
        way_ms=[(at - sent_ns[number]) / NS_PER_MS for number, at in first_seen_ns.items()],
        made_s=[(sent_ns[number] - began_ns) / NS_PER_S for number in first_seen_ns],
        captured=len(sent_ns),
        gaps_ns=[later - earlier for earlier, later in zip(shown_ns, shown_ns[1:], strict=False)],
        unreadable=sum(number is None for number, _ in window.seen),
        server_ms=[(each["server_ms"]["p50"], each["server_ms"]["p95"]) for each in live],
        stages_ms={
            name: median(each["stages_ms"].get(name, 0.0) for each in live) for name in names
        },
        processor_s=processor_s,
        seconds=seconds,
        first_ms=first_ms,
    )


def summarise(turns: Sequence[Turn], prefix: str) -> dict[str, float]:
    """All turns of one daemon together; `prefix` is `glass` or `echo`.

    Raises:
        ReenactdError: nothing came back.
    """
    way_ms = [way for turn in turns for way in turn.way_ms]
    if not way_ms:
        raise ReenactdError(f"{prefix}: no numbered picture came back")
    seconds = sum(turn.seconds for turn in turns)
    frozen = [gap for turn in turns for gap in turn.gaps_ns if gap > FREEZE_NS]
    server = [each for turn in turns for each in turn.server_ms]
    plain = "" if prefix == "glass" else f"{prefix}_"
    captured = sum(turn.captured for turn in turns)
    metrics = percentiles(prefix, way_ms) | {
        f"{prefix}_max_ms": max(way_ms),
        f"{plain}delivered_fps": len(way_ms) / seconds,
        f"{plain}camera_fps": captured / seconds,
        f"{plain}dropped_pct": 100 * (1 - len(way_ms) / captured),
        f"{plain}first_picture_ms": median(turn.first_ms for turn in turns),
        f"{plain}freezes": float(len(frozen)),
        f"{plain}frozen_s": sum(frozen) / NS_PER_S,
        f"{plain}unreadable": float(sum(turn.unreadable for turn in turns)),
        f"{plain}processor_ms_per_frame": 1e3 * sum(t.processor_s for t in turns) / len(way_ms),
    }
    if server:
        metrics[f"{plain}server_p50_ms"] = median(p50 for p50, _ in server)
        metrics[f"{plain}server_p95_ms"] = median(p95 for _, p95 in server)
    return metrics


def around_outage(turns: Sequence[Turn], plan: Plan, prefix: str) -> dict[str, float]:
    """Medians before the link went dark, and from RECOVERY_S after it was back until the end."""
    dark_s = plan.seconds * OUTAGE_AT
    back_s = dark_s + plan.outage_s + RECOVERY_S
    ways = [each for turn in turns for each in zip(turn.made_s, turn.way_ms, strict=True)]
    before = [way_ms for made_s, way_ms in ways if made_s < dark_s - 0.5]
    after = [way_ms for made_s, way_ms in ways if made_s > back_s]
    if not before or not after:
        late = f"{RECOVERY_S:g} s after an outage of {plan.outage_s:g} s"
        raise ReenactdError(f"{prefix}: no picture came back {late}")
    return {
        f"{prefix}_before_outage_p50_ms": median(before),
        f"{prefix}_after_outage_p50_ms": median(after),
    }


def compare(turns: dict[str, list[Turn]]) -> dict[str, float]:
    """The real daemon's figures, the echo's, and what lies between them."""
    metrics = summarise(turns["reenact"], "glass") | summarise(turns["echo"], "echo")
    for percent in (50, 95):
        glass, echo = (metrics[f"{name}_p{percent}_ms"] for name in ("glass", "echo"))
        metrics[f"glass_minus_echo_p{percent}_ms"] = glass - echo
        metrics[f"glass_to_echo_p{percent}_ratio"] = glass / echo
    for name in turns["reenact"][-1].stages_ms:
        spent_ms = median(turn.stages_ms.get(name, 0.0) for turn in turns["reenact"])
        metrics[f"stage_{name}_p50_ms"] = spent_ms
    return metrics


async def bench_glass(plan: Plan, config: Config) -> Report:
    """Measure, print tables, and return what the last line says.

    Raises:
        ReenactdError: a daemon does not start or refuses, or no picture comes back.
    """
    rtc_internals.install(config.rtc, loopback=True)
    before = Ticks.now()
    footage = _footage(plan, config)
    metrics: dict[str, float] = {}
    async with AsyncExitStack() as stack:
        daemons = {
            mode: await stack.enter_async_context(
                DaemonProcess(*plan.serve_arguments, program=("realtime.bench.coded_daemon", mode))
            )
            for mode in MODES
        }
        browser = None
        if "chromium" in plan.clients:
            browser = await stack.enter_async_context(Chromium())
        for name in plan.clients:
            turns: dict[str, list[Turn]] = {mode: [] for mode in MODES}
            for round_number in range(plan.rounds):
                for mode in MODES if round_number % 2 == 0 else reversed(MODES):
                    client = _client(name, footage, browser)
                    turns[mode].append(await _turn(client, daemons[mode], plan))
            found = compare(turns)
            if plan.outage_s:
                found |= around_outage(turns["reenact"], plan, "glass")
                found |= around_outage(turns["echo"], plan, "echo")
            _print(name, found, plan)
            prefix = "" if name == plan.clients[0] else f"{name}_"
            metrics |= {f"{prefix}{key}": value for key, value in found.items()}
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
        },
        metrics | {"stolen_pct": 100 * Ticks.now().stolen_since(before)},
    )


async def _turn(client: Client, daemon: DaemonProcess, plan: Plan) -> Turn:
    """Connect, settle, measure, hang up."""
    async with AsyncExitStack() as stack:
        link = None
        if plan.outage_s or not plan.profile.is_perfect:
            link = await stack.enter_async_context(Link(plan.profile))
        try:
            await client.connect(daemon, plan.identity, link)
            first_ms = await _first_answer(client)
            await asyncio.sleep(SETTLE_S)
            await client.take()
            began_s, clock = daemon.processor_s, MonotonicClock()
            began_ns = clock.now_ns()
            await asyncio.sleep(plan.seconds * OUTAGE_AT)
            if link is not None:
                link.go_dark(plan.outage_s)
            await asyncio.sleep(plan.seconds * (1 - OUTAGE_AT))
            window = await client.take()
            seconds = (clock.now_ns() - began_ns) / NS_PER_S
            spent_s = daemon.processor_s - began_s
            await asyncio.sleep(TAIL_S)
            return evaluate(window, await client.take(), spent_s, seconds, first_ms)
        finally:
            await client.hang_up()


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


def _footage(plan: Plan, config: Config) -> Footage:
    """The clip at the camera's size; as much as a client can hold."""
    at_most = max(2, CLIP_BYTES * 2 // (plan.width_px * plan.height_px * 3))
    pictures = [
        np.ascontiguousarray(
            frame.reformat(plan.width_px, plan.height_px, "yuv420p").to_ndarray(), np.uint8
        )
        for frame in decode(plan.clip, at_most)
    ]
    return Footage(pictures, plan.fps, "vp8" if config.rtc.codec == "vp8" else "h264")


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
