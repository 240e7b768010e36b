"""`reenactd bench pipeline`: how long a frame takes, stage by stage, without any network.

Two figures that must not be mixed up. Latency: one frame at a time on one thread, from the decoded
camera picture to the finished I420; this is what a performer feels. Rate: tracking of the next
frame runs beside rendering of this one, as in the daemon; this is what fits into a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import av

from realtime.bench.clips import back_and_forth, decode, rate_of
from realtime.bench.report import Report, percentiles, print_table
from realtime.clock import NS_PER_MS, NS_PER_S
from realtime.config import Config
from realtime.errors import StartupError
from realtime.frames import Arrived, Controls, OutputFrame
from realtime.render import Job, Performance, assemble

WARM_UP_FRAMES = 60
"""long enough for the neutral to be taken, caches to fill and clocks to rise"""

TRACK_TO_COMPOSITE = ("track", "matte", "retarget", "reenact", "composite")


@dataclass(frozen=True, slots=True)
class Sample:
    """One frame, one at a time on one thread."""

    spent_ms: float
    stages_ms: dict[str, float]


def require_named_backend(config: Config) -> None:
    """
    Raises:
        StartupError: the backend is `auto`, which would make figures incomparable.
    """
    if config.engine.backend == "auto":
        raise StartupError("a bench names what it measures; pass --backend onnx instead of auto")


def bench_pipeline(clip: Path, identity: str, frames: int, config: Config) -> Report:
    """Measure, print a table, and return what the last line says.

    Raises:
        StartupError: the backend is `auto`, or the clip shows no face.
    """
    require_named_backend(config)
    performance = assemble(Job(clip, clip, identity, None, Controls()), config)
    pictures = decode(clip, at_most=WARM_UP_FRAMES + frames)
    samples = measure_latency(performance, _arrivals(pictures, clip), frames)
    fps = measure_rate(performance, _arrivals(pictures, clip, began_s=3600.0), frames)
    metrics = _metrics(samples) | {"fps": fps, "frames": float(frames)}
    _print(metrics, clip)
    return Report(
        "pipeline",
        {
            "clip": clip.name,
            "identity": identity,
            "frames": frames,
            "warm_up_frames": WARM_UP_FRAMES,
            "canvas": f"{config.video.width_px}x{config.video.height_px}",
            "network": config.engine.network,
            "backend": config.engine.backend,
            "threads": config.engine.threads,
        },
        metrics,
    )


def measure_latency(
    performance: Performance, arrivals: Iterator[Arrived], frames: int
) -> list[Sample]:
    """One frame after the other; those of the warm-up are not counted.

    Raises:
        StartupError: a frame gave no avatar, so that its time would say nothing.
    """
    track = performance.make_track()
    samples = []
    try:
        for index in range(WARM_UP_FRAMES + frames):
            arrived = next(arrivals)
            began = time.perf_counter()
            tracked = track(arrived, performance.controls)
            made = performance.pipeline.process(tracked, performance.controls, performance.identity)
            spent_ms = (time.perf_counter() - began) * 1e3
            if index < WARM_UP_FRAMES:
                continue
            if not isinstance(made, OutputFrame):
                raise StartupError(
                    f"frame {index} shows no avatar ({made.reason}); use another clip"
                )
            stages_ms = {name: ns / NS_PER_MS for name, ns in made.timings.stage_ns.items()}
            samples.append(Sample(spent_ms, stages_ms))
    finally:
        track.close()
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


def _arrivals(pictures: list[av.VideoFrame], clip: Path, began_s: float = 0.0) -> Iterator[Arrived]:
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
