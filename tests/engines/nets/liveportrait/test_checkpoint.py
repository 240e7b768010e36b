"""Published checkpoints load unchanged; all else is refused in one line, and no code is run."""

from __future__ import annotations

import errno
import pickle
import resource
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engines.errors import WeightsError
from engines.nets.liveportrait import checkpoint
from engines.nets.liveportrait.checkpoint import NETWORKS
from tests.engines.nets.liveportrait.narrow import (
    NARROW,
    as_trained,
    network,
    random,
    warping_inputs,
)

pytestmark = pytest.mark.train


def publish(name: str, folder: Path, prefix: str = "", state: object = None) -> Path:
    """A file as the authors publish it, of a narrow network."""
    module = as_trained(network(name)) if name == "generator" else network(name)
    state = state or {f"{prefix}{key}": value for key, value in module.state_dict().items()}
    entry = NETWORKS[name].entry
    path = folder / NETWORKS[name].file
    torch.save({entry: state} if entry else state, path)
    return path


def inputs_of(name: str) -> tuple[Tensor, ...]:
    if name in ("appearance", "motion"):
        return (torch.rand(1, 3, NARROW.picture, NARROW.picture),)
    if name == "warping":
        return warping_inputs(batch=1)
    if name == "generator":
        return (random(1, NARROW.features, NARROW.side, NARROW.side),)
    first = next(network(name).parameters())
    return (random(2, first.shape[1]),)


def outputs(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    with torch.no_grad():
        found = module(*inputs)
    return (found,) if isinstance(found, Tensor) else tuple(found)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_published_file_gives_the_network_it_was_saved_from(
    name: str, prefix: str, tmp_path: Path
) -> None:
    saved = as_trained(network(name)) if name == "generator" else network(name)
    state = checkpoint.read_published(name, publish(name, tmp_path, prefix), NARROW)
    loaded = checkpoint.build(name, state, NARROW)
    inputs = inputs_of(name)
    for found, expected in zip(outputs(loaded, inputs), outputs(saved, inputs), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert not loaded.training
    assert not any(p.requires_grad or p.is_meta for p in loaded.parameters())


def test_spectral_norms_are_folded(tmp_path: Path) -> None:
    trained = as_trained(network("generator"))
    state = checkpoint.read_published("generator", publish("generator", tmp_path), NARROW)
    block = trained.get_submodule("up_1")
    original, u, v = (block.state_dict()[f"conv_s.weight_{part}"] for part in ("orig", "u", "v"))
    largest = float(u @ original.flatten(1) @ v)
    assert abs(largest - 1) > 0.05, "else nothing would be seen"
    torch.testing.assert_close(state["up_1.conv_s.weight"] * largest, original)
    assert not [key for key in state if key.endswith(("_orig", "_u", "_v"))]


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    halves = {key: value.half() for key, value in network("stitching").state_dict().items()}
    state = checkpoint.read_published(
        "stitching", publish("stitching", tmp_path, state=halves), NARROW
    )
    assert {value.dtype for value in state.values()} == {torch.float32}


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_kept_comes_back_the_same(name: str, tmp_path: Path) -> None:
    state = checkpoint.read_published(name, publish(name, tmp_path), NARROW)
    checkpoint.keep(state, tmp_path / "kept.safetensors")
    restored = checkpoint.restore(name, tmp_path / "kept.safetensors", NARROW)
    assert restored.keys() == state.keys()
    assert all(torch.equal(restored[key], state[key]) for key in state)
    assert {path.name for path in tmp_path.iterdir()} == {NETWORKS[name].file, "kept.safetensors"}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "motion_extractor.pth"
    with pytest.raises(WeightsError, match=r"motion_extractor\.pth: missing; get"):
        checkpoint.read_published("motion", path)
    with pytest.raises(WeightsError, match="missing; get"):
        checkpoint.restore("motion", path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_refused(share: float, tmp_path: Path) -> None:
    path = publish("motion", tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(path, "it is damaged, or holds code", "motion")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_truncated_safetensors_are_refused(share: float, tmp_path: Path) -> None:
    path = tmp_path / "motion.safetensors"
    checkpoint.keep(checkpoint.read_published("motion", publish("motion", tmp_path), NARROW), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(WeightsError, match="no safetensors file .*models get") as caught:
        checkpoint.restore("motion", path, NARROW)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "given"), [("generator", "warping"), ("motion", "appearance"), ("warping", "motion")]
)
def test_another_networks_file_is_recognised(asked: str, given: str, tmp_path: Path) -> None:
    path = publish(given, tmp_path)
    refused(path, f"is of {given}, must be of {asked}; get .*{NETWORKS[asked].file}", asked)


@pytest.mark.parametrize("asked", ["stitching", "motion"])
def test_a_file_of_another_layout_is_refused(asked: str, tmp_path: Path) -> None:
    path = publish("lip_retargeting" if asked == "motion" else "motion", tmp_path)
    refused(path, "holds no table of tensors", asked)


@pytest.mark.parametrize(
    "content",
    [[1, 2], {}, {"a": 1}, {1: torch.zeros(3)}, {"a": torch.eye(2).to_sparse()}, torch.zeros(3)],
    ids=repr,
)
def test_a_file_that_holds_something_else_is_refused(content: object, tmp_path: Path) -> None:
    path = tmp_path / "motion_extractor.pth"
    torch.save(content, path)
    refused(path, "holds no table of tensors|has no tensor", "motion")


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    state = network("motion").state_dict()
    del state["detector.fc_yaw.bias"]
    path = publish("motion", tmp_path, state=state)
    refused(path, r"not the weights of motion: has no tensor 'detector\.fc_yaw\.bias'", "motion")


def test_a_surplus_tensor_is_named(tmp_path: Path) -> None:
    state = {**network("motion").state_dict(), "detector.head.weight": torch.zeros(2)}
    path = publish("motion", tmp_path, state=state)
    refused(path, r"has a tensor 'detector\.head\.weight', must not have it", "motion")


def test_a_misshapen_tensor_is_named(tmp_path: Path) -> None:
    state = {**network("motion").state_dict(), "detector.fc_yaw.bias": torch.zeros(65)}
    path = publish("motion", tmp_path, state=state)
    refused(path, r"detector\.fc_yaw\.bias is \(65,\), must be \(66,\)", "motion")


@pytest.mark.parametrize("bad", [torch.full((66,), float("nan")), torch.zeros(66).int()])
def test_weights_that_are_no_numbers_are_refused(bad: Tensor, tmp_path: Path) -> None:
    state = {**network("motion").state_dict(), "detector.fc_yaw.bias": bad}
    path = publish("motion", tmp_path, state=state)
    refused(path, r"detector\.fc_yaw\.bias holds what is no finite number", "motion")


def test_a_sparse_tensor_is_refused(tmp_path: Path) -> None:
    state = {**network("motion").state_dict(), "detector.fc_yaw.bias": torch.zeros(66).to_sparse()}
    refused(publish("motion", tmp_path, state=state), "holds no table of tensors", "motion")


def test_older_files_without_counters_load(tmp_path: Path) -> None:
    state = network("warping").state_dict()
    older = {key: value for key, value in state.items() if "num_batches" not in key}
    assert len(older) < len(state)
    path = publish("warping", tmp_path, state=older)
    checkpoint.build("warping", checkpoint.read_published("warping", path, NARROW), NARROW)


class Attack:
    """What an unpickler without care would do as it reads."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("container", ["zip", "plain pickle"])
def test_code_in_a_file_is_not_run(container: str, tmp_path: Path) -> None:
    path, trace = tmp_path / "motion_extractor.pth", tmp_path / "ran"
    state = {**network("motion").state_dict(), "detector.fc_yaw.bias": Attack(trace)}
    if container == "zip":
        torch.save(state, path)
    else:
        path.write_bytes(pickle.dumps(state))
    refused(path, "holds code, which is never run", "motion")
    assert not trace.exists()


def refused(path: Path, reason: str, name: str) -> None:
    with pytest.raises(WeightsError, match=reason) as caught:
        checkpoint.read_published(name, path, NARROW)
    text = str(caught.value)
    assert "\n" not in text and text.startswith(str(path)) and "reenactd models get" in text


def test_other_weights_are_not_built(tmp_path: Path) -> None:
    state = checkpoint.read_published("motion", publish("motion", tmp_path), NARROW)
    with pytest.raises(WeightsError, match="not the weights of warping: has no tensor"):
        checkpoint.build("warping", state, NARROW)
    checkpoint.keep(state, tmp_path / "motion.safetensors")
    with pytest.raises(WeightsError, match="not the weights of warping: has no tensor"):
        checkpoint.restore("warping", tmp_path / "motion.safetensors", NARROW)


def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "motion.safetensors"
    path.write_bytes(b"older")

    def fill_the_disk(state: object, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoint, "save_file", fill_the_disk)
    with pytest.raises(OSError, match="no space"):
        checkpoint.keep({}, path)
    assert path.read_bytes() == b"older"
    assert [p.name for p in tmp_path.iterdir()] == ["motion.safetensors"]


def test_a_write_that_the_system_refuses_is_its_error(tmp_path: Path) -> None:
    state = {"weight": torch.zeros(1000)}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError) as caught:
            checkpoint.keep(state, tmp_path / "motion.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG
    assert not list(tmp_path.iterdir())
