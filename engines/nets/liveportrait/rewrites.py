"""Exact rewrites of the networks: fewer operations, the same outputs but for rounding.

Each changes the network that it is given, in place, so that its state dict is no longer the
checkpoint's: load first, rewrite then. Batch norms must be in evaluation mode, as they are in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.nets.liveportrait.generator import Spade, SpadeBlock, leaky
from engines.nets.liveportrait.layers import UpBlock

Convolution = nn.Conv2d | nn.Conv3d
BatchNorm = nn.BatchNorm2d | nn.BatchNorm3d
Network = TypeVar("Network", bound=nn.Module)

_REACH = (-1, 0, 1)
"""taps of a convolution over three, from its centre"""


def optimise(network: Network) -> Network:
    """All rewrites that the network has a place for."""
    network.requires_grad_(False)
    fold_batch_norms(network)
    for name, module in list(network.named_modules()):
        if isinstance(module, SpadeBlock):
            network.set_submodule(name, FusedSpadeBlock(module))
    decompose_upsampled(network)
    return network


def fold_batch_norms(network: nn.Module) -> None:
    """Into the convolution before it, wherever a module names such pairs as its `FOLDS`."""
    for module in network.modules():
        for conv, norm in getattr(module, "FOLDS", ()):
            _fold_batch_norm(module.get_submodule(conv), module.get_submodule(norm))
            module.set_submodule(norm, nn.Identity())


@torch.no_grad()
def _fold_batch_norm(conv: nn.Module, norm: nn.Module) -> None:
    assert isinstance(conv, Convolution) and isinstance(norm, BatchNorm)
    assert conv.bias is not None and norm.running_var is not None and norm.running_mean is not None
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)  # (outputs,)
    conv.bias.data = norm.bias + (conv.bias - norm.running_mean) * gain
    conv.weight.data = conv.weight * gain.view(-1, *(1,) * (conv.weight.ndim - 1))


def fold_spectral_norm(original: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """The weight that a spectrally normalised layer applies: divided by its largest singular value.

    Training leaves left and right singular vectors beside the weight (Miyato et al., 1802.05957).
    """
    # original of (outputs, inputs, ...), u of (outputs,), v of all the rest
    return original / torch.dot(u, original.flatten(1) @ v)


class FusedSpadeBlock(nn.Module):
    """A `SpadeBlock` whose norms share what they have in common.

    All look at the same features: one convolution makes what all of them hide. And of each, scale
    and shift come from the same hidden map: one convolution makes both, with the 1 in its bias.
    """

    def __init__(self, block: SpadeBlock) -> None:
        super().__init__()
        norms = [block.norm_0, block.norm_1]
        self.shortcut = block.conv_s if block.learned_shortcut else None
        if block.learned_shortcut:
            norms.append(block.norm_s)
        self.conv_0, self.conv_1 = block.conv_0, block.conv_1
        self.zoom: nn.Module = block.norm_0.zoom
        self.shared: nn.Module = _stack([norm.mlp_shared[0] for norm in norms])
        self.hidden = block.norm_0.mlp_gamma.in_channels
        self.norms = nn.ModuleList(norm.norm for norm in norms)
        self.modulations = nn.ModuleList(_modulation(norm) for norm in norms)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        # x of (B, inputs, S, S); features: (B, 256, 64, 64)
        hidden = self.shared(self.zoom(features)).relu().split(self.hidden, 1)
        out = self.conv_0(leaky(self._modulate(0, x, hidden[0])))
        out = self.conv_1(leaky(self._modulate(1, out, hidden[1])))
        if self.shortcut is not None:
            x = self.shortcut(self._modulate(2, x, hidden[2]))
        summed: Tensor = x + out
        return summed

    def _modulate(self, index: int, x: Tensor, hidden: Tensor) -> Tensor:
        modulation = self.modulations[index](hidden)
        scale, shift = modulation.split(modulation.shape[1] // 2, 1)
        out: Tensor = self.norms[index](x) * scale + shift
        return out


def _modulation(norm: Spade) -> nn.Conv2d:
    out = _stack([norm.mlp_gamma, norm.mlp_beta])
    assert out.bias is not None
    out.bias.data[: norm.mlp_gamma.out_channels] += 1
    return out


def _stack(convs: Sequence[nn.Module]) -> nn.Conv2d:
    """One convolution whose outputs are those of all, one after the other."""
    parts = [conv for conv in convs if isinstance(conv, nn.Conv2d)]
    first = parts[0]
    outputs = sum(part.out_channels for part in parts)
    out = nn.Conv2d(first.in_channels, outputs, 3, padding=1, device="meta")
    out.weight = nn.Parameter(torch.cat([part.weight for part in parts]), requires_grad=False)
    biases = [part.bias for part in parts if part.bias is not None]
    out.bias = nn.Parameter(torch.cat(biases), requires_grad=False)
    return out


def decompose_upsampled(network: nn.Module) -> None:
    """Convolutions of enlarged maps become convolutions of the maps themselves."""
    for module in network.modules():
        if isinstance(module, UpBlock):
            module.conv = PhaseConv(module.conv, (1, 2, 2))
            module.up = nn.Identity()
        elif isinstance(module, FusedSpadeBlock) and isinstance(module.zoom, nn.Upsample):
            zoom = module.zoom.scale_factor
            assert isinstance(zoom, float)  # the same for both axes
            module.shared = PhaseConv(module.shared, (int(zoom), int(zoom)))
            module.zoom = nn.Identity()


class PhaseConv(nn.Module):
    """A convolution over three of a map enlarged by whole factors (nearest), on the small map.

    An enlarged map repeats its values, so several taps of a kernel meet the same one: their weights
    are summed beforehand. Which taps do depends on where in its block of equal values an output
    lies (its phase). Enlarged by two there are two phases of two taps for each axis. By four, two
    of four phases meet one value with all three taps: they are equal, and computed once.

    Zeros beyond the enlarged map's edge are zeros beyond the small one's, for a tap that leaves the
    one by 1 leaves the other.
    """

    def __init__(self, conv: nn.Module, factors: tuple[int, ...]) -> None:
        super().__init__()
        assert isinstance(conv, Convolution) and conv.bias is not None
        assert conv.kernel_size == (3,) * len(factors) and conv.padding == (1,) * len(factors)
        self.convolve = functional.conv2d if len(factors) == 2 else functional.conv3d
        self.factors = factors
        self.axes = [_phases(factor) for factor in factors]
        self.bias = nn.Parameter(conv.bias.detach(), requires_grad=False)
        self.kernels = nn.ParameterList(
            nn.Parameter(_sum_taps(conv.weight.detach(), phase), requires_grad=False)
            for phase in self._distinct()
        )

    def forward(self, x: Tensor) -> Tensor:
        # x of (B, inputs, [D,] H, W)
        dimensions = len(self.factors)
        padded = functional.pad(x, (1, 1) * dimensions)
        maps = {}
        for taps, kernel in zip(self._distinct(), self.kernels, strict=True):
            window = padded
            for axis, offsets in enumerate(taps, start=2):
                edges = slice(1 + min(offsets), max(offsets) - 1 or None)
                window = window[(slice(None),) * axis + (edges,)]
            maps[taps] = self.convolve(window, kernel, self.bias)
        return self._interleave(maps, ())

    def _interleave(self, maps: dict[tuple[Taps, ...], Tensor], chosen: tuple[Taps, ...]) -> Tensor:
        """Phases side by side, axis by axis: those of the later axes first."""
        axis = len(chosen)
        if axis == len(self.axes):
            return maps[chosen]
        phases = [self._interleave(maps, (*chosen, taps)) for taps in self.axes[axis]]
        if len(phases) == 1:
            return phases[0]
        return torch.stack(phases, axis + 3).flatten(axis + 2, axis + 3)

    def _distinct(self) -> list[tuple[Taps, ...]]:
        return list(product(*(dict.fromkeys(phases) for phases in self.axes)))


Taps = tuple[int, ...]
"""for each tap of the kernel, the small map's voxel that it meets, from the output's own"""


def _phases(factor: int) -> list[Taps]:
    return [tuple((phase + tap) // factor for tap in _REACH) for phase in range(factor)]


def _sum_taps(weight: Tensor, phase: tuple[Taps, ...]) -> Tensor:
    """Weights of taps that meet the same voxel, summed, axis by axis."""
    for axis, taps in enumerate(phase, start=2):
        summed: dict[int, Tensor] = {}
        for voxel, part in zip(taps, weight.unbind(axis), strict=True):
            summed[voxel] = summed[voxel] + part if voxel in summed else part
        weight = torch.stack(list(summed.values()), axis)
    return weight
