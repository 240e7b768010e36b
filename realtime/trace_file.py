"""`reenactd trace`: have the running daemon take a trace, and keep it in a file."""

from __future__ import annotations

import json
import os
from pathlib import Path

from realtime.client import Address, call
from realtime.errors import StartupError

MARGIN_S = 30.0
"""beyond the trace's own time, for a busy daemon to begin its answer"""


def fetch(address: Address, target: Path, seconds: float) -> str:
    """Replace the file by a trace that begins now. Returns a line on what it holds.

    Raises:
        Unanswered: the daemon is not there, does not let us in, or takes a trace already.
        StartupError: the file cannot be written.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        part.touch()  # told now, not when the trace is there and cannot be kept
        try:
            with call(address, "POST", f"/api/trace?seconds={seconds:g}", seconds + MARGIN_S) as it:
                document = it.read()
            part.write_bytes(document)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as exc:
        raise StartupError(f"{target} cannot be written: {exc.strerror or exc}") from None
    return f"{target}: {_said(document)}; open it at https://ui.perfetto.dev or chrome://tracing"


def _said(document: bytes) -> str:
    trace = json.loads(document)
    about, events = trace["otherData"], trace["traceEvents"]
    sessions = {event["args"]["session"] for event in events if event["ph"] == "X"}
    held = f"{about['duration_ns'] / 1e9:.1f} s, {len(events)} events, sessions: {len(sessions)}"
    return held if about["complete"] else f"{held} (full: ask for less time)"
