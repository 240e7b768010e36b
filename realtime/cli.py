"""The command line: parse, load the settings, call one function. Knows no frames and no sockets.

Heavy modules are imported inside the commands, so that `reenactd --help` answers at once and a
missing system library is explained instead of traced.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from engines.errors import EngineError
from realtime import __version__, cli_consent
from realtime.cli_bench import ConfigFile, bench_app, size_of
from realtime.cli_identity import identity_app
from realtime.cli_models import EXIT_INTERRUPTED, models_app
from realtime.cli_service import completion, man, prepare_completion, service
from realtime.cli_trust import tls_app, trust_app
from realtime.cli_vcam import vcam
from realtime.cli_verify import Verdicts
from realtime.config import Config, layers, load, origin_of, overrides, resolve
from realtime.errors import ReenactdError

CODECS = {
    "auto": "H.264 where the browser offers it, else VP8",
    "h264": "H.264 only",
    "vp8": "VP8 only",
}
EXIT_FAILED = 2


class _Commands(TyperGroup):
    """Ctrl-C is a normal end: no "Aborted!", only the exit code that shells expect."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(EXIT_INTERRUPTED) from None


app = typer.Typer(
    name="reenactd",
    cls=_Commands,
    help="Your webcam comes back as a fictional person, live.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
config_app = typer.Typer(no_args_is_help=True, help="The settings, and where each was set.")
app.add_typer(identity_app, name="identity")
app.add_typer(models_app, name="models")
app.add_typer(config_app, name="config")
app.add_typer(bench_app, name="bench")
app.add_typer(trust_app, name="trust")
app.add_typer(tls_app, name="tls")

DaemonUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", help="As the daemon printed it.", show_default="of the settings"),
]
AsJson = Annotated[bool, typer.Option("--json", help="End with one line of JSON, for scripts.")]


def main() -> None:
    """Entry point: every expected failure is one line on stderr and exit code 2."""
    prepare_completion()
    try:
        app()
    except (ReenactdError, EngineError) as error:
        print(f"reenactd: {error}", file=sys.stderr)
        sys.exit(EXIT_FAILED)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"reenactd {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="TCP port; 0 takes a free one.", show_default="8700")
    ] = None,
    identity: Annotated[
        str | None, typer.Option(help="Identity of a new session.", show_default="juniper")
    ] = None,
    config_file: ConfigFile = None,
) -> None:
    """Start the daemon and print the URL of its page.

    The page asks for the camera and shows the avatar. It is served to this machine only, to those
    who know the token in the URL. Stop it with Ctrl-C.
    """
    flags = overrides(server__host=host, server__port=port, identities__default=identity)
    config = load(config_file, flags)
    from realtime.doctor import require_system_libraries

    require_system_libraries()
    from realtime.server import run

    print(f"codec: {CODECS[config.rtc.codec]} (rtc.codec = {config.rtc.codec})")
    run(config, load_again=lambda: load(config_file, flags))


@app.command()
def top(
    url: DaemonUrl = None,
    once: Annotated[bool, typer.Option("--once", help="Print one table, and end.")] = False,
    config_file: ConfigFile = None,
) -> None:
    """Show the sessions of the running daemon, anew each second. End it with Ctrl-C.

    Where the output is no terminal, one table is printed.
    """
    import time

    from realtime import client
    from realtime.top import run

    address = client.find(load(config_file, {}), url)
    run(address, Console(highlight=False), once=once, wait=time.sleep)


@app.command()
def trace(
    target: Annotated[Path, typer.Argument(metavar="OUT", help="JSON file to write.")],
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="How long.")] = 10.0,
    url: DaemonUrl = None,
    config_file: ConfigFile = None,
) -> None:
    """Record what every thread of the running daemon does for each frame, for Perfetto.

    The daemon goes on meanwhile. The file names no identity and holds no picture.
    """
    from realtime import client, trace_file

    print(trace_file.fetch(client.find(load(config_file, {}), url), target, seconds))


@app.command()
def record(
    session: Annotated[str, typer.Argument(help="Its name or id, as `reenactd top` shows them.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Move the films there once they are whole."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="How long.", show_default="until Ctrl-C")
    ] = None,
    url: DaemonUrl = None,
    config_file: ConfigFile = None,
) -> None:
    """Film what viewers of a session see and hear. End it with Ctrl-C.

    The daemon writes fragmented MP4 into recording.directory; whatever happens, what was written
    plays.
    """
    import time

    from realtime import client
    from realtime.record import run

    print(run(client.find(load(config_file, {}), url), session, out, seconds, time.sleep))


@app.command()
def render(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Video of a performer.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="MP4 to write.")],
    identity: Annotated[
        str, typer.Option(metavar="ID|FILE", help="An identity, or a portrait for this run only.")
    ],
    consent: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="For a portrait file, why it may be used: self, third-party (with permission), "
            "fictional or public-domain.",
        ),
    ] = None,
    release: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For third-party: the document in which they agreed."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="I have read the statement, and it is true.")
    ] = False,
    background: Annotated[
        str, typer.Option(help="identity, color, blur or camera (your real room).")
    ] = "identity",
    color: Annotated[str, typer.Option(help="Of a color background, #rrggbb.")] = "#00b140",
    size: Annotated[
        str | None,
        typer.Option(metavar="WIDTHxHEIGHT", help="Of the result.", show_default="640x480"),
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="Reenactment network.", show_default="warp-refine")
    ] = None,
    backend: Annotated[
        str | None, typer.Option(help="auto, onnx, torch or tensorrt.", show_default="auto")
    ] = None,
    config_file: ConfigFile = None,
) -> None:
    """Turn a video file into the avatar: every frame, in order, with its sound.

    Frames without a face hold the last picture for half a second, then show a card, as in a live
    session. The result replaces OUT only once it is complete. A portrait file is asked about as in
    `identity add`; its signed consent is kept beside the film's record, the picture is not.
    """
    width, height = (None, None) if size is None else size_of(size)
    config = load(
        config_file,
        overrides(
            engine__network=network,
            engine__backend=backend,
            video__width_px=width,
            video__height_px=height,
        ),
    )
    from realtime.doctor import require_system_libraries

    require_system_libraries()
    from realtime.frames import Controls
    from realtime.messages import changed
    from realtime.render import Job, is_portrait_file, render_with_progress

    controls = changed(Controls(), {"background": background, "color": color})
    lent = None
    if is_portrait_file(identity):
        lent = cli_consent.lent(Path(identity), consent, release, yes, config)
    render_with_progress(Job(source, target, identity, lent, controls), config)


@app.command(cls=Verdicts)
def verify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Pictures and videos.")],
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON per file.")] = False,
    whole: Annotated[
        bool,
        typer.Option("--all", help="Look at every second of a long film, not at 12 times 10 s."),
    ] = False,
) -> None:
    """Was this made by reenactd? Looks for its marks; needs no network and no running daemon.

    Exit code 0 signed and intact, 1 marked as synthetic, 2 tampered with, 3 nothing found; 4 where
    there is no verdict: a file cannot be read, an option is wrong, a library is missing. Of several
    files the gravest: 2, 4, 3, 1, 0.
    """
    from realtime.doctor import require_system_libraries

    require_system_libraries()
    from realtime.verify_command import run

    raise typer.Exit(run(files, as_json, sys.stdout, sys.stderr, whole))


@app.command()
def doctor(as_json: AsJson = False, config_file: ConfigFile = None) -> None:
    """Look at hardware, backends, codecs and models, and say what each missing thing costs.

    Exit code 1 when the daemon cannot run here.
    """
    from realtime import doctor as examination

    config = load(config_file, {})
    checks = examination.examine(config)
    Console().print(examination.as_table(checks))
    if as_json:
        print(examination.as_json(checks, config), flush=True)
    raise typer.Exit(1 if any(check.fatal for check in checks) else 0)


@config_app.command("show")
def config_show(
    toml: Annotated[
        bool, typer.Option("--toml", help="As a file for --config, each setting explained.")
    ] = False,
    config_file: ConfigFile = None,
) -> None:
    """Print every setting as it holds, and which source decided it."""
    stack = layers(config_file, {})
    config = resolve(stack)
    if toml:
        from realtime.config_file import as_toml

        print(as_toml(config, lambda *name: origin_of(stack, *name) != "default"), end="")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("setting", "value", "set by"):
        table.add_column(column, overflow="fold")
    for section, values in _tree(config).items():
        for key, value in values.items():
            origin = escape(origin_of(stack, section, key))
            table.add_row(f"{section}.{key}", escape(str(value)), origin)
    Console().print(table)


@config_app.command("check")
def config_check(config_file: ConfigFile = None) -> None:
    """Read the file and the environment, and say whether every setting is right."""
    load(config_file, {})
    print("all settings are right")


def _tree(config: Config) -> Mapping[str, Mapping[str, Any]]:
    tree: Mapping[str, Mapping[str, Any]] = config.model_dump(mode="json")
    return tree


for command in (vcam, service, man, completion):
    app.command()(command)


if __name__ == "__main__":
    main()
