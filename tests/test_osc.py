"""OSC against a peer that is not ours (python-osc), and against what is no OSC."""

from __future__ import annotations

import random

import pytest
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.osc_packet import OscPacket

from realtime import osc


def built(address: str, *values: object) -> OscMessageBuilder:
    builder = OscMessageBuilder(address)
    for value in values:
        builder.add_arg(value)  # type: ignore[arg-type]
    return builder


def test_another_library_reads_what_is_written() -> None:
    packets = list(osc.bundles([osc.message("/a", "name", 0.5, 3), osc.message("/bcd")], 1400))

    assert len(packets) == 1
    read = [timed.message for timed in OscPacket(packets[0]).messages]
    assert [(each.address, each.params) for each in read] == [
        ("/a", ["name", 0.5, 3]),
        ("/bcd", []),
    ]


def test_what_another_library_writes_is_read() -> None:
    bundle = OscBundleBuilder(IMMEDIATELY)
    inner = OscBundleBuilder(IMMEDIATELY)
    inner.add_content(built("/in", True, False, None, b"blob5").build())
    bundle.add_content(built("/VMC/Ext/Blend/Val", "jawOpen", 0.25).build())
    bundle.add_content(inner.build())

    assert list(osc.read(bundle.build().dgram)) == [
        ("/VMC/Ext/Blend/Val", ("jawOpen", 0.25)),
        ("/in", (True, False, None, b"blob5")),
    ]


def test_bundles_keep_their_size_and_the_order() -> None:
    messages = [osc.message("/n", index) for index in range(100)]

    packets = list(osc.bundles(messages, 200))

    assert all(len(packet) <= 200 for packet in packets)
    read = [values[0] for packet in packets for _, values in osc.read(packet)]
    assert read == list(range(100))


@pytest.mark.parametrize(
    ("datagram", "said"),
    [
        (b"", "no end"),
        (b"hello\0\0\0", "must begin with /"),
        (b"/a\0\0f\0\0\0", "begin with a comma"),
        (b"/a\0\0,f\0\0", "beyond the end"),
        (b"/a\0\0,q\0\0", "'q' cannot be read"),
        (b"/a\0\0,s\0\0abc", "no end"),
        (b"/a\0\0,b\0\0\xff\xff\xff\xff", "a blob claims -1 bytes"),
        (b"#bundle\0\0\0", "within its time tag"),
        (b"#bundle\0" + bytes(8) + b"\0\0\0\x7f", "claims 127 bytes"),
        (b"#bundle\0" + bytes(8) + bytes(4), "claims 0 bytes"),
    ],
)
def test_what_is_no_packet_is_told_why(datagram: bytes, said: str) -> None:
    with pytest.raises(osc.OscError, match=said):
        list(osc.read(datagram))


def test_bundles_are_not_opened_without_end() -> None:
    packet = osc.message("/a")
    for _ in range(osc.MAX_DEPTH + 1):
        (packet,) = osc.bundles([packet], 10_000)
    with pytest.raises(osc.OscError, match="deep"):
        list(osc.read(packet))


def test_damaged_packets_raise_nothing_else() -> None:
    rng = random.Random(1)
    whole = next(osc.bundles([osc.message("/VMC/Ext/Bone/Pos", "Head", *[0.5] * 7)] * 3, 1400))
    refused = 0
    for _ in range(3000):
        damaged = bytearray(whole[: rng.randrange(len(whole) + 1)])
        for _ in range(rng.randrange(4)):
            if damaged:
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            list(osc.read(bytes(damaged)))
        except osc.OscError:
            refused += 1
    assert refused > 1000
