"""Opus packets from outside: how long one lasts, and a silent one as long (RFC 6716). Pure."""

from __future__ import annotations

TICKS_PER_MS = 48
MAX_TICKS = 120 * TICKS_PER_MS
"""no packet is longer (section 3.2)"""
_SILK_MS = (10, 20, 40, 60)
_HYBRID_MS = (10, 20)
_CELT_MS = (2.5, 5, 10, 20)
_CELT_FULLBAND = 28
"""the first of the four configurations, 2.5 to 20 ms, of section 3.1, table 2"""
_SILENT_FRAME = b"\xff\xfe"
"""what libopus makes of zeros in CELT mode"""


def ticks_of(packet: bytes) -> int:
    """How long a packet lasts, in 1/48000 s; 0 where it is none.

    The first byte tells the length of a frame, and how many there are (section 3.1).
    """
    if not packet:
        return 0
    count = (1, 2, 2, packet[1] & 0x3F if len(packet) > 1 else 0)[packet[0] & 3]
    ticks = round(_frame_ms(packet[0] >> 3) * TICKS_PER_MS) * count
    return ticks if ticks <= MAX_TICKS else 0


def silence(ticks: int) -> bytes:
    """A packet that sounds like nothing for so long: a multiple of 2.5 ms, of 20 ms beyond that.

    Raises:
        ValueError: no packet is of that length.
    """
    for shift in reversed(range(4)):
        frame_ticks = round(_CELT_MS[shift] * TICKS_PER_MS)
        count, rest = divmod(ticks, frame_ticks)
        if rest == 0 and 1 <= count <= 48 and ticks <= MAX_TICKS:
            first = (_CELT_FULLBAND + shift) << 3
            if count == 1:
                return bytes([first]) + _SILENT_FRAME
            return bytes([first | 3, count]) + _SILENT_FRAME * count
    raise ValueError(f"{ticks} ticks: an Opus packet lasts a multiple of 2.5 ms, 120 ms at most")


def _frame_ms(configuration: int) -> float:
    if configuration < 12:
        return _SILK_MS[configuration % 4]
    if configuration < 16:
        return _HYBRID_MS[configuration % 2]
    return _CELT_MS[configuration % 4]
