"""The plan cache: a plan is found where it fits, and otherwise why it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engines import plans
from engines.plans import NoPlan, Plan, PlanKey
from engines.specs import WARP_REFINE_LITE

KEY = PlanKey(
    network="warp-refine-lite",
    graph="drive",
    precision="fp16",
    tensors_sha256="aa",
    weights_sha256="bb",
    gpu="NVIDIA L4",
    compute_capability="8.9",
    driver="12.8",
    tensorrt="10.13.3.9",
)


def reason(found: Plan | NoPlan) -> str:
    assert isinstance(found, NoPlan)
    return found.reason


def test_what_was_installed_is_found(tmp_path: Path) -> None:
    plan = plans.install(KEY, b"plan", tmp_path)
    assert plans.find(KEY, tmp_path) == plan
    assert plan.path.read_bytes() == b"plan"
    assert [path.name for path in tmp_path.iterdir()] == [KEY.folder]


def test_an_empty_cache(tmp_path: Path) -> None:
    said = "there is no fp16 plan of warp-refine-lite drive"
    assert reason(plans.find(KEY, tmp_path)) == said
    assert reason(plans.find(KEY, tmp_path / "absent")) == said


@pytest.mark.parametrize(
    ("here", "said"),
    [
        ({"gpu": "NVIDIA A10"}, "for NVIDIA L4, this is NVIDIA A10"),
        ({"compute_capability": "8.6"}, "for compute capability 8.9, this GPU has 8.6"),
        ({"driver": "13.0"}, "on a driver that speaks CUDA 12.8, this one speaks 13.0"),
        ({"tensorrt": "11.4.0.106"}, "by TensorRT 10.13.3.9, this is 11.4.0.106"),
        ({"weights_sha256": "cc"}, "from other weights of warp-refine-lite"),
        ({"tensors_sha256": "cc"}, "for other tensors than drive of this release has"),
        (
            {"gpu": "NVIDIA A10", "compute_capability": "8.6"},
            "for NVIDIA L4, this is NVIDIA A10; for compute capability 8.9, this GPU has 8.6",
        ),
    ],
)
def test_a_plan_for_something_else_is_not_loaded(
    tmp_path: Path, here: dict[str, str], said: str
) -> None:
    plans.install(KEY, b"plan", tmp_path)
    wanted = replace(KEY, **here)
    assert reason(plans.find(wanted, tmp_path)) == f"the fp16 plan of drive was built {said}"


def test_the_reason_is_of_the_nearest_plan(tmp_path: Path) -> None:
    plans.install(replace(KEY, gpu="NVIDIA A10", driver="12.2"), b"far", tmp_path)
    plans.install(replace(KEY, driver="12.4"), b"near", tmp_path)
    assert "12.4" in reason(plans.find(KEY, tmp_path))
    assert "A10" not in reason(plans.find(KEY, tmp_path))


def test_plans_of_several_machines_share_a_cache(tmp_path: Path) -> None:
    other = replace(KEY, gpu="NVIDIA A10")
    plans.install(KEY, b"one", tmp_path)
    plans.install(other, b"two", tmp_path)
    for key, content in ((KEY, b"one"), (other, b"two")):
        found = plans.find(key, tmp_path)
        assert isinstance(found, Plan) and found.path.read_bytes() == content


@pytest.mark.parametrize("precision", ["fp32"])
def test_another_precision_is_another_plan(tmp_path: Path, precision: str) -> None:
    plans.install(KEY, b"plan", tmp_path)
    said = reason(plans.find(replace(KEY, precision=precision), tmp_path))
    assert said == "there is no fp32 plan of warp-refine-lite drive"


@pytest.mark.parametrize("name", [plans.PLAN, plans.MANIFEST])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"half a pl"])
def test_damage_is_seen_and_mended_by_the_next_install(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    plan = plans.install(KEY, b"half a plan", tmp_path)
    path = plan.path.with_name(name)
    path.unlink() if content is None else path.write_bytes(content)
    assert "damaged" in reason(plans.find(KEY, tmp_path))
    plans.install(KEY, b"whole", tmp_path)
    assert plans.find(KEY, tmp_path) == plan
    assert plan.path.read_bytes() == b"whole"
    assert [path.name for path in tmp_path.iterdir()] == [KEY.folder]


def test_a_manifest_that_was_moved_to_another_name_is_not_believed(tmp_path: Path) -> None:
    other = replace(KEY, gpu="NVIDIA A10")
    plans.install(other, b"plan", tmp_path)
    (tmp_path / other.folder).rename(tmp_path / KEY.folder)
    assert "manifest" in reason(plans.find(KEY, tmp_path))


@pytest.mark.parametrize("at", ["write_bytes", "write_text", "rename"])
def test_an_interruption_leaves_no_half_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, at, interrupted)
    with pytest.raises(KeyboardInterrupt):
        plans.install(KEY, b"plan", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_shapes_are_part_of_the_key() -> None:
    drive = WARP_REFINE_LITE.drive
    wider = replace(drive.inputs[0], shape=(1, 3, 128, 128))
    changed = replace(drive, inputs=(wider, *drive.inputs[1:]))
    assert plans.tensors_sha256(changed) != plans.tensors_sha256(drive)
    assert plans.tensors_sha256(replace(drive)) == plans.tensors_sha256(drive)


def test_the_cache_is_where_caches_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert plans.default_root() == Path("/elsewhere/reenactd/plans")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert plans.default_root() == Path.home() / ".cache/reenactd/plans"
