"""Train a network from scratch, from a folder of faces to the files that ship.

    python -m engines.training --size lite --data FACES --out RUN --steps 8000

Labels, samples, training, export: each step leaves its result in RUN, and a step whose result is
there already is not done again. Stopped anywhere, the same command goes on; training continues at
its last checkpoint. `RUN/weights` then holds what `engines/weights/warp-refine-SIZE` ships.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from engines.training import export, labels, samples, train

SIZES = ("lite",)


def run(data: Path, out: Path, steps: int) -> None:
    """
    Raises:
        SystemExit: `data` holds no frames, or an exported graph differs from torch.
    """
    if not any(data.glob("*.webp")):
        raise SystemExit(f"{data}: holds no IDENTITY_FRAME.webp; see engines/training/synthetic")
    out.mkdir(parents=True, exist_ok=True)
    table, folder = out / "labels.npz", out / "samples"
    if not table.exists():
        labels.label(data, table)
    if not folder.exists():
        unfinished = out / "samples.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        samples.write(data, table, unfinished)
        unfinished.rename(folder)
    train.train(folder, out / "run", steps)
    export.export(out / "run", out / "weights")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m engines.training", description=__doc__)
    parser.add_argument("--size", choices=SIZES, required=True)
    parser.add_argument("--data", type=Path, required=True, help="frames: IDENTITY_FRAME.webp")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=8000, help="of training")
    options = parser.parse_args()
    run(options.data, options.out, options.steps)
