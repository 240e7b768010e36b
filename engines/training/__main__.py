"""Train a network from scratch, from a folder of faces to the files that ship.

    python -m engines.training --size lite --data FACES --out RUN

Labels; samples and training of the head network; samples, which show what that one corrects, and
training of the painting network; export. Each step leaves its result in RUN, and a step whose
result is there already is not done again. Stopped anywhere, the same command goes on; training
continues at its last checkpoint. `RUN/weights` then holds what `engines/weights/warp-refine-SIZE`
ships.
"""

from __future__ import annotations

import argparse
import functools
import shutil
from collections.abc import Callable
from pathlib import Path

from engines.specs import WARP_REFINE_FULL, WARP_REFINE_LITE, NetworkSpec
from engines.training import export, head_samples, labels, paint_samples, samples, train
from engines.training.head_task import HeadTask
from engines.training.paint_task import PaintTask

SIZES = {"lite": WARP_REFINE_LITE, "full": WARP_REFINE_FULL}


HEAD_STEPS, PAINT_STEPS = 6000, 8000
PAINT_RATES = {WARP_REFINE_LITE.name: 1e-3, WARP_REFINE_FULL.name: 4e-4}
"""with the first, full's paint diverged after 350 steps"""


def run(network: NetworkSpec, data: Path, out: Path, head_steps: int, paint_steps: int) -> None:
    """
    Raises:
        SystemExit: `data` holds no frames, or an exported graph differs from torch.
    """
    if not any(data.glob("*.webp")):
        raise SystemExit(f"{data}: holds no IDENTITY_FRAME.webp; see engines/training/synthetic")
    out.mkdir(parents=True, exist_ok=True)
    size = network.size
    table = out / "labels.npz"
    if not table.exists():
        labels.label(data, table)
    head, paint = out / "head", out / "paint"
    of_head = functools.partial(head_samples.kind, size)
    _once(head / "samples", lambda folder: samples.write(data, table, folder, of_head))
    train.train(HeadTask(size, head / "samples"), head / "run", head_steps)
    export.export_graphs(network, head / "run", head / "graphs", ("encode_head", "drive_head"))
    of_paint = functools.partial(paint_samples.kind, network, head / "graphs")
    shown = paint / f"samples_after_{head_steps}"  # they show what that head network corrects
    _once(shown, lambda folder: samples.write(data, table, folder, of_paint))
    rate = PAINT_RATES[network.name]
    train.train(PaintTask(size, shown), paint / "run", paint_steps, rate=rate)
    export.export(network, (head / "run", paint / "run"), out / "weights")


def _once(folder: Path, write: Callable[[Path], None]) -> None:
    """What was begun and not ended is begun again."""
    if folder.exists():
        return
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    write(unfinished)
    unfinished.rename(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m engines.training", description=__doc__)
    parser.add_argument("--size", choices=SIZES, required=True)
    parser.add_argument("--data", type=Path, required=True, help="frames: IDENTITY_FRAME.webp")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--head-steps", type=int, default=HEAD_STEPS, help="of the head network")
    parser.add_argument("--paint-steps", type=int, default=PAINT_STEPS, help="of the painting one")
    options = parser.parse_args()
    run(SIZES[options.size], options.data, options.out, options.head_steps, options.paint_steps)
