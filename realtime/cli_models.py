"""`reenactd models`: what ships, what can be got, getting it, and whether it is still right.

Shows and asks; what a model is made of and how it comes here is in `engines`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from realtime.errors import ModelError

if TYPE_CHECKING:
    from engines.downloads import Report
    from engines.fetched import Finding, Pin, Store

MIB = 1 << 20
EXIT_DAMAGED = 1
EXIT_DECLINED = 1
EXIT_INTERRUPTED = 130

models_app = typer.Typer(
    no_args_is_help=True, help="The networks' weights: what is here, and more."
)


@models_app.command("list")
def models_list() -> None:
    """Show what ships with reenactd and what can be got: state, size, licence, source, place."""
    from engines import specs, weights

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "state", "MiB", "licence", "source", "place"):
        table.add_column(column, overflow="fold", justify="right" if column == "MiB" else "left")
    for name in specs.NETWORKS:
        findings = _shipped(name)
        size = sum(found.path.stat().st_size for found in findings if not found.missing)
        licence = weights.read_manifest(name).licence
        place = weights.WEIGHTS_DIRECTORY / name
        table.add_row(name, _state(findings), _mib(size), licence, "ships", escape(str(place)))
    for store in _stores():
        model = store.model
        about = model.licence, escape(model.source), escape(str(store.folder))
        table.add_row(model.name, _state(store.examine()), _mib(model.size), *about)
    Console().print(table)


@models_app.command("get")
def models_get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As in the list.")],
    copy: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="Take the files out of this folder instead."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(metavar="BASE", help="A mirror: URL that the files' paths are below."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Agree to licence and download without a question.")
    ] = False,
) -> None:
    """Get a model: see its licence, source and size, agree, and it is downloaded and checked.

    A download that stops, by Ctrl-C or a lost line, goes on with the same command. A proxy is taken
    from HTTPS_PROXY. PyTorch is needed, which turns the files into safetensors.
    """
    from engines import fetched

    store = _store(name)
    _check_url(url)
    fetched.converter()
    wanted = store.missing()
    if not wanted:
        print(f"{name}: all of it is here, in {store.folder}")
        return
    _show(store, sum(file.size for file in wanted), str(copy or url or store.model.source))
    if not yes:
        _ask()
    with _kept_when_stopped(name), store.alone():
        for file in wanted:
            first = not store.expected(file)
            if copy:
                pin = store.copy(file, copy)
            else:
                with _progress(file.name) as report:
                    pin = store.download(file, url or store.model.source, report)
            _tell(file.name, pin, first)
    print(f"{name}: all of it is here, in {store.folder}")


@models_app.command("verify")
def models_verify(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One of the list; else all.")
    ] = None,
) -> None:
    """Compare every file with its SHA-256, one line each.

    Exit code 1 when one is damaged or missing. Without a name, what was never got is no mistake.
    """
    from engines import specs

    shipped = [network for network in specs.NETWORKS if name in (None, network)]
    stores = [_store(name)] if name and not shipped else _stores() if name is None else []
    findings = [found for network in shipped for found in _shipped(network)]
    for store in stores:
        of_model = store.examine()
        if name is None and all(found.missing for found in of_model):
            get = f"`reenactd models get {store.model.name}`"
            print(f"not here  {store.model.name}: {get} gets it")
        else:
            findings += of_model
    for found in findings:
        print(f"wrong     {found.problem}" if found.problem else f"ok        {found.path}")
    raise typer.Exit(EXIT_DAMAGED if any(found.problem for found in findings) else 0)


def _stores() -> list[Store]:
    from engines import catalogue, fetched

    return [fetched.Store(model, fetched.default_root()) for model in catalogue.MODELS.values()]


def _store(name: str) -> Store:
    """
    Raises:
        ModelError: the model is unknown, or ships anyway.
    """
    from engines import specs

    if name in specs.NETWORKS:
        raise ModelError(f"{name}: ships with reenactd, there is nothing to get")
    found = next((store for store in _stores() if store.model.name == name), None)
    if found is None:
        names = ", ".join([*specs.NETWORKS, *(store.model.name for store in _stores())])
        raise ModelError(f"no model {name!r}; there are: {names}")
    return found


def _check_url(url: str | None) -> None:
    plain = url is None or (url.isascii() and url.isprintable() and " " not in url)
    if url is not None and not (plain and url.startswith(("https://", "http://"))):
        raise ModelError(f"--url {url}: must begin with https:// or http://, without spaces")


def _shipped(network: str) -> list[Finding]:
    from engines import weights
    from engines.errors import WeightsError
    from engines.fetched import Finding

    findings = []
    for file in weights.read_manifest(network).files:
        try:
            findings.append(Finding(weights.locate(network, file)))
        except WeightsError as error:
            findings.append(Finding(weights.WEIGHTS_DIRECTORY / network / file, str(error)))
    return findings


def _state(findings: list[Finding]) -> str:
    if any(found.problem and not found.missing for found in findings):
        return "[red]damaged[/red]"
    here = sum(not found.problem for found in findings)
    if here == len(findings):
        return "[green]here[/green]"
    return f"[yellow]{here} of {len(findings)} files here[/yellow]" if here else "not here"


def _show(store: Store, size: int, source: str) -> None:
    for label, value in (
        ("model", store.model.title),
        ("licence", store.model.licence),
        ("source", source),
        ("size", f"{_mib(size)} MiB to get"),
        ("into", str(store.folder)),
    ):
        print(f"{label:<10}{value}")


def _ask() -> None:
    """
    Raises:
        ModelError: there is nobody to ask.
        typer.Exit: the answer is no.
    """
    if not sys.stdin.isatty():
        raise ModelError("no terminal to ask on: --yes agrees to the licence and the download")
    try:
        agreed = typer.confirm("Get it under this licence?")
    except typer.Abort:  # Ctrl-C or the end of the input, at the question
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if not agreed:
        print("nothing was got")
        raise typer.Exit(EXIT_DECLINED)


@contextmanager
def _kept_when_stopped(name: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        print(
            f"stopped; what came is kept, `reenactd models get {name}` goes on there",
            file=sys.stderr,
        )
        raise typer.Exit(EXIT_INTERRUPTED) from None


@contextmanager
def _progress(name: str) -> Iterator[Report]:
    """A bar with rate and time left, where there is a terminal."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True))
    with Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn(), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda have, total: bar.update(task, completed=have, total=total)


def _tell(name: str, pin: Pin, first: bool) -> None:
    print(f"{name}: checked and converted to {', '.join(pin.kept)}; sha256 {pin.sha256}")
    if first:
        print(f"{name}: this release knows no sum of it; this one holds from now on (lock.json)")


def _mib(size: int) -> str:
    return f"{size / MIB:.1f}"
