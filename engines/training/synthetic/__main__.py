"""Render faces of people who do not exist.

    python -m engines.training.synthetic fetch --assets DIR [--from COPY]
    python -m engines.training.synthetic --assets DIR --out FACES --count 900 --frames 22

`fetch` gets MakeHuman's files, or takes them from a copy. Then one WebP per frame with the person's
alpha, named IDENTITY_FRAME.webp, and meta.json. The same identity number is always the same person;
numbers that end in 9 are held out from training. Stopped anywhere, the same command goes on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from engines.errors import EngineError
from engines.training.synthetic import assets
from engines.training.synthetic.download import download


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeRemainingColumn())


def _fetch(options: argparse.Namespace) -> None:
    with _progress() as bar:
        wanted = bar.add_task("fetch", total=len(assets.missing(options.assets)))

        def report(name: str) -> None:
            bar.update(wanted, description=name[-40:], advance=".part " not in name)

        if options.copy:
            assets.copy(options.copy, options.assets, report)
        else:
            download(options.assets, report)
    print(f"{options.assets}: all {len(assets.SUMS)} files are in place")


def _render(options: argparse.Namespace) -> None:
    assets.verify(options.assets)
    from engines.training.synthetic.frames import Job, render  # needs moderngl; `fetch` does not

    numbers = range(options.first, options.first + options.count)
    job = Job(options.assets, options.out, numbers, options.frames, options.size)
    with _progress() as bar:
        frames = bar.add_task("render", total=len(numbers) * job.frames)
        render(job, lambda name: bar.update(frames, description=name, advance=1))


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value}: must be 1 or more")
    return value


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    fetching = arguments[:1] == ["fetch"]
    parser = argparse.ArgumentParser(
        prog="python -m engines.training.synthetic" + (" fetch" if fetching else ""),
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--assets", type=Path, required=True, help="folder of MakeHuman's files")
    parser.set_defaults(run=_fetch if fetching else _render)
    if fetching:
        parser.add_argument("--from", dest="copy", type=Path, help="a copy to take them from")
        return parser.parse_args(arguments[1:])
    parser.add_argument("--out", type=Path, required=True, help="folder of the frames")
    parser.add_argument("--first", type=int, default=20000, help="first identity number")
    parser.add_argument("--count", type=_positive, required=True, help="of identities")
    parser.add_argument("--frames", type=_positive, required=True, help="per identity")
    parser.add_argument("--size", type=_positive, default=512, help="of a side, pixels")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """
    Raises:
        SystemExit: with one line that says what is wrong and what to do.
    """
    options = parse(list(arguments))
    try:
        options.run(options)
    except EngineError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main(sys.argv[1:])
