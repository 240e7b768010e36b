"""Lengths of Opus packets, and silence of a given length, against libopus."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import pytest

from realtime.opus import silence, ticks_of


def decoded(packet: bytes) -> np.ndarray:
    decoder: Any = av.CodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.layout = 48_000, "mono"
    blocks = decoder.decode(av.Packet(packet))
    return np.concatenate([block.to_ndarray()[0] for block in blocks])


@pytest.mark.parametrize("ms", [2.5, 5, 10, 20, 40, 60, 120])
def test_silence_is_as_long_as_asked_for_and_silent(ms: float) -> None:
    ticks = round(ms * 48)
    packet = silence(ticks)
    assert ticks_of(packet) == ticks
    samples = decoded(packet)
    assert len(samples) == ticks and not samples.any()


@pytest.mark.parametrize("ms", [0, 1, 140])
def test_no_silence_of_another_length_is_made(ms: int) -> None:
    with pytest.raises(ValueError, match="multiple of 2.5 ms"):
        silence(ms * 48)


@pytest.mark.parametrize("bitrate_bps", [8_000, 24_000, 96_000])
@pytest.mark.parametrize("frame_ms", ["2.5", "10", "20", "60"])
def test_the_length_of_what_libopus_makes_is_read(frame_ms: str, bitrate_bps: int) -> None:
    encoder: Any = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "mono", "s16"
    encoder.bit_rate, encoder.options = bitrate_bps, {"frame_duration": frame_ms}
    encoder.open()
    ticks = round(float(frame_ms) * 48)
    noise = np.random.default_rng(1).integers(-9000, 9000, (1, ticks), np.int16)
    frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
    frame.sample_rate = 48_000
    packets = [bytes(packet) for _ in range(4) for packet in encoder.encode(frame)]
    assert packets and {ticks_of(packet) for packet in packets} == {ticks}


def test_what_is_no_packet_has_no_length() -> None:
    assert [ticks_of(packet) for packet in (b"", b"\xfb", b"\xfb\x00", b"\xfb\x3f")] == [0] * 4
