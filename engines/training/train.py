"""The training loop of warp-refine: progress on one line, a checkpoint that resumes, a fixed seed.

    python -m engines.training.train --samples SAMPLES --out RUN --steps 8000

The loss is L1 on colours and on their gradients (Mathieu et al., arXiv 1511.05440) where paint may
go, most of it inside mouth and eyes: there geometry alone fails, and there people look. L1 alone
answers a landmark that is a pixel off with blur; so the strength of edges in small windows is
compared as well, wherever in the window they lie.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import deque
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from engines import crop
from engines.crop import REGIONS
from engines.nets.warp_refine import Drive, Encode, reach
from engines.training.samples import FIELDS

Batch = dict[str, Tensor]

_INSIDE_WEIGHT = 4.0
"""of mouth and eye openings, beside 1 for the margin around them"""
_EDGE_WEIGHT = 2.0
_TINT_WEIGHT = 1.0
"""of colours averaged over 9x9 pixels: a cast over a cheek is small in each pixel, and seen"""
_IDLE_WEIGHT = 0.2
"""of any change beside the lips: paint that mends nothing there only flickers"""
_SHARES = (0.6, 0.2, 0.2)
"""of the patches are mouths, right and left eyes"""
_NAMES = ("mouth", "right eye", "left eye")
"""of the regions"""
_SAVE_EVERY = 500
"""steps"""
_WARM_UP = 200
"""steps over which the learning rate rises"""
_OUTLIER = 4.0
"""a batch whose loss is this many times the usual one is left out: one such step ended a run"""
_USUAL = 100
"""steps whose mean loss is the usual one"""


class Samples:
    """Memory-mapped samples of one split.

    Raises:
        SystemExit: there is a region that no sample paints.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        self._arrays = {f: np.load(folder / f"{f}.npy", mmap_mode="r") for f in FIELDS}
        self._device = device
        paint = self._arrays.pop("paint")
        self.painted = [np.flatnonzero(paint[:, region]) for region in range(len(REGIONS))]
        """numbers of the samples of which each region is painted"""
        unpainted = [n for n, p in zip(_NAMES, self.painted, strict=True) if not len(p)]
        if unpainted:
            raise SystemExit(
                f"{folder}: no sample paints the {unpainted[0]}, some must; "
                "add people who blink, and make the samples again"
            )

    def batch(self, samples: NDArray[np.int64], regions: NDArray[np.int64]) -> Batch:
        """One patch of each of the samples: `regions` says which."""
        batch = {}
        for field, array in self._arrays.items():
            patches = np.stack([array[i, r] for i, r in zip(samples, regions, strict=True)])
            tensor = torch.from_numpy(patches).to(self._device)
            batch[field] = tensor.float() / 255 if tensor.dtype == torch.uint8 else tensor
        return batch


def augment(batch: Batch, rng: np.random.Generator) -> Batch:
    """The same mirror, gain, cast and gamma for all pictures of a sample; noise on the inputs."""
    count, device = len(batch["warped"]), batch["warped"].device
    if rng.random() < 0.5:
        batch = {f: t if f == "grid" else t.flip(3) for f, t in batch.items()}
        # the features flip with their picture: mirrored cells look at mirrored places
        batch["grid"] = batch["grid"].flip(2) * torch.tensor([-1.0, 1.0], device=device)
    gain, cast, gamma = (
        torch.from_numpy(rng.uniform(low, high, (count, channels, 1, 1)).astype(np.float32)).to(
            device
        )
        for low, high, channels in ((0.7, 1.3, 1), (0.9, 1.1, 3), (0.8, 1.25, 1))
    )
    for field in ("warped", "target", "portrait"):
        batch[field] = ((batch[field] + 1e-4) ** gamma * gain * cast).clamp(0, 1)
    noise = float(rng.uniform(0, 0.02))
    batch["warped"] = batch["warped"] + noise * torch.randn_like(batch["warped"])
    return batch


def attention(guide: Tensor) -> Tensor:
    """(B, 1, S, S) weight of each pixel: where paint may go, and above all the openings."""
    inside = functional.max_pool2d(torch.maximum(guide[:, :1], guide[:, 2:3]), 5, 1, 2)
    weight: Tensor = guide[:, 4:5] * reach(guide) * (1 + _INSIDE_WEIGHT * inside)
    return weight


def edge_strength(image: Tensor) -> Tensor:
    """(B, 3, S, S) mean absolute difference to the right and below neighbour in 7x7 windows."""
    along_x = functional.pad((image[..., 1:] - image[..., :-1]).abs(), (0, 1))
    along_y = functional.pad((image[..., 1:, :] - image[..., :-1, :]).abs(), (0, 0, 0, 1))
    strength: Tensor = functional.avg_pool2d(along_x + along_y, 7, 1, 3)
    return strength


def loss_of(output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted L1 of colours, of differences over 1 and 2 pixels, of edge strength, and of tint."""
    error = output - target
    total = (weight * error.abs()).mean()
    for step in (1, 2):
        along_x = error[..., step:] - error[..., :-step]
        along_y = error[..., step:, :] - error[..., :-step, :]
        total = total + (weight[..., step:] * along_x.abs()).mean()
        total = total + (weight[..., step:, :] * along_y.abs()).mean()
    edges = (edge_strength(output) - edge_strength(target)).abs()
    total = total + _EDGE_WEIGHT * (weight * edges).mean()
    tint = functional.avg_pool2d(error, 9, 1, 4).abs()
    total = total + _TINT_WEIGHT * (weight * tint).mean()
    return total / weight.mean()


def idle_paint(change: Tensor, guide: Tensor) -> Tensor:
    """Mean change of the skin around lips: of eyes, closed lids are what is painted."""
    lips = guide[:, 1:2]
    around = reach(guide) * (1 - lips) * functional.adaptive_max_pool2d(lips, 1)
    mean: Tensor = (around * change.abs()).mean() / around.mean().clamp(min=1e-3)
    return mean


class Refiner(nn.Module):
    """Both graphs as one module, for training."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = Encode(crop.GUIDE_CHANNELS)
        self.drive = Drive(crop.GUIDE_CHANNELS)

    def forward(self, batch: Batch) -> Tensor:
        features = self.encode(batch["portrait"], batch["portrait_guide"])
        change = self.drive(batch["warped"], batch["guide"], features, batch["grid"])
        refined: Tensor = batch["warped"] + change
        return refined


def validate(model: Refiner, samples: Samples, count: int = 192) -> tuple[float, float]:
    """Attention-weighted PSNR in dB of held-out samples: refined, and geometry alone."""
    refined, geometry, mass = 0.0, 0.0, 0.0
    spread = np.linspace(0, 1, count // len(REGIONS), endpoint=False)
    chosen = [
        (painted[int(at * len(painted))], r)
        for r, painted in enumerate(samples.painted)
        for at in spread
    ]
    with torch.no_grad():
        for start in range(0, count, 16):
            few = np.array(chosen[start : start + 16])
            batch = samples.batch(few[:, 0], few[:, 1])
            weight = attention(batch["guide"])
            output = model(batch)
            refined += float((weight * (output - batch["target"]) ** 2).sum()) / 3
            geometry += float((weight * (batch["warped"] - batch["target"]) ** 2).sum()) / 3
            mass += float(weight.sum())
    return -10 * np.log10(refined / mass), -10 * np.log10(geometry / mass)


def train(samples: Path, out: Path, steps: int, batch_size: int = 12, rate: float = 1e-3) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    model = Refiner().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(model.parameters(), rate, weight_decay=1e-4)
    data, held_out = Samples(samples / "train", device), Samples(samples / "held_out", device)
    out.mkdir(parents=True, exist_ok=True)
    step = _resume(out, model, optimiser)
    rng = np.random.default_rng(step)
    started, recent = time.monotonic(), deque[float](maxlen=_USUAL)
    while step < steps:
        for group in optimiser.param_groups:
            cosine = max(0.02, 0.5 * (1 + float(np.cos(np.pi * step / steps))))
            group["lr"] = rate * cosine * min(1, step / _WARM_UP)
        regions = rng.choice(len(REGIONS), batch_size, p=_SHARES)
        chosen = np.array([rng.choice(data.painted[region]) for region in regions])
        batch = augment(data.batch(chosen, regions), rng)
        output = model(batch)
        loss = loss_of(output, batch["target"], attention(batch["guide"]))
        loss = loss + _IDLE_WEIGHT * idle_paint(output - batch["warped"], batch["guide"])
        step += 1
        now = float(loss.detach())
        usual = sum(recent) / _USUAL if len(recent) == _USUAL else math.inf
        if not now < _OUTLIER * usual:
            print(f"step {step} left out: loss {now:.3g}", flush=True)
            continue
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        recent.append(now)
        if step % 50 == 0:
            minutes = (time.monotonic() - started) / 60
            print(f"step {step} of {steps} {minutes:.1f} min loss {usual:.4f}", flush=True)
        if step % _SAVE_EVERY == 0:
            _save(out, model, optimiser, step)
            refined, geometry = validate(model, held_out)
            print(f"held out: {refined:.2f} dB, geometry {geometry:.2f} dB", flush=True)
    _save(out, model, optimiser, step)


def _save(out: Path, model: Refiner, optimiser: torch.optim.Optimizer, step: int) -> None:
    """Weights and optimiser state, each replaced in one move."""
    save_file(
        {k: v.contiguous() for k, v in model.state_dict().items()},
        out / "model.tmp",
        {"step": str(step)},
    )
    state = {
        f"{index}.{name}": value.float().contiguous()
        for index, entry in optimiser.state_dict()["state"].items()
        for name, value in entry.items()
    }
    save_file(state, out / "optimiser.tmp", {"step": str(step)})
    (out / "optimiser.tmp").replace(out / "optimiser.safetensors")
    (out / "model.tmp").replace(out / "model.safetensors")


def _resume(out: Path, model: Refiner, optimiser: torch.optim.Optimizer) -> int:
    """The step that the checkpoint was made at, 0 where there is none."""
    from safetensors import safe_open

    path = out / "model.safetensors"
    if not path.exists():
        return 0
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    model.load_state_dict(load_file(path))
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in load_file(out / "optimiser.safetensors").items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    return int(metadata["step"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--batch-size", type=int, default=12)
    parser.add_argument("--rate", type=float, default=1e-3)
    options = parser.parse_args()
    train(options.samples, options.out, options.steps, options.batch_size, options.rate)
