"""Checks the networks that ship with this release.

    python build_engines.py --verify     every weights file against its manifest's SHA-256

This release runs its networks through ONNX Runtime on the CPU, which takes the shipped graphs as
they are: there is nothing to build. Without `--verify` it says so and what a GPU build would lack.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys

from engines import weights
from engines.errors import EngineError
from engines.specs import NETWORKS


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0: all files match their manifests; 2: one does not, or nothing can be built."""
    parser = argparse.ArgumentParser(description="Check the networks that ship with reenactd.")
    parser.add_argument("--verify", action="store_true", help="check the shipped weights files")
    if not parser.parse_args(arguments).verify:
        print(f"build_engines: {_why_nothing_is_built()}", file=sys.stderr)
        return 2
    try:
        for name in NETWORKS:
            for path in weights.verify(name):
                print(f"{path}: matches its manifest")
    except EngineError as error:
        print(f"build_engines: {error}", file=sys.stderr)
        return 2
    return 0


def _why_nothing_is_built() -> str:
    missing = []
    if shutil.which("nvidia-smi") is None:
        missing.append("an NVIDIA GPU with its driver")
    if importlib.util.find_spec("tensorrt") is None:
        missing.append("TensorRT")
    lack = f"; this machine also lacks {' and '.join(missing)}" if missing else ""
    return (
        "this release has no TensorRT backend and runs the shipped ONNX graphs on the CPU; "
        f"use --verify to check them{lack}"
    )


if __name__ == "__main__":
    sys.exit(main())
