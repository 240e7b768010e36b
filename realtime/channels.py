"""What a session says to its client: over the data channels that the client has opened.

`stats` carries numbers, twice a second, and events; `controls` brings what the client wants, and
takes events where there is no `stats`. What a client does not read is not kept for it. Knows no
messages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from realtime.rtc import DataChannel

MAX_BUFFERED_BYTES = 64 * 1024
"""of a data channel; a client that does not read gets no more numbers"""


class Channels:
    """Those of one client. Lives on the event loop."""

    def __init__(self) -> None:
        self._stats: DataChannel | None = None
        self._controls: DataChannel | None = None

    @property
    def takes_reports(self) -> bool:
        """Whether the client has opened `stats`; nobody says that it is still open."""
        return self._stats is not None

    def take(self, channel: DataChannel) -> bool:
        """One that the client has opened. Returns whether reports can begin: it is the first
        `stats`."""
        if channel.label == "controls":
            self._controls = channel
        elif channel.label == "stats" and self._stats is None:
            self._stats = channel
            return True
        return False

    def report(self, message: Mapping[str, Any]) -> bool:
        """On `stats` or not at all. False if it cannot go."""
        return _send(self._stats, message)

    def tell(self, message: Mapping[str, Any]) -> bool:
        """An event, on `stats`; on `controls` for a client without it. False if it cannot go."""
        return _send(self._stats or self._controls, message)


def _send(channel: DataChannel | None, message: Mapping[str, Any]) -> bool:
    if channel is None or channel.readyState != "open":
        return False
    if channel.bufferedAmount > MAX_BUFFERED_BYTES:
        return False
    channel.send(json.dumps(message))
    return True
