"""The published checkpoints -> weights of our modules, and those kept as safetensors.

A checkpoint is read without running code from it (`weights_only`), and only if it holds exactly the
tensors of the network it is read for. Spectral norms are folded here, once. What is kept afterwards
has the state dict of our modules; the original file is not needed again.
"""

from __future__ import annotations

import errno
import os
import re
import struct
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engines.errors import WeightsError
from engines.nets.liveportrait import retargeting
from engines.nets.liveportrait.appearance import AppearanceExtractor
from engines.nets.liveportrait.generator import Generator, SpadeBlock
from engines.nets.liveportrait.motion import MotionExtractor
from engines.nets.liveportrait.rewrites import fold_spectral_norm
from engines.nets.liveportrait.sizes import PUBLISHED, Sizes
from engines.nets.liveportrait.warping import WarpingModule

Module = nn.Module
State = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]

_WRAPPER = "module."
"""what parallel training puts before every name"""
_COUNTER = ".num_batches_tracked"
"""of batch norms in training; without a use here, and missing from older files"""
_UNREADABLE = (
    *(OSError, EOFError, RuntimeError, UnpicklingError, struct.error, AssertionError),
    *(ArithmeticError, AttributeError, LookupError, TypeError, ValueError),
)
"""what `torch.load` raises, by where in the file the damage lies"""


@dataclass(frozen=True, slots=True)
class Network:
    make: Callable[[Sizes], nn.Module]
    file: str
    entry: str = ""
    """where in the file its state dict is; empty: the file is the state dict"""


_RETARGETING = "stitching_retargeting_module.pth"

NETWORKS = {
    "appearance": Network(AppearanceExtractor, "appearance_feature_extractor.pth"),
    "motion": Network(MotionExtractor, "motion_extractor.pth"),
    "warping": Network(WarpingModule, "warping_module.pth"),
    "generator": Network(Generator, "spade_generator.pth"),
    "stitching": Network(retargeting.stitching, _RETARGETING, "retarget_shoulder"),
    "lip_retargeting": Network(retargeting.lip_retargeting, _RETARGETING, "retarget_mouth"),
    "eye_retargeting": Network(retargeting.eye_retargeting, _RETARGETING, "retarget_eye"),
}


def read_published(network: str, path: Path, sizes: Sizes = PUBLISHED, origin: str = "") -> State:
    """The weights of one network, from a published file, for `build`.

    Args:
        origin: what a refusal calls the file, if not by its path.

    Raises:
        WeightsError: the file is missing, damaged, holds code, or is of another network.
    """
    where = origin or str(path)
    state = _state_in(_unpickle(network, path, where), network, where)
    state = {name.removeprefix(_WRAPPER): value for name, value in state.items()}
    state = {name: value for name, value in state.items() if not name.endswith(_COUNTER)}
    wanted = published_shapes(network, sizes)
    if _shapes_of(state) != wanted and (other := _whose(state, sizes)):
        raise WeightsError(f"{where}: is of {other}, must be of {network}; {_fix(network)}")
    _check(network, state, wanted, where)
    return _fold(state)


def keep(state: State, path: Path) -> None:
    """Write weights as safetensors; whoever looks at `path` sees none of it, or all.

    Raises:
        OSError: it cannot be written.
    """
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        save_file(state, unfinished)
        os.replace(unfinished, path)
    except SafetensorError as error:  # its text holds the number of the OSError that it was
        found = re.search(r"\(os error (\d+)\)", str(error))
        number = int(found[1]) if found else errno.EIO
        raise OSError(number, os.strerror(number), str(path)) from None
    finally:
        unfinished.unlink(missing_ok=True)


def restore(network: str, path: Path, sizes: Sizes = PUBLISHED) -> State:
    """What `keep` wrote.

    Raises:
        WeightsError: the file is missing, damaged, or of another network.
    """
    try:
        state = load_file(path)
    except FileNotFoundError:
        raise WeightsError(f"{path}: missing; {_fix(network)}") from None
    except SafetensorError as error:
        raise WeightsError(f"{path}: no safetensors file ({error}); {_fix(network)}") from None
    _check(network, state, shapes(network, sizes), str(path))
    return state


def build(network: str, state: State, sizes: Sizes = PUBLISHED) -> nn.Module:
    """The network, with these weights, ready to use; its weights are those of `state`, not copies.

    Raises:
        WeightsError: they are of another network.
    """
    _check(network, state, shapes(network, sizes), "given")
    module = _hollow(network, sizes)
    counters = {n: torch.tensor(0) for n in module.state_dict() if n.endswith(_COUNTER)}
    module.load_state_dict({**state, **counters}, assign=True)
    return module.requires_grad_(False).eval()


def untrained(network: str, seed: int, sizes: Sizes = PUBLISHED) -> nn.Module:
    """The network with random weights, the same for the same seed; to be timed, not looked at."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return NETWORKS[network].make(sizes).requires_grad_(False).eval()


def shapes(network: str, sizes: Sizes = PUBLISHED) -> Shapes:
    """Name -> shape of what `keep` writes."""
    state = _hollow(network, sizes).state_dict()
    return {n: shape for n, shape in _shapes_of(state).items() if not n.endswith(_COUNTER)}


def published_shapes(network: str, sizes: Sizes = PUBLISHED) -> Shapes:
    """Name -> shape of what the published file holds, counters of batch norms aside."""
    found = shapes(network, sizes)
    for name in _spectral(_hollow(network, sizes)):
        outputs, *rest = found.pop(name)
        found[f"{name}_orig"] = outputs, *rest
        found[f"{name}_u"] = (outputs,)
        found[f"{name}_v"] = (torch.Size(rest).numel(),)
    return found


def _shapes_of(state: Mapping[str, Tensor]) -> Shapes:
    return {name: tuple(value.shape) for name, value in state.items()}


def _whose(state: State, sizes: Sizes) -> str | None:
    """The published network that the checkpoint is of."""
    found = _shapes_of(state)
    return next((n for n in NETWORKS if published_shapes(n, sizes) == found), None)


def _hollow(network: str, sizes: Sizes) -> nn.Module:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return NETWORKS[network].make(sizes)


def _spectral(module: nn.Module) -> list[str]:
    """Names of the weights that were trained with a spectral norm."""
    return [
        f"{block}.{name}.weight"
        for block, inner in module.named_modules()
        if isinstance(inner, SpadeBlock)
        for name, _ in inner.named_children()
        if name.startswith("conv_")
    ]


def _fold(state: State) -> State:
    folded = {n.removesuffix("_orig") for n in state if n.endswith("_orig")}
    plain = {
        name: value.float().contiguous()
        for name, value in state.items()
        if name.rpartition("_")[0] not in folded
    }
    for name in folded:
        original, u, v = (state[f"{name}_{part}"].float() for part in ("orig", "u", "v"))
        plain[name] = fold_spectral_norm(original, u, v)
    return plain


def _unpickle(network: str, path: Path, where: str) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles older or newer than torch's own
            content: object = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"{where}: missing; {_fix(network)}") from None
    except _UNREADABLE as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise WeightsError(
            f"{where}: no checkpoint of plain tensors ({reason}): it is damaged, or holds code, "
            f"which is never run; {_fix(network)}"
        ) from None
    return content


def _state_in(content: object, network: str, origin: str) -> State:
    if (entry := NETWORKS[network].entry) and isinstance(content, dict):
        content = content.get(entry)
    if not isinstance(content, dict) or not all(starmap(_is_plain, content.items())):
        inside = f" at {entry!r}" if entry else ""
        raise WeightsError(
            f"{origin}: holds no table of tensors{inside}, must hold {network}'s; {_fix(network)}"
        )
    return content


def _is_plain(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor) and value.layout is torch.strided


def _check(network: str, state: Mapping[str, Tensor], wanted: Shapes, where: str) -> None:
    """
    Raises:
        WeightsError: naming the first tensor that is missing, too many, misshapen or not finite.
    """
    refusal, fix = f"{where}: not the weights of {network}", _fix(network)
    if missing := sorted(wanted.keys() - state.keys()):
        raise WeightsError(f"{refusal}: has no tensor {missing[0]!r}, must have it; {fix}")
    if surplus := sorted(state.keys() - wanted.keys()):
        raise WeightsError(f"{refusal}: has a tensor {surplus[0]!r}, must not have it; {fix}")
    for name, shape in wanted.items():
        found = state[name]
        if tuple(found.shape) != shape:
            raise WeightsError(f"{refusal}: {name} is {tuple(found.shape)}, must be {shape}; {fix}")
        if not found.is_floating_point() or not bool(found.isfinite().all()):
            raise WeightsError(f"{refusal}: {name} holds what is no finite number; {fix}")


def _fix(network: str) -> str:
    return f"get LivePortrait's {NETWORKS[network].file} by `reenactd models get liveportrait`"
