"""`reenactd bench watermark`: does the invisible mark survive, is it seen, what does it cost?

The avatars that ship are driven by a performer's clip, as in a session, and what the pipeline
emits goes through codecs and worse; the session's id has to be read from what is left. Unmarked
pictures are the performers themselves, cut, scaled and mirrored by chance, thousands of times.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np

from realtime.bench import recoding
from realtime.bench.clips import back_and_forth, decode
from realtime.bench.recoding import Recode, Treatment, cropped, mirrored, scaled
from realtime.bench.report import Report, percentiles, print_table
from realtime.clock import NS_PER_MS
from realtime.config import Config
from realtime.frames import U8, Arrived, Controls, OutputFrame
from realtime.render import Job, assemble
from realtime.watermark import Payload, Watermark, draw_pattern
from realtime.watermark_search import FALSE_ALARM, Finding, Search

FPS = 25
SECONDS = 3
IDENTITIES = ("juniper", "coral", "slate", "cobalt")
CHAINS: dict[str, tuple[Treatment, ...]] = {
    "as emitted": (),
    "x264 1.5M": (Recode("libx264", 1_500_000),),
    "VP8 0.5M": (Recode("libvpx", 500_000),),
    "half size, x264 0.6M": (partial(scaled, share=0.5), Recode("libx264", 600_000)),
    "cropped 10 %, x264 1.5M": (partial(cropped, share=0.1), Recode("libx264", 1_500_000)),
    "mirrored, x264 1.5M": (mirrored, Recode("libx264", 1_500_000)),
    "VP8 0.5M, x264 1.5M": (Recode("libvpx", 500_000), Recode("libx264", 1_500_000)),
    "x264 1.5M, VP8 0.5M": (Recode("libx264", 1_500_000), Recode("libvpx", 500_000)),
    "all of these": (
        Recode("libvpx", 500_000),
        partial(scaled, share=0.5),
        partial(cropped, share=0.1),
        mirrored,
        Recode("libx264", 600_000),
    ),
    "x264 1.5M, screen, x264 2.5M": (
        Recode("libx264", 1_500_000),
        recoding.filmed_off,
        Recode("libx264", 2_500_000),
    ),
    "VP8 0.25M": (Recode("libvpx", 250_000),),
}
"""what happens to a video; the last two are beyond what has to be survived"""
_TRIAL_PICTURES = 6


@dataclass(frozen=True, slots=True)
class Survival:
    """What one chain left of the mark, over all avatars."""

    read_after_1_s: int
    read_after_3_s: int
    wrong: int
    lowest_score: float
    """after 3 s; a search ends at a size that is good enough, so it may not be the best one"""


def bench_watermark(clip: Path, trials: int, seed: int, config: Config) -> Report:
    """Measure, print tables, and return what the last line says.

    Raises:
        StartupError: the clip cannot be read, or shows no face.
    """
    pictures = decode(clip, FPS * 10)
    hosts = [_performed(pictures, clip, identity, config) for identity in IDENTITIES]
    metrics: dict[str, float] = {"avatars": float(len(hosts))}
    rows = []
    for name, chain in CHAINS.items():
        outcome = survival(hosts, chain)
        rows.append((name, outcome.read_after_1_s, outcome.read_after_3_s, outcome.lowest_score))
        key = "".join(letter if letter.isalnum() else "_" for letter in name.lower())
        metrics[f"{key}_read_1s"] = outcome.read_after_1_s
        metrics[f"{key}_read_3s"] = outcome.read_after_3_s
        metrics[f"{key}_wrong"] = outcome.wrong
        metrics[f"{key}_score_3s"] = outcome.lowest_score
    print_table(f"ids read, of {len(hosts)} avatars", ("after", "1 s", "3 s", "lowest score"), rows)
    lumas = [np.asarray(one.to_ndarray(format="gray"), np.uint8) for one in pictures]
    seen, cost = visibility(pictures), costs(lumas[0])
    print_table("how much it changes", ("picture", "PSNR, dB"), list(seen.items()))
    print_table("what it costs", ("of one thread", "ms"), list(cost.items()))
    found, highest = false_alarms(lumas, trials, seed)
    print_table(
        "in what is not marked",
        ("", ""),
        [("searches", trials), ("marks found", found), ("highest score", highest)],
    )
    metrics |= seen | cost
    metrics |= {
        "false_alarms": found,
        "trials": trials,
        "unmarked_score_max": highest,
        "false_alarm_bound_1e9": FALSE_ALARM * 1e9,
    }
    return Report("watermark", {"clip": clip.name, "trials": trials, "seed": seed}, metrics)


def _performed(
    pictures: Sequence[av.VideoFrame], clip: Path, identity: str, config: Config
) -> tuple[list[U8], int]:
    """An avatar's output for `SECONDS`, as RGB, and the payload of its mark."""
    who = assemble(Job(clip, clip, identity, None, Controls()), config)
    track = who.make_track()
    made: list[OutputFrame] = []
    try:
        for number, picture in enumerate(back_and_forth(list(pictures))):
            arrived = Arrived(picture, number * 1_000_000_000 // FPS)
            result = who.pipeline.process(track(arrived, who.controls), who.controls, who.identity)
            if isinstance(result, OutputFrame):
                made.append(result)
            if len(made) == FPS * SECONDS or number > 20 * FPS * SECONDS:
                break
    finally:
        track.close()
    return [_rgb(one.i420) for one in made], who.pipeline.marks.payload.id


def survival(hosts: Sequence[tuple[list[U8], int]], chain: Sequence[Treatment]) -> Survival:
    """Send each host through the chain, and look for its mark."""
    early = late = wrong = 0
    scores = []
    for pictures, payload in hosts:
        for treatment in chain:
            pictures = treatment(pictures)
        first, second = (_search(pictures[: FPS * seconds]) for seconds in (1, SECONDS))
        early += _reads(first, payload)
        late += _reads(second, payload)
        for finding in (first, second):
            wrong += finding.marked and finding.payload not in (None, Payload(payload))
        scores.append(second.score)
    return Survival(early, late, wrong, min(scores))


def _search(pictures: Sequence[U8]) -> Finding:
    search = Search()
    for picture in pictures[::3]:
        search.add(np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8))
    return search.find()


def _reads(finding: Finding, payload: int) -> bool:
    return finding.marked and finding.payload == Payload(payload)


def visibility(pictures: Sequence[av.VideoFrame]) -> dict[str, float]:
    """Peak signal-to-noise ratio of the worst of some pictures, and of noise, which gets most."""
    watermark = Watermark(Payload.random())
    noise = np.random.default_rng(0).integers(0, 256, (720, 640)).astype(np.uint8)
    found: dict[str, list[float]] = {}
    for name, i420 in (
        *(("filmed", _i420(one)) for one in pictures[::25]),
        ("smooth", np.full((720, 640), 128, np.uint8)),
        ("noise", noise),
    ):
        marked, height = i420.copy(), i420.shape[0] * 2 // 3
        watermark.embed(marked[:height])
        luma_db = _psnr_db(i420[:height], marked[:height])
        rgb_db = _psnr_db(_rgb(i420), _rgb(marked))
        found.setdefault(f"{name}_luma_psnr_db", []).append(luma_db)
        found.setdefault(f"{name}_rgb_psnr_db", []).append(rgb_db)
    return {name: min(values) for name, values in found.items()}


def _i420(frame: av.VideoFrame) -> U8:
    return np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8)


def _rgb(i420: U8) -> U8:
    return np.asarray(cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420), np.uint8)


def _psnr_db(before: U8, after: U8) -> float:
    error = np.mean((before.astype(float) - after) ** 2)
    return float(10 * np.log10(255**2 / error))


def costs(luma: U8) -> dict[str, float]:
    """Milliseconds of the thread's own time."""
    payload = Payload.random()
    figures: dict[str, float] = {}
    for name, size in (("640x480", (640, 480)), ("1280x720", (1280, 720))):
        picture = np.asarray(cv2.resize(luma, size), np.uint8)
        watermark = Watermark(payload)
        watermark.embed(picture.copy())
        spent = [_spent_ms(partial(watermark.embed, picture.copy())) for _ in range(200)]
        figures |= percentiles(f"embed_{name}", spent)
        prepared = [_spent_ms(partial(draw_pattern, payload, *size)) for _ in range(5)]
        figures[f"prepare_{name}_ms"] = float(np.median(prepared))
    search = Search()
    figures["add_ms"] = _spent_ms(partial(search.add, luma))
    figures["find_nothing_ms"] = _spent_ms(search.find)
    return figures


def _spent_ms(work: Callable[[], object]) -> float:
    began_ns = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - began_ns) / NS_PER_MS


def false_alarms(lumas: Sequence[U8], trials: int, seed: int) -> tuple[int, float]:
    """How often a mark is found where there is none, and the highest score."""
    found, highest = 0, 0.0
    chance = np.random.default_rng(seed)
    for _ in range(trials):
        search = Search()
        for picture in _changed(lumas, chance):
            search.add(picture)
        finding = search.find()
        found += finding.marked
        highest = max(highest, finding.score)
    return found, highest


def _changed(lumas: Sequence[U8], chance: np.random.Generator) -> Iterator[U8]:
    """Some pictures of the video, all cut, scaled, mirrored and roughened in the same way."""
    height, width = lumas[0].shape
    rows, columns = (int(side * chance.uniform(0.5, 1)) for side in (height, width))
    top, left = int(chance.integers(height - rows + 1)), int(chance.integers(width - columns + 1))
    scale, mirror, rough = chance.uniform(0.5, 1.5), chance.random() < 0.5, chance.uniform(0, 4)
    start, step = int(chance.integers(len(lumas))), int(chance.integers(1, 8))
    size = int(columns * scale), int(rows * scale)
    for number in range(_TRIAL_PICTURES):
        one = lumas[(start + number * step) % len(lumas)]
        part = cv2.resize(one[top : top + rows, left : left + columns], size)
        noisy = part + chance.normal(0, rough, part.shape)
        picture = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
        yield np.ascontiguousarray(picture[:, ::-1]) if mirror else picture
