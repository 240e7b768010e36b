"""Every internal of aiortc that our code uses stands in the table that is checked at the start."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from aioice import ice
from aiortc import RTCPeerConnection

from realtime import rtc_internals
from realtime.config import Rtc
from realtime.errors import StartupError
from realtime.rtc import peer_configuration
from realtime.rtc_internals import _relied_on, check_upstream, install
from realtime.rtc_receive import MendedReceiver

ROOT = Path(__file__).parents[1] / "realtime"
FILES = sorted(ROOT.glob("rtc*.py"))
MANGLED = re.compile(r"_[A-Z]\w*__\w+")
WHOLE_WORDS = {"_RTCRtpReceiver__", "_RTCRtpSender__"}
"""beginnings, to which `_private` adds the name that it is asked for"""


def own_names(tree: ast.AST) -> Iterator[str]:
    """What a file gives a name to itself: functions, fields, what it sets on itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        for target in targets:
            for each in target.elts if isinstance(target, ast.Tuple) else [target]:
                if isinstance(each, ast.Attribute) and is_self(each.value):
                    yield each.attr
                elif isinstance(each, ast.Name):
                    yield each.id


def inherited_names(tree: ast.AST) -> set[str]:
    """What files of ours give to classes from which this one's derive."""
    bases = {
        base.id
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if isinstance(base, ast.Name)
    }
    names = set()
    for path in FILES:
        other = ast.parse(path.read_text("utf-8"))
        classes = {node.name for node in ast.walk(other) if isinstance(node, ast.ClassDef)}
        if classes & bases:
            names |= set(own_names(other))
    return names


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == "super"


def used_names(tree: ast.AST, own: set[str]) -> Iterator[str]:
    """The private names in a file that are none of its own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            if is_super(node.value) or node.attr not in own:
                yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if MANGLED.fullmatch(node.value) and node.value not in WHOLE_WORDS:
                yield node.value
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "_private":
            name = ast.literal_eval(node.args[0])  # a name that can be read here
            assert isinstance(name, str)
            yield f"__{name}"


def table() -> set[str]:
    names = {name for _, _, needed in rtc_internals._relied_on() for name in needed}
    return names | {f"__{name.partition('__')[2]}" for name in names if MANGLED.fullmatch(name)}


def missing_from(names: set[str], source: str) -> list[str]:
    tree = ast.parse(source)
    used = used_names(tree, set(own_names(tree)) | inherited_names(tree))
    return sorted({name for name in used if not name.endswith("__")} - names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_internal_is_used_that_is_not_looked_for(path: Path) -> None:
    assert missing_from(table(), path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("class A(B):\n def f(self): return self._theirs", "_theirs"),
        ("class A(B):\n async def _f(self): await super()._f()", "_f"),
        ("x._RTCRtpSender__lsr = 1", "_RTCRtpSender__lsr"),
        ("setattr(x, '_RTCRtpSender__lsr', 1)", "_RTCRtpSender__lsr"),
        ("class A:\n def f(self): return self._private('rtt')", "__rtt"),
    ],
)
def test_every_way_to_use_one_is_seen(source: str, found: str) -> None:
    assert found in missing_from(set(), source)


def test_what_is_ours_is_ours() -> None:
    assert missing_from(set(), "class A:\n def f(self): self._x = 1; return self._x") == []


@pytest.fixture
def installed() -> Iterator[None]:
    install(Rtc(), loopback=True)
    yield
    install(Rtc(), loopback=True)


RELIED_ON = [(where, name) for where, _, needed in _relied_on() for name in needed]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(("where", "name"), RELIED_ON)
def test_a_renamed_internal_stops_the_start_and_is_named(
    monkeypatch: pytest.MonkeyPatch, where: str, name: str
) -> None:
    renamed = [
        (at, present - {name} if at == where else present, needed)
        for at, present, needed in _relied_on()
    ]
    with monkeypatch.context() as patch, pytest.raises(StartupError, match=name):
        patch.setattr(rtc_internals, "_relied_on", lambda: renamed)
        install(Rtc(), loopback=True)


def test_a_missing_function_is_noticed_where_upstream_keeps_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch, pytest.raises(StartupError, match="get_host_addresses"):
        patch.delattr(ice, "get_host_addresses")
        check_upstream()


@pytest.mark.usefixtures("installed")
def test_what_we_ask_for_on_a_receiver_is_there() -> None:
    """The table holds names of `__init__`; a real receiver must have them as attributes."""

    async def look() -> None:
        client = RTCPeerConnection(peer_configuration(Rtc()))
        receiver = client.addTransceiver("video").receiver
        assert isinstance(receiver, MendedReceiver)
        assert receiver._buffer.awaiting_key
        for name in ("codecs", "decoder_queue", "nack_generator", "timestamp_mapper"):
            assert receiver._private(name) is not None
        await client.close()

    asyncio.run(look())
