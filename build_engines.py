"""Builds TensorRT plans for this machine's GPU, and checks the weights that they are built from.

    python build_engines.py                      all networks, fp16, into the plan cache
    python build_engines.py --precision fp32 --network warp-refine-lite
    python build_engines.py --verify             only every weights file against its SHA-256

The work is in `engines/build.py`. Without a GPU there is nothing to build: the shipped ONNX graphs
run on the CPU as they are.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from engines import driver, plans, weights
from engines.backends.base import optional
from engines.errors import EngineError
from engines.specs import NETWORKS


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0: done; 2: something is missing or wrong; 130: stopped by Ctrl-C."""
    options = _parser().parse_args(arguments)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    names = [options.network] if options.network else list(NETWORKS)
    try:
        for name in names:
            files = weights.verify(name)
            print(f"{name}: {len(files)} files match their SHA-256")
        if not options.verify:
            _build(names, options, console)
    except KeyboardInterrupt:
        print("build_engines: stopped; no plan was left half-written", file=sys.stderr)
        return 130
    except (EngineError, OSError) as error:
        print(f"build_engines: {error}", file=sys.stderr)
        return 2
    return 0


def _build(names: list[str], options: argparse.Namespace, console: Console) -> None:
    driver.require()
    with optional("TensorRT, pycuda or PyTorch"):
        from engines.build import build
    with Progress(console=console) as progress:
        for name in names:
            build(
                NETWORKS[name],
                options.precision,
                options.cache,
                progress,
                lambda line: console.print(line, markup=False),
                rebuild=options.rebuild,
            )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Build TensorRT plans for this machine's GPU.")
    parser.add_argument("--network", choices=NETWORKS, help="only this one")
    parser.add_argument("--precision", choices=("fp16", "fp32", "fp8"), default="fp16")
    parser.add_argument("--cache", type=Path, default=plans.default_root(), help="of the plans")
    parser.add_argument("--rebuild", action="store_true", help="also what has a plan that fits")
    parser.add_argument("--verify", action="store_true", help="only check the weights files")
    return parser


if __name__ == "__main__":
    sys.exit(main())
