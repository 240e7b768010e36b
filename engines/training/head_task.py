"""What the head network is taught: light and outline as the driving frame has them.

The texture of a portrait is warped by the geometry's map and the network's way, lit by its gain,
and compared with the driving frame: L1 on premultiplied colours and alpha, on their gradients
(Mathieu et al., arXiv 1511.05440), and on means over 8x8 pixels, for light is broad; a face counts
more than what is around it. The way's total variation costs a little: where nothing is to be seen,
nothing moves.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from engines import head
from engines.nets.head import EncodeHead, Head
from engines.specs import Size
from engines.training.head_samples import FIELDS, FINER

Batch = dict[str, Tensor]

_SQUARE_WEIGHT = 4.0
"""of squares: light is a mean, and L1 alone gives medians"""
_BROAD_WEIGHT = 2.0
_BROAD_PX = 8
_VARIATION_WEIGHT = 0.15
_FACE_WEIGHT = 1.0
"""of what the way moves least, beside 1 for all: there people look"""


class HeadNet(nn.Module):
    """Both graphs as one module, for training."""

    own: Tensor

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.encode_head = EncodeHead(size)
        self.drive_head = Head(size)
        own = torch.from_numpy(head.own_places(size.head_px)).permute(2, 0, 1)[None]
        self.register_buffer("own", own, persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        features = self.encode_head(functional.avg_pool2d(batch["texture"], 2))
        at = functional.avg_pool2d(batch["map"], FINER)
        warped = look_up(batch["texture"], at)
        way = (at - self.own).clamp(-head.FARTHEST, head.FARTHEST)
        turn = batch["turn"][:, :, None, None].expand(-1, -1, *way.shape[2:])
        field: Tensor = self.drive_head(torch.cat([warped, way, turn], 1), features)
        return field


class Samples:
    """Memory-mapped samples of one split."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self._arrays = {f: np.load(folder / f"{f}.npy", mmap_mode="r") for f in FIELDS}
        self._device = device

    def __len__(self) -> int:
        return len(self._arrays["turn"])

    def batch(self, samples: NDArray[np.int64]) -> Batch:
        """Pictures and maps as (B, C, S, S), 0..1 or in face units."""
        batch = {}
        for field, array in self._arrays.items():
            tensor = torch.from_numpy(np.stack([array[i] for i in samples])).to(self._device)
            scaled = tensor.float() / 255 if tensor.dtype == torch.uint8 else tensor.float()
            batch[field] = scaled.permute(0, 3, 1, 2) if scaled.ndim == 4 else scaled
        return batch


class HeadTask:
    def __init__(self, size: Size, folder: Path) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(0)
        self.model = HeadNet(size).to(self._device)
        self._data = Samples(folder / "train", self._device)
        self._held_out = Samples(folder / "held_out", self._device)

    def loss(self, rng: np.random.Generator, batch_size: int) -> Tensor:
        batch = augment(self._data.batch(rng.integers(0, len(self._data), batch_size)), rng)
        field = self.model(batch)
        return loss_of(field, corrected(batch, field), batch)

    def validate(self, count: int = 192) -> str:
        """PSNR in dB, premultiplied, with and without the field."""
        chosen = np.linspace(0, len(self._held_out) - 1, count).astype(np.int64)
        squares = np.zeros(2)
        with torch.no_grad():
            for some in np.array_split(chosen, -(-count // 16)):
                batch = self._held_out.batch(some)
                field = self.model(batch)
                for which, tried in enumerate((field, torch.zeros_like(field))):
                    error = batch["counts"] * (corrected(batch, tried) - batch["target"])
                    squares[which] += float((error[:, :3] ** 2).mean(dim=(1, 2, 3)).sum())
        after, before = -10 * np.log10(squares / count)
        return f"{after:.2f} dB, geometry {before:.2f} dB"


def look_up(texture: Tensor, at: Tensor) -> Tensor:
    """(B, 4, S, S) of a texture at places (B, 2, S, S) in face units from its middle."""
    grid = at.permute(0, 2, 3, 1) * (2 / head.TEXTURE.side)
    return functional.grid_sample(texture, grid, align_corners=False)


def corrected(batch: Batch, field: Tensor) -> Tensor:
    """(B, 4, S, S) the driven head, premultiplied, with the field's light and way."""
    size = batch["map"].shape[2:]
    field = torch.cat([field[:, :3], field[:, 3:] * batch["movable"]], 1)
    fine = functional.interpolate(field, size=size, mode="bilinear", align_corners=False)
    warped = look_up(batch["texture"], batch["map"] + fine[:, 3:])
    alpha = warped[:, 3:]
    return torch.cat([torch.minimum(warped[:, :3] * fine[:, :3].exp(), alpha), alpha], 1)


def augment(batch: Batch, rng: np.random.Generator) -> Batch:
    """The same mirror, gain and cast for all pictures of a sample."""
    count, device = len(batch["turn"]), batch["turn"].device
    if rng.random() < 0.5:
        mirror = torch.tensor([-1.0, 1.0], device=device)
        batch = {f: t.flip(3) if t.ndim == 4 else t * mirror for f, t in batch.items()}
        batch["map"] = batch["map"] * mirror[None, :, None, None]
    gain, cast = (
        torch.from_numpy(rng.uniform(low, high, (count, channels, 1, 1)).astype(np.float32)).to(
            device
        )
        for low, high, channels in ((0.6, 1.3, 1), (0.85, 1.15, 3))
    )
    for field in ("texture", "target"):
        rgb, alpha = batch[field][:, :3], batch[field][:, 3:]
        batch[field] = torch.cat([torch.minimum(rgb * gain * cast, alpha), alpha], 1)
    return batch


def loss_of(field: Tensor, output: Tensor, batch: Batch) -> Tensor:
    face = functional.interpolate(1 - batch["movable"], size=output.shape[2:], mode="bilinear")
    error = (output - batch["target"]) * batch["counts"] * (1 + _FACE_WEIGHT * face)
    total = error.abs().mean() + _SQUARE_WEIGHT * (error**2).mean() + _steps(error)
    total = total + _BROAD_WEIGHT * functional.avg_pool2d(error, _BROAD_PX).abs().mean()
    return total + _VARIATION_WEIGHT * _steps(field[:, 3:])


def _steps(values: Tensor) -> Tensor:
    """Mean difference of neighbours, along x plus along y."""
    along_x = (values[..., 1:] - values[..., :-1]).abs().mean()
    along_y = (values[..., 1:, :] - values[..., :-1, :]).abs().mean()
    return along_x + along_y
