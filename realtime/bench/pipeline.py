"""`reenactd bench pipeline`: how long a frame takes, stage by stage, without any network.

Two figures that must not be mixed up. Latency: one frame at a time on one thread, from the decoded
camera picture to the finished I420; this is what a performer feels. Rate: tracking of the next
frame runs beside rendering of this one, as in the daemon; this is what fits into a second.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import av

from realtime.bench.clips import back_and_forth, decode, rate_of
from realtime.bench.machine import machine_record
from realtime.bench.named import require_named_backend
from realtime.bench.report import Report, percentiles, print_table
from realtime.clock import NS_PER_MS, NS_PER_S
from realtime.config import Config
from realtime.errors import StartupError
from realtime.frames import Arrived, Controls, OutputFrame
from realtime.pipeline import NoOutput
from realtime.render import Job, Performance, assemble

WARM_UP_FRAMES = 60
"""long enough for the neutral to be taken, caches to fill and clocks to rise"""
TURN_WARM_UP_FRAMES = 2
"""after another process had the core: its caches, not its clocks"""

CLIP_FRAMES = 250
"""of those that are held in memory, at most"""
TRACK_TO_COMPOSITE = ("track", "matte", "retarget", "reenact", "composite")


@dataclass(frozen=True, slots=True)
class Sample:
    """One frame, one at a time on one thread."""

    spent_ms: float
    stages_ms: dict[str, float]


def bench_pipeline(clip: Path, identity: str, frames: int, config: Config) -> Report:
    """Measure, print a table, and return what the last line says.

    Raises:
        StartupError: the backend is `auto`, or the clip shows no face.
    """
    require_named_backend(config.engine)
    performance = assemble(Job(clip, clip, identity, None, Controls()), config)
    pictures = decode(clip, at_most=WARM_UP_FRAMES + frames)
    samples = measure_latency(performance, arrivals_of(pictures, clip), frames)
    fps = measure_rate(performance, arrivals_of(pictures, clip, began_s=3600.0), frames)
    metrics = _metrics(samples) | {"fps": fps, "frames": float(frames)}
    _print(metrics, clip)
    record = {"frames": frames, "warm_up_frames": WARM_UP_FRAMES}
    return Report("pipeline", _conditions(clip, identity, config) | record, metrics)


def bench_on_request(
    clip: Path, identity: str, frames: int, config: Config, requests: Iterable[object]
) -> Iterator[Report]:
    """Load once, then go on through the clip by so many frames for every request.

    `bench compare` holds two versions ready and gives them turns of half a second, so that a slow
    minute of the machine is a slow minute of both. Latency only.

    Raises:
        StartupError: the backend is `auto`, or the clip shows no face.
    """
    require_named_backend(config.engine)
    performance = assemble(Job(clip, clip, identity, None, Controls()), config)
    arrivals = arrivals_of(decode(clip, at_most=CLIP_FRAMES), clip)
    record = {"frames": frames, "warm_up_frames": TURN_WARM_UP_FRAMES}
    conditions = _conditions(clip, identity, config) | record
    machine = machine_record()
    with contextlib.closing(one_by_one(performance, arrivals)) as making:
        _take(making, WARM_UP_FRAMES, 0)
        for _ in requests:
            metrics = _metrics(_take(making, TURN_WARM_UP_FRAMES, frames))
            yield Report("pipeline", conditions, metrics | {"frames": float(frames)}, machine)


def _conditions(clip: Path, identity: str, config: Config) -> dict[str, str | int]:
    return {
        "clip": clip.name,
        "identity": identity,
        "canvas": f"{config.video.width_px}x{config.video.height_px}",
        "network": config.engine.network,
        "backend": config.engine.backend,
        "threads": config.engine.threads,
    }


def measure_latency(
    performance: Performance, arrivals: Iterator[Arrived], frames: int
) -> list[Sample]:
    """One frame after the other; those of the warm-up are not counted.

    Raises:
        StartupError: a frame gave no avatar, so that its time would say nothing.
    """
    with contextlib.closing(one_by_one(performance, arrivals)) as making:
        return _take(making, WARM_UP_FRAMES, frames)


def one_by_one(
    performance: Performance, arrivals: Iterator[Arrived]
) -> Generator[tuple[float, OutputFrame | NoOutput], None, None]:
    """For every arrival how long it took (ms), and what was made of it."""
    track = performance.make_track()
    try:
        for arrived in arrivals:
            began = time.perf_counter()
            tracked = track(arrived, performance.controls)
            made = performance.pipeline.process(tracked, performance.controls, performance.identity)
            yield (time.perf_counter() - began) * 1e3, made
    finally:
        track.close()


def _take(
    making: Iterator[tuple[float, OutputFrame | NoOutput]], warm_up: int, frames: int
) -> list[Sample]:
    samples = []
    for index, (spent_ms, made) in enumerate(itertools.islice(making, warm_up + frames)):
        if index < warm_up:
            continue
        if not isinstance(made, OutputFrame):
            raise StartupError(f"frame {index} shows no avatar ({made.reason}); use another clip")
        stages_ms = {name: ns / NS_PER_MS for name, ns in made.timings.stage_ns.items()}
        samples.append(Sample(spent_ms, stages_ms))
    return samples


def measure_rate(performance: Performance, arrivals: Iterator[Arrived], frames: int) -> float:
    """Frames per second with the next frame's tracking beside this frame's rendering."""
    track = performance.make_track()
    who = performance

    def follow() -> Callable[[], object]:
        future = pool.submit(track, next(arrivals), who.controls)
        return lambda: who.pipeline.process(future.result(), who.controls, who.identity)

    with ThreadPoolExecutor(1, "bench-track") as pool:
        coming = follow()
        began = time.perf_counter()
        for index in range(WARM_UP_FRAMES + frames):
            if index == WARM_UP_FRAMES:
                began = time.perf_counter()
            render, coming = coming, follow()
            render()
        spent_s = time.perf_counter() - began
        pool.submit(track.close).result()
    return frames / spent_s


def arrivals_of(
    pictures: list[av.VideoFrame], clip: Path, began_s: float = 0.0
) -> Iterator[Arrived]:
    """The pictures as if they came at the clip's own rate."""
    step_s = float(1 / rate_of(clip))
    for index, picture in enumerate(back_and_forth(pictures)):
        yield Arrived(picture, round((began_s + index * step_s) * NS_PER_S))


def _metrics(samples: Sequence[Sample]) -> dict[str, float]:
    metrics = percentiles("frame", [sample.spent_ms for sample in samples])
    inner = [sum(each.stages_ms.get(name, 0.0) for name in TRACK_TO_COMPOSITE) for each in samples]
    metrics |= percentiles("track_to_composite", inner)
    for name in samples[0].stages_ms:
        metrics |= percentiles(f"stage_{name}", [each.stages_ms.get(name, 0.0) for each in samples])
    return metrics


def _print(metrics: dict[str, float], clip: Path) -> None:
    names = [name.removesuffix("_p50_ms") for name in metrics if name.endswith("_p50_ms")]
    rows = [
        (
            name.removeprefix("stage_"),
            *(metrics[f"{name}_p{percent}_ms"] for percent in (50, 95, 99)),
        )
        for name in names
    ]
    print_table(f"{clip.name}: milliseconds", ("", "p50", "p95", "p99"), rows)
    print(f"rate with tracking beside rendering: {metrics['fps']:.1f} frames per second")
