"""Builds TensorRT plans for this machine's GPU, and checks the weights that they are built from.

    python build_engines.py                      those of the networks that ship, in fp16
    python build_engines.py --precision fp32 --network warp-refine-lite
    python build_engines.py --network liveportrait --identity-cache
    python build_engines.py --verify             only every weights file against its SHA-256

LivePortrait's weights come from `reenactd models get liveportrait`. The work is in
`engines/build.py` and, for identities, in `realtime/precoding.py`. Without a GPU there is nothing
to build: the shipped ONNX graphs run on the CPU as they are.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from engines import driver, plans, shelf, sources
from engines.backends.base import optional
from engines.errors import EngineError
from engines.sources import AnyNetwork
from engines.specs import NETWORKS
from realtime.config import load
from realtime.errors import ReenactdError


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0: done; 2: something is missing or wrong; 130: stopped by Ctrl-C."""
    options = _parser().parse_args(arguments)
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    names = [options.network] if options.network else list(NETWORKS)
    try:
        networks = [sources.checked(name, options.random_weights, print) for name in names]
        if not options.verify:
            _build(networks, options, console)
        if options.identity_cache:
            from realtime.precoding import encode_identities

            encode_identities(load(options.config, {}), options.identity_cache, console.print)
    except KeyboardInterrupt:
        print("build_engines: stopped; no plan was left half-written", file=sys.stderr)
        return 130
    except (EngineError, ReenactdError, OSError) as error:
        print(f"build_engines: {error}", file=sys.stderr)
        return 2
    return 0


def _build(networks: list[AnyNetwork], options: argparse.Namespace, console: Console) -> None:
    driver.require()
    with optional("TensorRT, pycuda or PyTorch"):
        from engines.build import build
    with Progress(console=console) as progress:
        for network in networks:
            build(
                network,
                options.precision,
                options.cache,
                progress,
                console.print,
                rebuild=options.rebuild,
            )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Build TensorRT plans for this machine's GPU.")
    parser.add_argument("--network", choices=sources.NAMES, help="only this one")
    parser.add_argument("--precision", choices=("fp16", "fp32", "fp8"), default="fp16")
    parser.add_argument("--cache", type=Path, default=plans.default_root(), help="of the plans")
    parser.add_argument("--rebuild", action="store_true", help="also what has a plan that fits")
    parser.add_argument("--verify", action="store_true", help="only check the weights files")
    says = "LivePortrait without its weights, for `reenactd bench models`"
    parser.add_argument("--random-weights", action="store_true", help=says)
    says = "encode the gallery with LivePortrait, shipped ones into DIR or where the daemon looks"
    place = shelf.default_root()
    parser.add_argument(
        "--identity-cache", type=Path, nargs="?", metavar="DIR", const=place, help=says
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the daemon's, for its canvas")
    return parser


if __name__ == "__main__":
    sys.exit(main())
