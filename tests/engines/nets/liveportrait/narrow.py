"""Networks of the published shape, but so narrow that a test can afford them."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from engines.catalogue import LIVEPORTRAIT, Model
from engines.nets.liveportrait.checkpoint import NETWORKS
from engines.nets.liveportrait.generator import SpadeBlock
from engines.nets.liveportrait.sizes import Sizes

NARROW = Sizes(
    points=3,
    bins=66,
    side=8,
    depth=4,
    channels=4,
    first=4,
    residuals=2,
    stages=(4, 8, 12, 16),
    blocks=(1, 1, 2, 1),
    compressed=2,
    hourglass=(4, 8, 12),
    features=8,
    hidden=6,
    last=4,
)


ALL_POINTS = replace(NARROW, points=21)
"""as narrow, with the key points that published numbers name"""


def network(name: str, seed: int = 0, sizes: Sizes = NARROW) -> nn.Module:
    """Random, with batch norms that have seen something."""
    generator = torch.Generator().manual_seed(seed)
    module = NETWORKS[name].make(sizes).eval().requires_grad_(False)
    state = module.state_dict()
    for key, value in state.items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=generator)
        elif value.is_floating_point():
            fan = max(1, value[0].numel()) if value.ndim > 1 else 4
            value.normal_(0, fan**-0.5, generator=generator)
            value += key.endswith(("norm.weight", "norm1.weight", "norm2.weight"))
    return module


def random(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale


def warping_inputs(batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    volume = random(batch, NARROW.channels, NARROW.depth, NARROW.side, NARROW.side)
    kp_source = random(batch, NARROW.points, 3, seed=1, scale=0.5)
    kp_driving = kp_source + random(batch, NARROW.points, 3, seed=2, scale=0.3)
    return volume, kp_driving, kp_source


def as_trained(generator: nn.Module) -> nn.Module:
    """The generator with torch's own spectral norms, as its published state dict has them."""
    torch.manual_seed(0)  # of the singular vectors that are iterated from
    for block in generator.modules():
        if isinstance(block, SpadeBlock):
            for name in ("conv_0", "conv_1", *(("conv_s",) if block.learned_shortcut else ())):
                spectral_norm(getattr(block, name), n_power_iterations=20)
    generator.train()(random(1, NARROW.features, NARROW.side, NARROW.side))  # iterates
    return generator.eval()


def share(found: Tensor, expected: Tensor) -> float:
    """Largest difference, as a share of the largest value expected."""
    return float((found - expected).abs().max() / expected.abs().max())


def published_files(seed: int = 0) -> dict[str, bytes]:
    """File name -> content, as the authors publish them, of narrow networks."""
    states: dict[str, dict[str, object]] = {}
    for name, net in NETWORKS.items():
        module = network(name, seed)
        state = (as_trained(module) if name == "generator" else module).state_dict()
        if net.entry:
            states.setdefault(net.file, {})[net.entry] = state
        else:
            states[net.file] = dict(state)
    return {file: _saved(state) for file, state in states.items()}


def _saved(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def narrow_model(files: dict[str, bytes], sums_are_known: bool = False) -> Model:
    """LivePortrait's entry in the catalogue, for files of narrow networks."""
    found = []
    for file in LIVEPORTRAIT.files:
        content = files[file.name]
        digest = hashlib.sha256(content).hexdigest() if sums_are_known else ""
        found.append(replace(file, size=len(content), sha256=digest))
    return replace(LIVEPORTRAIT, files=tuple(found), sizes=NARROW)
