"""What the daemon and its worker processes say to each other. Values and names; no processes.

    standard input    Start, as the first line; then an Order per line; its end means: end
    standard output   a Report per line
    HTTP              over a Unix socket: what clients ask, in their name; and GET LOOK for a Look

A worker's secret is made anew at each start and goes through standard input, so that no command
line and no environment shows it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from realtime.admission import Ledger
from realtime.config import Config
from realtime.daemon import State
from realtime.session import Phase
from realtime.tokens import Grant

SECRET_HEADER = "X-Reenactd-Secret"
GRANT_HEADER = "X-Reenactd-Grant"
"""as JSON: what the token of the client grants, in whose name a worker is asked"""
LOOK = "/worker/look"


@dataclass(frozen=True, slots=True)
class Start:
    """All that a worker needs to know."""

    index: int
    """1 is the first"""
    socket: Path
    secret: str
    studio: str
    """module:name of what makes a `Studio` of the settings"""
    config: Mapping[str, Any]

    def line(self) -> bytes:
        return json.dumps({**asdict(self), "socket": str(self.socket)}).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Start:
        said = json.loads(line)
        return cls(**{**said, "socket": Path(said["socket"])})

    @property
    def settings(self) -> Config:
        return Config(**self.config)


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is told while it runs."""

    drain: bool = False
    """open no session any more"""
    within_s: float = 0.0
    """with `drain`: when the end comes, which performers are told"""
    seated: tuple[str, ...] = ()
    """sessions that connected late, for which there is a place"""
    turned_away: tuple[str, ...] = ()
    """the same for which there is none: they end"""
    adopt: Mapping[str, Any] | None = None
    """go by these settings from now on"""

    def line(self) -> bytes:
        return _ORDER.dump_json(self) + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Order:
        return _ORDER.validate_json(line)


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker tells of itself."""

    listening: bool = False
    failure: str | None = None
    """why it cannot serve, fit for a user"""

    def line(self) -> bytes:
        return _REPORT.dump_json(self) + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Report:
        return _REPORT.validate_json(line)


@dataclass(frozen=True, slots=True)
class Running:
    """A session, as far as its place is concerned."""

    id: str
    name: str
    phase: Phase
    age_s: float
    counts: bool
    """takes one of the places that there are; one that is being opened, its parent counts"""
    late: bool
    """has connected after it had given its place away: its parent judges whether there is one"""


@dataclass(frozen=True, slots=True)
class Look:
    """A worker at one moment."""

    state: State
    engine: str
    sessions: tuple[Running, ...]
    viewers: tuple[str, ...]
    """their ids"""
    awaited: frozenset[str]
    """what those viewers asked for whose session has ended: they go on with its successor here"""
    identities: frozenset[str]
    """that can be worn at once"""
    ledger: Ledger

    def body(self) -> bytes:
        return _LOOK.dump_json(self)

    @classmethod
    def read(cls, body: bytes) -> Look:
        return _LOOK.validate_json(body)


def grant_as_text(grant: Grant) -> str:
    return json.dumps(asdict(grant))


def grant_of_text(text: str) -> Grant:
    return Grant(**json.loads(text))


_ORDER, _REPORT, _LOOK = TypeAdapter(Order), TypeAdapter(Report), TypeAdapter(Look)
