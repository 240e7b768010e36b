"""`reenactd bench`: what a measurement is given, and which one; `realtime.bench` measures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from realtime.config import load, overrides

EXIT_CODES = {"passed": 0, "regression": 1, "inconclusive": 2}
EXIT_NOTHING = 3
"""base is older than the bench: nothing to compare with, and no fault of head"""

bench_app = typer.Typer(
    no_args_is_help=True, help="Measure; each ends with one line of JSON, for scripts."
)

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Settings in TOML.", show_default=False),
]
ClipFile = Annotated[
    Path | None,
    typer.Option("--clip", metavar="FILE", help="Video of a performer.", show_default="performer1"),
]


def size_of(text: str) -> tuple[int, int]:
    """(width, height) of a picture, as a person writes it."""
    width, separator, height = text.lower().partition("x")
    if not (separator and width.isdecimal() and height.isdecimal()):
        raise typer.BadParameter(f"{text}: must be WIDTHxHEIGHT, for example 640x480")
    return int(width), int(height)


CameraRate = Annotated[float, typer.Option(min=1, max=60, help="Of the performer's camera.")]
Performed = Annotated[str | None, typer.Option(metavar="ID", show_default="juniper")]
Backend = Annotated[
    str | None, typer.Option(help="Must be named here.", show_default="auto, which is refused")
]
MinuteLength = Annotated[float, typer.Option(min=2, help="Length of a minute.")]


def serve_arguments(config_file: Path | None) -> tuple[str, ...]:
    """What the bench's daemon is started with, so that it has the same settings."""
    return () if config_file is None else ("--config", str(config_file))


@bench_app.command("pipeline")
def pipeline(
    clip: ClipFile = None,
    identity: Annotated[str, typer.Option(metavar="ID")] = "juniper",
    frames: Annotated[int, typer.Option(min=10, help="How many are counted.")] = 300,
    backend: Backend = None,
    on_request: Annotated[
        bool,
        typer.Option(help="Measure for each line on standard input; no tables, only JSON."),
    ] = False,
    config_file: ConfigFile = None,
) -> None:
    """Milliseconds per stage, p50, p95 and p99, from camera picture to finished frame."""
    config = load(config_file, overrides(engine__backend=backend))
    from realtime.bench.clips import choose_clip
    from realtime.bench.pipeline import bench_on_request, bench_pipeline
    from realtime.bench.report import finish

    if not on_request:
        finish(bench_pipeline(choose_clip(clip), identity, frames, config))
        return
    for report in bench_on_request(choose_clip(clip), identity, frames, config, sys.stdin):
        finish(report)


@bench_app.command("models")
def models(
    network: Annotated[str, typer.Option(metavar="NAME")] = "warp-refine-lite",
    calls: Annotated[int, typer.Option(min=10, help="How many are counted.")] = 200,
    backend: Backend = None,
    config_file: ConfigFile = None,
) -> None:
    """Milliseconds of each graph of a network, against this machine's roofline."""
    config = load(config_file, overrides(engine__backend=backend))
    from realtime.bench.models import bench_models as measure
    from realtime.bench.report import finish

    finish(measure(network, config.engine, calls))


@bench_app.command("session")
def session(
    minutes: Annotated[int, typer.Option(min=1, help="How long.")] = 5,
    fps: CameraRate = 30,
    clip: ClipFile = None,
    identity: Performed = None,
    minute_s: MinuteLength = 60.0,
    backend: Backend = None,
    config_file: ConfigFile = None,
) -> None:
    """One real session over WebRTC, minute by minute: latency, rate, memory, drops."""
    import asyncio

    config = load(config_file, overrides(engine__backend=backend))
    from realtime.bench.clips import choose_clip
    from realtime.bench.report import finish
    from realtime.bench.session import Plan
    from realtime.bench.session import bench_session as measure

    arguments = serve_arguments(config_file)
    plan = Plan(choose_clip(clip), identity, fps, minutes, minute_s, arguments)
    finish(asyncio.run(measure(plan, config)))


@bench_app.command("glass")
def glass(
    client: Annotated[str, typer.Option(help="aiortc, chromium or both.")] = "aiortc",
    seconds: Annotated[float, typer.Option(min=2, help="Of each turn.")] = 15.0,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each.")] = 2,
    size: Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="Of the camera.")] = "640x480",
    fps: Annotated[float, typer.Option(min=1, max=60, help="Of the camera.")] = 30,
    profile: Annotated[
        str, typer.Option(help="loopback, lan, wifi or lossy: what lies between.")
    ] = "loopback",
    delay_ms: Annotated[float | None, typer.Option(min=0, help="Instead of the profile's.")] = None,
    loss_pct: Annotated[
        float | None, typer.Option(min=0, max=50, help="Instead of the profile's.")
    ] = None,
    outage_s: Annotated[
        float, typer.Option(min=0, max=10, help="The link goes dark once in each turn.")
    ] = 0.0,
    clip: ClipFile = None,
    identity: Performed = None,
    backend: Backend = None,
    config_file: ConfigFile = None,
) -> None:
    """Camera to screen over WebRTC, beside an echo over the same transport."""
    import asyncio

    config = load(config_file, overrides(engine__backend=backend))
    width, height = size_of(size)
    from realtime.bench.clips import choose_clip
    from realtime.bench.glass import Plan, bench_glass, clients_of
    from realtime.bench.link import profile_of
    from realtime.bench.report import finish

    plan = Plan(
        choose_clip(clip),
        identity,
        width,
        height,
        fps,
        seconds,
        rounds,
        clients_of(client),
        profile_of(profile, delay_ms, loss_pct),
        outage_s,
        serve_arguments(config_file),
    )
    finish(asyncio.run(bench_glass(plan, config)))


@bench_app.command("echo")
def echo(
    pictures: Annotated[int, typer.Option(min=5, help="How many are counted.")] = 300,
    size: Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="Of the camera.")] = "640x480",
    fps: Annotated[float, typer.Option(min=1, max=60, help="Of the camera.")] = 30,
    on_request: Annotated[
        bool,
        typer.Option(help="Measure for each line on standard input; no tables, only JSON."),
    ] = False,
    clip: ClipFile = None,
    config_file: ConfigFile = None,
) -> None:
    """The transport alone: what receiving, decoding, encoding and sending a picture takes."""
    import asyncio

    config = load(config_file, {})
    width, height = size_of(size)
    from realtime.bench.clips import choose_clip
    from realtime.bench.echo import Plan, bench_echo, bench_on_request
    from realtime.bench.report import finish

    arguments = serve_arguments(config_file)
    plan = Plan(choose_clip(clip), width, height, fps, pictures, arguments)
    if not on_request:
        finish(asyncio.run(bench_echo(plan, config)))
        return
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as requests:
        asyncio.run(bench_on_request(plan, config, requests, finish))


@bench_app.command("tracking")
def tracking(
    clip: ClipFile = None,
    smoothing: Annotated[float, typer.Option(min=0, max=1, help="0 raw, 1 calmest.")] = 0.5,
    frames: Annotated[int, typer.Option(min=45, help="At most so many of the clip.")] = 150,
    config_file: ConfigFile = None,
) -> None:
    """Jitter of a still face in pixels, and lag behind a moving one in milliseconds."""
    config = load(config_file, {})
    from realtime.bench.clips import choose_clip
    from realtime.bench.tracking import run

    run(choose_clip(clip), config.tracking, smoothing, frames)


@bench_app.command("watermark")
def watermark(
    clip: ClipFile = None,
    trials: Annotated[int, typer.Option(min=1, help="Searches in what is not marked.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of their crops and sizes.")] = 0,
    config_file: ConfigFile = None,
) -> None:
    """Is the invisible mark read after codecs, crops and mirrors; is it seen; what does it cost?"""
    config = load(config_file, {})
    from realtime.bench.clips import choose_clip
    from realtime.bench.report import finish
    from realtime.bench.watermark import bench_watermark

    finish(bench_watermark(choose_clip(clip), trials, seed, config))


@bench_app.command("compare")
def compare(
    base: Annotated[str, typer.Argument(metavar="BASE", help="File of runs, or a revision.")],
    head: Annotated[
        str, typer.Argument(metavar="HEAD", help="The same; . is the working tree as it is.")
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- ARGUMENTS]", help="For the bench; they replace its defaults."),
    ] = None,
    scenario: Annotated[str, typer.Option(help="Which bench, for revisions.")] = "pipeline",
    pairs: Annotated[
        int | None,
        typer.Option(min=6, help="Of runs, at first.", show_default="30 short turns, or 10 runs"),
    ] = None,
    most_pairs: Annotated[
        int | None,
        typer.Option(
            min=6,
            help="Until it is decided.",
            show_default="8 times as many turns, or twice as many runs",
        ),
    ] = None,
    timeout_s: Annotated[float, typer.Option(min=1, help="For each run.")] = 900.0,
    margin: Annotated[
        float | None,
        typer.Option(
            min=0, max=10, help="Share that is let pass.", show_default="0.05, 0.1 of an echo"
        ),
    ] = None,
    gate: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC", help="Judge by this; repeatable.", show_default="its own"),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Keep the runs: base.jsonl, head.jsonl.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table for a pull request.")
    ] = None,
    history: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write head's figures for github-action-benchmark."),
    ] = None,
) -> None:
    """Is HEAD slower than BASE? Exit code 1 if so, 2 if that could not be found out, 3 if BASE has
    no such bench yet.

    Two files of runs (the last lines of any bench, as many in either), or two revisions, which take
    turns on this machine. A gate regresses when it is worse by more than the margin at the nearer
    end of its interval, and passes when it is not at the farther end. In between it is
    inconclusive: twice as many pairs are taken, again and again up to --most-pairs.
    """
    from realtime.bench.gate import Job, NothingToCompare, run

    job = Job(
        base,
        head,
        scenario,
        tuple(arguments or ()),
        pairs,
        margin,
        tuple(gate or ()),
        most_pairs,
        timeout_s,
    )
    try:
        found = run(job, save, markdown, history)
    except NothingToCompare as exc:
        typer.echo(f"reenactd: {exc}", err=True)
        raise typer.Exit(EXIT_NOTHING) from None
    raise typer.Exit(EXIT_CODES[found.outcome])


@bench_app.command("soak")
def soak(
    minutes: Annotated[int, typer.Option(min=1, help="How long.")] = 30,
    churn: Annotated[
        bool, typer.Option("--churn", help="Others come, do awkward things, and go.")
    ] = False,
    fps: CameraRate = 30,
    clip: ClipFile = None,
    identity: Performed = None,
    minute_s: MinuteLength = 60.0,
    backend: Backend = None,
    config_file: ConfigFile = None,
) -> None:
    """One session for long, others beside it: does anything grow, is anything left behind?"""
    import asyncio

    config = load(config_file, overrides(engine__backend=backend))
    from realtime.bench.clips import choose_clip
    from realtime.bench.report import finish
    from realtime.bench.session import Plan
    from realtime.bench.soak import bench_soak

    arguments = serve_arguments(config_file)
    plan = Plan(choose_clip(clip), identity, fps, minutes, minute_s, arguments)
    finish(asyncio.run(bench_soak(plan, churn, config)))


@bench_app.command("crowd")
def crowd(
    sessions: Annotated[int, typer.Option(min=1, max=32, help="At most so many.")] = 3,
    workers: Annotated[
        int, typer.Option(min=0, max=32, help="Also by so many worker processes, in turns.")
    ] = 0,
    adapt: Annotated[
        bool, typer.Option("--adapt", help="With the quality ladder, and admission by cost.")
    ] = False,
    seconds: Annotated[float, typer.Option(min=2, help="Of each turn.")] = 10.0,
    rounds: Annotated[int, typer.Option(min=1, help="Of all turns.")] = 1,
    fps: Annotated[float, typer.Option(min=1, max=60, help="Of each camera.")] = 30,
    clip: ClipFile = None,
    identity: Performed = None,
    backend: Backend = None,
    config_file: ConfigFile = None,
) -> None:
    """More and more performers on this machine: what each further one costs all of them."""
    import asyncio

    config = load(config_file, overrides(engine__backend=backend))
    from realtime.bench.clips import choose_clip
    from realtime.bench.crowd import Plan, bench_crowd
    from realtime.bench.report import finish

    arguments = serve_arguments(config_file)
    plan = Plan(
        choose_clip(clip), identity, sessions, seconds, fps, rounds, workers, adapt, arguments
    )
    finish(asyncio.run(bench_crowd(plan, config)))


@bench_app.command("narrow")
def narrow(
    kbit_s: Annotated[
        list[float] | None,
        typer.Option(min=50, help="Of the link; repeatable.", show_default="300, 600, 1500"),
    ] = None,
    delay_ms: Annotated[float, typer.Option(min=0, help="Each way.")] = 20.0,
    seconds: Annotated[float, typer.Option(min=2, help="Of each turn.")] = 20.0,
    settle_s: Annotated[float, typer.Option(min=0, help="Not counted before it.")] = 10.0,
    fps: Annotated[float, typer.Option(min=1, max=60, help="Of the camera.")] = 30,
    clip: ClipFile = None,
    identity: Annotated[str, typer.Option(metavar="ID")] = "juniper",
    backend: Backend = None,
    config_file: ConfigFile = None,
) -> None:
    """What a viewer sees over a narrow link, with smaller pictures and without."""
    import asyncio

    config = load(config_file, overrides(engine__backend=backend))
    from realtime.bench.clips import choose_clip
    from realtime.bench.narrow import Plan, bench_narrow
    from realtime.bench.report import finish

    rates = tuple(kbit_s or (300.0, 600.0, 1500.0))
    arguments = serve_arguments(config_file)
    plan = Plan(choose_clip(clip), identity, rates, delay_ms, seconds, settle_s, fps, arguments)
    finish(asyncio.run(bench_narrow(plan, config)))


@bench_app.command("lipsync")
def lipsync(
    minutes: Annotated[float, typer.Option(min=0.2, help="How long.")] = 30.0,
    fast_ppm: Annotated[
        float,
        typer.Option(min=-1000, max=1000, help="How much faster the microphone's clock runs."),
    ] = 100.0,
    config_file: ConfigFile = None,
) -> None:
    """A performer claps: how far apart are lips and voice, for a viewer and in the recording?"""
    import asyncio

    config = load(config_file, {})
    from realtime.bench.lipsync import Plan, bench_lipsync
    from realtime.bench.report import finish

    plan = Plan(minutes, fast_ppm, serve_arguments(config_file))
    finish(asyncio.run(bench_lipsync(plan, config)))
