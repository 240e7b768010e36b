"""Video files in and out, through PyAV: frames in order, sound kept, never a half-written result.

Knows containers and codecs, nothing of faces. Names are opened with FFmpeg's `file:` prefix, so
that a colon in a name is no protocol. What fails says whose fault it is: the source's or the
result's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import cast

import av
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from realtime.containers import open_media
from realtime.errors import StartupError
from realtime.frames import U8

COPIED_SOUND = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp2", "mp3", "opus"})
"""codecs that MP4 holds as they are; others are encoded anew as AAC"""

AAC_RATES_HZ = (48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000)

SUFFIXES = (".mp4", ".m4v", ".mov")


class MediaReader:
    """One pass over a file: its first video stream and all of its sound.

    Raises:
        StartupError: the file cannot be read or holds no video.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0
        """packets that could not be decoded"""
        self._container = open_media(path)
        self.video: VideoStream = self._container.streams.video[0]
        self.sound: tuple[AudioStream, ...] = tuple(self._container.streams.audio)

    def __enter__(self) -> MediaReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    @property
    def rate(self) -> Fraction:
        """Frames per second, as the container states or the decoder guesses it."""
        return self.video.average_rate or self.video.guessed_rate or Fraction(30)

    @property
    def time_base(self) -> Fraction:
        """Seconds per tick of the frames' presentation times."""
        return self.video.time_base or 1 / self.rate

    @property
    def expected_frames(self) -> int | None:
        """For a progress bar only: containers may not know, or be wrong."""
        if self.video.frames:
            return self.video.frames
        if self._container.duration:
            return round(self._container.duration / av.time_base * self.rate)
        return None

    def __iter__(self) -> Iterator[av.VideoFrame | av.Packet[AudioStream]]:
        """Frames of the video in display order, and packets of sound between them.

        A file that ends in the middle ends there.

        Raises:
            StartupError: the disk or its decoder fails.
        """
        packets = self._container.demux(self.video, *self.sound)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                if isinstance(packet.stream, AudioStream):
                    frames: Sequence[av.VideoFrame] = ()
                else:
                    frames = cast("av.Packet[VideoStream]", packet).decode()
            except av.InvalidDataError:
                self.damaged += 1
                continue
            except av.FFmpegError as error:
                raise StartupError(f"{self.path}: cannot be read: {error.strerror}") from None
            yield from frames
            if isinstance(packet.stream, AudioStream) and packet.dts is not None:
                yield cast("av.Packet[AudioStream]", packet)


@dataclass(slots=True)
class Timeline:
    """Strictly rising presentation times in the source's time base, so that the rate is kept."""

    time_base: Fraction
    rate: Fraction
    last: int | None = None

    @classmethod
    def of(cls, reader: MediaReader) -> Timeline:
        return cls(reader.time_base, reader.rate)

    def next(self, pts: int | None) -> int:
        """The frame's own time; one interval on where it has none, one tick on where it repeats."""
        step = max(1, round(1 / (self.rate * self.time_base)))
        if pts is None:
            pts = 0 if self.last is None else self.last + step
        if self.last is not None and pts <= self.last:
            pts = self.last + 1
        self.last = pts
        return pts

    def seconds(self, pts: int) -> float:
        return float(pts * self.time_base)


class VideoWriter:
    """H.264 and sound into a file that appears under its name only once it is complete.

    Args:
        finish: gets the complete file's path before it has its name.

    Raises:
        StartupError: the name has another suffix, or the folder cannot be written.
    """

    def __init__(
        self,
        path: Path,
        source: MediaReader,
        width_px: int,
        height_px: int,
        finish: Callable[[Path], None] | None = None,
    ) -> None:
        self._finish, self._source = finish, source
        if path.suffix.lower() not in SUFFIXES:
            raise StartupError(f"{path}: the result is H.264 in MP4; name it *.mp4")
        self.path = path
        self._partial = path.with_name(f".{path.stem}.partial-{os.getpid()}{path.suffix}")
        self._container = av.open(f"file:{self._partial}", "w")
        self._container.metadata["comment"] = "Synthetic video: an avatar drawn by reenactd"
        self._video = self._container.add_stream("libx264", rate=source.rate)
        self._video.width, self._video.height = width_px, height_px
        self._video.pix_fmt = "yuv420p"
        self._video.codec_context.time_base = self._video.time_base = source.time_base
        self._video.options = {"preset": "veryfast", "crf": "18"}
        self._sound = {stream.index: self._add_sound(stream) for stream in source.sound}
        self.frames = 0
        try:
            with self._writing():
                self._container.start_encoding()
        except StartupError:
            self._discard()
            raise

    def write(self, i420: U8, pts: int) -> None:
        """Append one frame: (H * 3 // 2, W), BT.601 limited; pts in the source's time base.

        Raises:
            StartupError: the disk takes no more.
        """
        frame = av.VideoFrame.from_ndarray(i420, format="yuv420p")
        frame.pts, frame.time_base = pts, self._video.codec_context.time_base
        with self._writing():
            self._container.mux(self._video.encode(frame))
        self.frames += 1

    def write_sound(self, packet: av.Packet[AudioStream]) -> None:
        """Append sound of the source: copied where MP4 can hold its codec, else encoded as AAC.

        What is damaged of it is left out and counted.

        Raises:
            StartupError: the disk takes no more.
        """
        target = self._sound[packet.stream.index]
        with self._writing():
            try:
                if _codec_of(packet.stream) in COPIED_SOUND:
                    packet.stream = target
                    self._container.mux(packet)
                    return
                for frame in packet.decode():
                    self._container.mux(target.encode(frame))
            except (av.InvalidDataError, av.ArgumentError):  # also: its times run backwards
                self._source.damaged += 1

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        failure: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if failure is None:
                self._complete()
        finally:
            self._discard()

    def _complete(self) -> None:
        with self._writing():
            self._flush()
            self._container.close()
        if self._finish is not None:
            self._finish(self._partial)
        with self._writing():
            self._partial.replace(self.path)

    def _discard(self) -> None:
        """What has not become a result, if anything; the reason was said already."""
        with suppress(av.FFmpegError):
            self._container.close()
        with suppress(OSError):
            self._partial.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """
        Raises:
            StartupError: instead of FFmpeg's own errors.
        """
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            raise StartupError(
                f"{self.path}: cannot be written: {error.strerror or error}"
            ) from None

    def _flush(self) -> None:
        self._container.mux(self._video.encode(None))
        for target in self._sound.values():
            if target.codec_context.is_open:
                self._container.mux(target.encode(None))

    def _add_sound(self, stream: AudioStream) -> AudioStream:
        if _codec_of(stream) in COPIED_SOUND:
            return self._container.add_stream_from_template(stream)
        rate = next((hz for hz in AAC_RATES_HZ if hz <= stream.rate), AAC_RATES_HZ[-1])
        layout = "mono" if stream.codec_context.layout.nb_channels == 1 else "stereo"
        return self._container.add_stream("aac", rate=rate, layout=layout)


def _codec_of(stream: AudioStream) -> str:
    """The codec's own name (mp3), not the decoder's (mp3float)."""
    return stream.codec_context.codec.canonical_name
