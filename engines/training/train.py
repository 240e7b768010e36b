"""The training loop: progress on one line, a checkpoint that resumes, a fixed seed.

What is learned, and from which loss, is said by a task: `HeadTask` or `PaintTask`.
"""

from __future__ import annotations

import math
import time
from collections import deque
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

_SAVE_EVERY = 500
"""steps"""
_WARM_UP = 200
"""steps over which the learning rate rises"""
_OUTLIER = 4.0
"""a batch whose loss is this many times the usual one is left out: one such step ended a run"""
_USUAL = 100
"""steps whose mean loss is the usual one"""
_DIVERGED = 1.5
"""a mean loss that is this many times the least one so far does not come down again"""


class Task(Protocol):
    """What a network is taught."""

    @property
    def model(self) -> nn.Module: ...

    def loss(self, rng: np.random.Generator, batch_size: int) -> Tensor:
        """Of a batch that `rng` draws."""
        ...

    def validate(self) -> str:
        """How well held-out samples are met, in words."""
        ...


def train(task: Task, out: Path, steps: int, batch_size: int = 12, rate: float = 1e-3) -> None:
    """
    Raises:
        SystemExit: the loss rises and rises; the last checkpoint stays.
    """
    model = task.model
    optimiser = torch.optim.AdamW(model.parameters(), rate, weight_decay=1e-4)
    out.mkdir(parents=True, exist_ok=True)
    step = _resume(out, model, optimiser)
    rng = np.random.default_rng(step)
    started, recent, least = time.monotonic(), deque[float](maxlen=_USUAL), math.inf
    while step < steps:
        for group in optimiser.param_groups:
            cosine = max(0.02, 0.5 * (1 + float(np.cos(np.pi * step / steps))))
            group["lr"] = rate * cosine * min(1, step / _WARM_UP)
        loss = task.loss(rng, batch_size)
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
            mean = sum(recent) / len(recent)
            print(f"step {step} of {steps} {minutes:.1f} min loss {mean:.4f}", flush=True)
            if mean > _DIVERGED * least:
                raise SystemExit(
                    f"step {step}: the loss has risen from {least:.3g} to {mean:.3g} and will not "
                    f"come down; lower the rate ({rate:g}) and run again: it goes on from {out}"
                )
            if len(recent) == _USUAL:
                least = min(least, mean)
        if step % _SAVE_EVERY == 0:
            _save(out, model, optimiser, step)
            print(f"held out: {task.validate()}", flush=True)
    _save(out, model, optimiser, step)


def _save(out: Path, model: nn.Module, optimiser: torch.optim.Optimizer, step: int) -> None:
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


def _resume(out: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    """The step that the checkpoint was made at, 0 where there is none."""
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
