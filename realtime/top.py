"""`reenactd top`: every session of the running daemon in one table, anew each second.

Shows what the daemon's API tells; measures nothing itself but the processor's share between two
looks. Knows no sessions' insides.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console, Group, JustifyMethod
from rich.live import Live
from rich.table import Table
from rich.text import Text

from realtime import naming
from realtime.client import Address, get

INTERVAL_S = 1.0
WIDE_COLUMNS = 140
"""what a table may take where no terminal bounds it"""
NUMBERS = ("fps in", "out", "p50 ms", "p95", "drops", "err")
COLUMNS = ("session", "identity", "state", *NUMBERS, "face", "camera", "age", "why")
COLOURS = {"LIVE": "green", "HOLD": "yellow", "CARD": "red", "START": "cyan"}


@dataclass(frozen=True, slots=True)
class Look:
    """The daemon at one moment."""

    at_s: float
    """this machine's monotonic time"""
    status: dict[str, Any]
    """as of /api/status"""
    sessions: list[dict[str, Any]]
    """as of /api/sessions"""
    cpu_s: float
    """of the daemon's processes since their start"""
    resident_bytes: float


def look(address: Address) -> Look:
    """Ask the daemon.

    Raises:
        Unanswered: it is not there, or does not let us in.
    """
    status = json.loads(get(address, "/api/status"))
    sessions = json.loads(get(address, "/api/sessions"))
    sums: dict[str, float] = defaultdict(float)  # over worker processes, where there are some
    for family in text_string_to_metric_families(get(address, "/metrics")):
        for sample in family.samples:
            if sample.name.startswith("process_"):
                sums[sample.name] += sample.value
    cpu_s, resident_bytes = (
        sums["process_cpu_seconds_total"],
        sums["process_resident_memory_bytes"],
    )
    return Look(time.monotonic(), status, sessions, cpu_s, resident_bytes)


def run(address: Address, console: Console, *, once: bool, wait: Callable[[float], None]) -> None:
    """Show the table until Ctrl-C; once where there is no terminal, or that is asked for.

    Args:
        wait: sleeps for some seconds.

    Raises:
        Unanswered: the daemon is not there, or has gone.
    """
    now = look(address)
    if not console.is_terminal:
        console.width = max(console.width, WIDE_COLUMNS)
    if once or not console.is_terminal:
        console.print(shown(now, None))
        return
    try:
        with Live(shown(now, None), console=console, auto_refresh=False) as live:
            while True:
                wait(INTERVAL_S)
                before, now = now, look(address)
                live.update(shown(now, before), refresh=True)
    except KeyboardInterrupt:
        return  # the way to end it
    finally:
        console.show_cursor()  # Ctrl-C may come while Live begins, which then undoes nothing


def shown(now: Look, before: Look | None) -> Group:
    """The header and the table; the processor's share needs a look before this one."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in COLUMNS:
        side: JustifyMethod = "right" if name in NUMBERS else "left"
        table.add_column(name, justify=side, no_wrap=name not in ("session", "why"))
    for session in now.sessions:
        table.add_row(*_row(session))
    return Group(*_header(now, before), Text(), table)


def _header(now: Look, before: Look | None) -> list[Text]:
    status = now.status
    cpu = "" if before is None else f"{_cpu_pct(now, before):.0f} % CPU, "
    first = (
        f"reenactd {status['version']}   {status['sessions']} of {status['max_sessions']} sessions"
        f"   {cpu}{now.resident_bytes / 2**20:.0f} MiB   loop {status['loop']}"
    )
    return [Text(first), Text(f"engine {status['engine']}")]


def _cpu_pct(now: Look, before: Look) -> float:
    """Of one core."""
    return 100 * (now.cpu_s - before.cpu_s) / max(now.at_s - before.at_s, 1e-3)


def _row(session: dict[str, Any]) -> list[Text]:
    latency, camera = session["latency_ms"], session["camera"]
    state = session["state"] if session["phase"] == "live" else session["phase"]
    cells = [
        naming.shown(session["session"], session["name"]),
        session["identity"],
        state,
        f"{session['fps_in']:.1f}",
        f"{session['fps_out']:.1f}",
        f"{latency['p50']:.0f}",
        f"{latency['p95']:.0f}",
        str(sum(session["drops"].values())),
        str(session["errors"]),
        session["face"],
        f"{camera['width']}x{camera['height']}",
        _age(session["age_s"]),
        session["reason"] or _lowered(session["quality"]),
    ]
    texts = [Text(cell) for cell in cells]
    texts[2].stylize(COLOURS.get(state, ""))
    return texts


def _lowered(quality: dict[str, Any]) -> str:
    """The picture's size and rate, and why, where they are below what is configured."""
    if quality["step"] == 0:
        return ""
    size = f"{quality['width']}x{quality['height']}"
    rate = "" if quality["max_fps"] is None else f", at most {quality['max_fps']:g} fps"
    return f"{size}{rate}: {quality['reason']}"


def _age(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
