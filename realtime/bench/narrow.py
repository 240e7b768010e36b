"""`reenactd bench narrow`: what a viewer sees over a narrow link, with and without the ladder.

A real daemon whose output is a known film, a scripted viewer, and between them a relay of limited
rate. What arrives is brought to the film's size, as a browser's video element does, and compared
with what was sent: PSNR and SSIM; freezes; and the sizes that were taken. Two daemons take turns,
one with the quality ladder and one without.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import av
import cv2
import numpy as np

from engines.training.measures import psnr_db, ssim_map
from realtime import rtc_internals
from realtime.bench import frame_code
from realtime.bench.clips import decode
from realtime.bench.daemon_process import DaemonProcess
from realtime.bench.film_daemon import shown_at
from realtime.bench.glass_figures import FREEZE_NS
from realtime.bench.link import Link, Profile
from realtime.bench.named import require_named_backend
from realtime.bench.performer import PacedClip, Performer
from realtime.bench.pipeline import arrivals_of, one_by_one
from realtime.bench.report import Report, print_table
from realtime.bench.whip import hung_up
from realtime.clock import NS_PER_S, MonotonicClock
from realtime.config import Config
from realtime.errors import ReenactdError
from realtime.frames import U8, Controls, OutputFrame
from realtime.render import Job, assemble

FILM_PICTURES = 90
WARM_UP = 60
"""pictures of the clip before the film begins: the neutral is taken"""
CAMERA_PX = (160, 120)
"""of the viewer's own camera, which nobody looks at"""
LOOK_AT = 5
"""every so manieth picture is compared"""
COMPARED = (0.12, 0.88)
"""rows of the picture, as shares: the mark stands above them, the number below"""
MODES = {"ladder": "true", "fixed": "false"}
"""name of a turn, and `quality.adapt` of its daemon"""


@dataclass(frozen=True, slots=True)
class Plan:
    clip: Path
    identity: str
    rates_kbit_s: tuple[float, ...]
    """of the link, each way"""
    delay_ms: float
    seconds: float
    """of each turn"""
    settle_s: float
    """not counted at each turn's beginning; 0 to see how it is found out that the link is narrow"""
    fps: float
    serve_arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """What one viewer saw."""

    psnr_db: Sequence[float]
    ssim: Sequence[float]
    gaps_ns: Sequence[int]
    """between one new picture and the next"""
    seconds: float
    sizes: Sequence[tuple[int, int]]
    """(width, height) of each picture that came"""
    lost: int
    """packets, both ways"""
    causes: Sequence[str]
    """why the size was what it was, by the daemon's messages: "cpu", "link" or empty"""


class _Viewer(Performer):
    """Keeps some of the pictures that come back."""

    def __init__(self, url: str, token: str, fps: float, link: Link) -> None:
        width, height = CAMERA_PX
        blank = av.VideoFrame.from_ndarray(
            np.full((height * 3 // 2, width), 128, np.uint8), format="yuv420p"
        )
        super().__init__(
            url, token, PacedClip(itertools.repeat(blank), fps, MonotonicClock()), link
        )
        self.seen: list[tuple[int, int, tuple[int, int]]] = []
        """(number, when, size) of every picture of the film"""
        self.kept: list[tuple[int, int, U8]] = []
        """(number, when, luma) of those that are compared"""

    def on_picture(self, picture: av.VideoFrame, at_ns: int) -> None:
        plane = picture.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        luma = rows[: picture.height, : picture.width]
        number = frame_code.read(luma)
        if number is None:
            return
        self.seen.append((number, at_ns, (picture.width, picture.height)))
        if len(self.seen) % LOOK_AT == 0:
            self.kept.append((number, at_ns, luma.copy()))


def film_of(plan: Plan, config: Config) -> U8:
    """(N, H * 3 // 2, W) finished pictures of the avatar, as the daemon would send them.

    Raises:
        StartupError: the backend is `auto`.
        ReenactdError: the clip shows no face.
    """
    require_named_backend(config.engine)
    performance = assemble(Job(plan.clip, plan.clip, plan.identity, None, Controls()), config)
    pictures = decode(plan.clip, at_most=WARM_UP + FILM_PICTURES)
    making = one_by_one(performance, arrivals_of(pictures, plan.clip))
    made = [each for _, each in itertools.islice(making, WARM_UP + FILM_PICTURES)][WARM_UP:]
    making.close()
    film = [each.i420 for each in made if isinstance(each, OutputFrame)]
    if len(film) < FILM_PICTURES:
        raise ReenactdError(f"{plan.clip}: not every picture gives an avatar; use another clip")
    return np.stack(film)


def score(shown: U8, film_i420: U8) -> tuple[float, float]:
    """(PSNR in dB, SSIM) of what was received, brought to the film's size.

    Args:
        shown: (H, W) luma of any size.
        film_i420: (H * 3 // 2, W).
    """
    height, width = film_i420.shape[0] * 2 // 3, film_i420.shape[1]
    sent = film_i420[:height]
    whole = np.asarray(cv2.resize(shown, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    top, bottom = (round(share * height) for share in COMPARED)
    ours, theirs = (np.repeat(each[top:bottom, :, np.newaxis], 3, axis=2) for each in (whole, sent))
    return psnr_db(ours, theirs), float(ssim_map(ours, theirs).mean())


def evaluate(viewer: _Viewer, film: U8, began_ns: int, seconds: float, lost: int) -> Turn:
    """
    Raises:
        ReenactdError: nothing arrived in the time that counts.
    """
    end_ns = began_ns + round(seconds * NS_PER_S)
    seen = [each for each in viewer.seen if began_ns <= each[1] < end_ns]
    kept = [each for each in viewer.kept if began_ns <= each[1] < end_ns]
    if not kept:
        raise ReenactdError("no picture of the film came through the link")
    scores = [score(luma, film[shown_at(number, len(film))]) for number, _, luma in kept]
    first_ns: dict[int, int] = {}
    for number, at_ns, _ in seen:
        first_ns.setdefault(number, at_ns)
    times = [began_ns, *sorted(first_ns.values()), end_ns]
    return Turn(
        [decibels for decibels, _ in scores],
        [similar for _, similar in scores],
        [later - earlier for earlier, later in itertools.pairwise(times)],
        seconds,
        [size for _, _, size in seen],
        lost,
        [message["quality"]["cause"] for at_ns, message in viewer.stats if at_ns >= began_ns],
    )


def summarise(turn: Turn, prefix: str) -> dict[str, float]:
    frozen = [gap for gap in turn.gaps_ns if gap > FREEZE_NS]
    return {
        f"{prefix}_psnr_db": fmean(turn.psnr_db),
        f"{prefix}_ssim": fmean(turn.ssim),
        f"{prefix}_worst_ssim": float(np.percentile(turn.ssim, 5)),
        f"{prefix}_shown_fps": (len(turn.gaps_ns) - 1) / turn.seconds,
        f"{prefix}_freezes": float(len(frozen)),
        f"{prefix}_frozen_s": sum(frozen) / NS_PER_S,
        f"{prefix}_mean_width_px": fmean(width for width, _ in turn.sizes),
        f"{prefix}_last_width_px": float(turn.sizes[-1][0]),
        f"{prefix}_lost_packets": float(turn.lost),
        f"{prefix}_by_machine_pct": 100 * turn.causes.count("cpu") / max(len(turn.causes), 1),
    }


async def bench_narrow(plan: Plan, config: Config) -> Report:
    """Measure, print a table, and return what the last line says.

    Raises:
        ReenactdError: a daemon does not start or refuses, or nothing comes through.
    """
    rtc_internals.install(config.rtc, loopback=True)
    film = film_of(plan, config)
    metrics: dict[str, float] = {}
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, film)
        file.flush()
        async with AsyncExitStack() as stack:
            daemons = {
                mode: await stack.enter_async_context(
                    DaemonProcess(
                        *("--film", file.name, *plan.serve_arguments),
                        program=("realtime.bench.film_daemon",),
                        settings={"REENACTD_QUALITY__ADAPT": adapt},
                    )
                )
                for mode, adapt in MODES.items()
            }
            for rate_kbit_s in plan.rates_kbit_s:
                for mode, daemon in daemons.items():
                    turn = await _turn(daemon, film, plan, rate_kbit_s)
                    metrics |= summarise(turn, f"{mode}_at_{rate_kbit_s:g}")
    _print(metrics, plan)
    return Report(
        "narrow",
        {
            "clip": plan.clip.name,
            "identity": plan.identity,
            "canvas": f"{config.video.width_px}x{config.video.height_px}",
            "backend": config.engine.backend,
            "rates_kbit_s": list(plan.rates_kbit_s),
            "delay_ms": plan.delay_ms,
            "seconds": plan.seconds,
            "settle_s": plan.settle_s,
            "fps": plan.fps,
        },
        metrics,
    )


async def _turn(daemon: DaemonProcess, film: U8, plan: Plan, rate_kbit_s: float) -> Turn:
    clock = MonotonicClock()
    async with Link(Profile(plan.delay_ms, rate_mbit_s=rate_kbit_s / 1e3)) as link:
        viewer = _Viewer(daemon.url, daemon.token, plan.fps, link)
        async with hung_up(viewer):
            await viewer.connect(plan.identity)
            await asyncio.sleep(plan.settle_s)
            lost, began_ns = link.lost, clock.now_ns()
            await asyncio.sleep(plan.seconds)
            return evaluate(viewer, film, began_ns, plan.seconds, link.lost - lost)


def _print(metrics: dict[str, float], plan: Plan) -> None:
    shown = (
        *("psnr_db", "ssim", "worst_ssim", "shown_fps", "freezes", "frozen_s"),
        *("mean_width_px", "last_width_px", "lost_packets", "by_machine_pct"),
    )
    print_table(
        f"{plan.seconds:g} s each, {plan.delay_ms:g} ms each way",
        ("kbit/s", "", *(name.removesuffix("_px").replace("_", " ") for name in shown)),
        [
            (f"{rate:g}", mode, *(metrics[f"{mode}_at_{rate:g}_{name}"] for name in shown))
            for rate in plan.rates_kbit_s
            for mode in MODES
        ],
    )
