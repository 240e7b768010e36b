"""The plan cache: TensorRT plans, each in a folder with a manifest that says what it was built for.

    $XDG_CACHE_HOME/reenactd/plans/warp-refine-lite.drive.fp16.3f2a9c51d0e4/{plan, manifest.json}

A plan is machine code for one GPU, one TensorRT and one driver. It is loaded only where all of them
are what its manifest says. It is written under another name and renamed once: who is interrupted
leaves no half plan. Beside them lie compiled kernels (`kernels/program.py`). Knows nothing of what
is in a plan.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from engines import weights
from engines.specs import GraphSpec

PLAN, MANIFEST = "plan", "manifest.json"


@dataclass(frozen=True, slots=True)
class PlanKey:
    """Everything that a plan depends on."""

    network: str
    graph: str
    precision: str
    tensors_sha256: str
    """of the graph's names and shapes"""
    weights_sha256: str
    gpu: str
    compute_capability: str
    driver: str
    tensorrt: str

    @property
    def stem(self) -> str:
        """What a plan is for; the rest of its name is what it was built on."""
        return f"{self.network}.{self.graph}.{self.precision}"

    @property
    def folder(self) -> str:
        return f"{self.stem}.{_sha256(json.dumps(asdict(self)).encode())[:12]}"


_PHRASES = {
    "tensors_sha256": "for other tensors than {graph} of this release has",
    "weights_sha256": "from other weights of {network}",
    "gpu": "for {theirs}, this is {ours}",
    "compute_capability": "for compute capability {theirs}, this GPU has {ours}",
    "driver": "on a driver that speaks CUDA {theirs}, this one speaks {ours}",
    "tensorrt": "by TensorRT {theirs}, this is {ours}",
}
"""how a plan differs, by field; in the order in which a person wants to know"""


@dataclass(frozen=True, slots=True)
class Plan:
    path: Path
    key: PlanKey


@dataclass(frozen=True, slots=True)
class NoPlan:
    reason: str
    """why the ones that are there do not fit"""


def default_root() -> Path:
    """XDG Base Directory Specification."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reenactd" / "plans"


def tensors_sha256(spec: GraphSpec) -> str:
    tensors = [[t.name, list(t.shape)] for t in (*spec.inputs, *spec.outputs)]
    return _sha256(json.dumps(tensors).encode())


def find(key: PlanKey, root: Path) -> Plan | NoPlan:
    """The plan of exactly this key, whole; or why there is none."""
    folder = root / key.folder
    if folder.is_dir():
        damage = _damage(folder, key)
        return NoPlan(f"{folder}: {damage}") if damage else Plan(folder / PLAN, key)
    others = [_read(path) for path in sorted(root.glob(f"{key.stem}.*"))]
    readable = [other for other in others if other is not None]
    if not readable:
        return NoPlan(f"there is no {key.precision} plan of {key.network} {key.graph}")
    return NoPlan(f"the {key.precision} plan of {key.graph} was built {_difference(readable, key)}")


def install(key: PlanKey, content: bytes, root: Path) -> Plan:
    """Put a plan and its manifest in place, both or neither."""
    root.mkdir(parents=True, exist_ok=True)
    final = root / key.folder
    with tempfile.TemporaryDirectory(prefix="unfinished.", dir=root) as made:
        folder = Path(made) / key.folder
        folder.mkdir()
        (folder / PLAN).write_bytes(content)
        manifest = asdict(key) | {"plan_sha256": _sha256(content)}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
        if final.exists():  # a damaged one: a folder cannot be renamed onto it
            shutil.move(final, Path(made) / "replaced")
        folder.rename(final)
    return Plan(final / PLAN, key)


def _damage(folder: Path, key: PlanKey) -> str:
    """What is wrong with a folder of the right name; empty if nothing."""
    if _read(folder) != key:
        return "its manifest is missing or damaged"
    expected = json.loads((folder / MANIFEST).read_text())["plan_sha256"]
    path = folder / PLAN
    whole = path.is_file() and weights.sha256_of(path) == expected
    return "" if whole else "the plan is damaged: its sha256 is not its manifest's"


def _read(folder: Path) -> PlanKey | None:
    try:
        content = json.loads((folder / MANIFEST).read_text())
        str(content["plan_sha256"])
        return PlanKey(**{field.name: str(content[field.name]) for field in fields(PlanKey)})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _difference(others: list[PlanKey], key: PlanKey) -> str:
    """How the plan that is nearest to `key` differs from it."""

    def differing(other: PlanKey) -> list[str]:
        return [name for name in _PHRASES if getattr(other, name) != getattr(key, name)]

    nearest = min(others, key=lambda other: len(differing(other)))
    return "; ".join(
        _PHRASES[name].format(
            graph=key.graph,
            network=key.network,
            theirs=getattr(nearest, name),
            ours=getattr(key, name),
        )
        for name in differing(nearest)
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
