"""What the painting network is taught: mouths and eyes as the driving frame has them.

The loss is L1 on colours and on their gradients (Mathieu et al., arXiv 1511.05440) where paint may
go, most of it inside mouth and eyes: there geometry alone fails, and there people look. L1 alone
answers a landmark that is a pixel off with blur; so the strength of edges in small windows is
compared as well, wherever in the window they lie.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from engines.crop import REGIONS
from engines.nets.warp_refine import Drive, Encode, reach
from engines.specs import Size
from engines.training.paint_samples import FIELDS

Batch = dict[str, Tensor]

_INSIDE_WEIGHT = 2.0
"""of mouth and eye openings, beside 1 for the margin around them"""
_SQUARE_WEIGHT = 8.0
"""of squares: L1 alone answers a choice with its median, and tone is a mean"""
_EDGE_WEIGHT = 2.0
_TINT_WEIGHT = 1.0
"""of colours averaged over 9x9 pixels: a cast over a cheek is small in each pixel, and seen"""
_SHARES = (0.6, 0.2, 0.2)
"""of the patches are mouths, right and left eyes"""
_NAMES = ("mouth", "right eye", "left eye")
"""of the regions"""


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
    """L1 and squares of colours; L1 of differences over 1 and 2 pixels, edge strength and tint."""
    error = output - target
    total = (weight * (error.abs() + _SQUARE_WEIGHT * error**2)).mean()
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


class Refiner(nn.Module):
    """Both graphs as one module, for training."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.encode, self.drive = Encode(size), Drive(size)

    def forward(self, batch: Batch) -> Tensor:
        features = self.encode(batch["portrait"], batch["portrait_guide"])
        change, gain = self.drive(batch["warped"], batch["guide"], features, batch["grid"])
        refined: Tensor = batch["warped"] * gain + change
        return refined


class PaintTask:
    """
    Raises:
        SystemExit: the samples lack a region.
    """

    def __init__(self, size: Size, folder: Path) -> None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(0)
        refiner = Refiner(size).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model: Refiner = refiner
        self._data = Samples(folder / "train", device)
        self._held_out = Samples(folder / "held_out", device)

    def loss(self, rng: np.random.Generator, batch_size: int) -> Tensor:
        regions = rng.choice(len(REGIONS), batch_size, p=_SHARES)
        chosen = np.array([rng.choice(self._data.painted[region]) for region in regions])
        batch = augment(self._data.batch(chosen, regions), rng)
        return loss_of(self.model(batch), batch["target"], attention(batch["guide"]))

    def validate(self) -> str:
        """Attention-weighted PSNR in dB."""
        painted, before = compare(self.model, self._held_out)
        return f"{painted:.2f} dB, unpainted {before:.2f} dB"


def compare(model: Refiner, samples: Samples, count: int = 192) -> tuple[float, float]:
    """Attention-weighted PSNR in dB of samples, evenly spread: painted, and unpainted."""
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
