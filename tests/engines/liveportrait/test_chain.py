"""W and G as TensorRT plans around our kernel: on doubles, and on a GPU where there is one.

The doubles run plans by ONNX Runtime and kernels by the host's compiler, on the addresses that were
bound, so the numbers are real; no line of TensorRT itself runs here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from engines import driver, parity
from engines.errors import BackendError, DeviceError, EngineError, PlanError, WeightsError
from engines.fetched import Store
from engines.liveportrait.networks import Networks, open_networks
from engines.liveportrait.reenactor import load_liveportrait
from engines.nets.liveportrait.graphs import drive
from engines.sources import Got
from tests.doubles.gpu import Gpu
from tests.engines import faces
from tests.engines.liveportrait.engines import CANVAS, moved, sight
from tests.engines.liveportrait.got import build_plans
from tests.engines.nets.liveportrait.narrow import ALL_POINTS

if TYPE_CHECKING:
    from engines.liveportrait.chain import Chain

pytestmark = pytest.mark.train

F32 = NDArray[np.float32]

SPEC = drive(ALL_POINTS)
VOLUME, FRAME, FOUND = 2, 3, 2
"""calls: an identity is sent and compressed; uploads of a frame; downloads of a frame"""


def inputs(seed: int) -> dict[str, F32]:
    return parity.fake_inputs(SPEC, seed)


def verbs(gpu: Gpu) -> list[str]:
    return [call.split()[0] for call in gpu.calls]


@pytest.fixture
def reference(got: Store) -> Networks:
    return open_networks("torch", Got(got), 1)


@pytest.fixture
def chain(gpu: Gpu, planned: Path, got: Store) -> Iterator[Chain]:
    from engines.device import Device
    from engines.liveportrait.chain import Chain

    device = Device()
    made = Chain(Got(got), device)
    gpu.calls.clear()
    yield made
    gpu.codes.clear()
    made.close()
    device.close()
    assert gpu.memory == {}, "every place was freed"
    assert gpu.retained == 0 and gpu.contexts == []


def test_it_gives_what_torch_gives(chain: Chain, reference: Networks) -> None:
    for seed in (0, 1, 2):
        drawn = inputs(seed)
        expected = reference.render(*drawn.values())
        found = chain.run(drawn)["rendered"]
        assert expected.std() > 0.01
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_frame_is_one_row_of_launches_on_one_stream(gpu: Gpu, chain: Chain) -> None:
    chain.run(inputs(0))
    assert verbs(gpu) == [
        "upload",  # the mark of what is not finite
        *("upload", "replay"),  # the identity, and its compression
        *("upload", "upload"),  # key points
        *("replay", "sample_volume", "replay", "replay"),
        *("find_not_finite", "find_not_finite"),
        *("download", "download", "wait"),
    ]
    assert len({call.split()[1] for call in gpu.calls if " " in call}) == 1


def test_the_next_frame_of_an_identity_sends_key_points_alone(gpu: Gpu, chain: Chain) -> None:
    first, second = inputs(0), inputs(1) | {"volume": inputs(0)["volume"]}
    first["volume"] = second["volume"]
    chain.run(first)
    gpu.calls.clear()
    chain.run(second)
    assert verbs(gpu)[:FRAME] == ["upload"] * FRAME
    assert verbs(gpu).count("replay") == 3, "the identity is not compressed again"


def test_nothing_is_allocated_or_bound_after_construction(gpu: Gpu, chain: Chain) -> None:
    bound, first = dict(chain.addresses), chain.run(inputs(0))["rendered"]
    again = chain.run(inputs(1))["rendered"]
    assert not {"allocate", "bind", "stream", "event", "context"} & set(verbs(gpu))
    assert chain.addresses == bound and first is again


def test_between_the_links_nothing_is_copied(gpu: Gpu, chain: Chain) -> None:
    """What one link gives lies where the next one reads."""
    chain.run(inputs(0))
    copies = verbs(gpu).count("upload"), verbs(gpu).count("download")
    assert copies == (1 + FRAME, FOUND)


def test_another_identity_is_another_picture(chain: Chain, reference: Networks) -> None:
    """And the first one is itself again afterwards."""
    one, other = inputs(0), inputs(1)
    first = chain.run(one)["rendered"].copy()
    second = chain.run(other)["rendered"].copy()
    np.testing.assert_allclose(second, reference.render(*other.values()), atol=1e-4)
    assert np.abs(first - second).max() > 0.01
    np.testing.assert_array_equal(chain.run(one)["rendered"], first)


def test_after_a_failed_frame_the_identity_is_sent_anew(
    gpu: Gpu, chain: Chain, reference: Networks
) -> None:
    drawn, other = inputs(0), inputs(1)
    chain.run(other)
    gpu.codes["cuGraphLaunch"] = 2
    with pytest.raises(DeviceError, match="cuGraphLaunch: out of memory"):
        chain.run(drawn)
    gpu.codes.clear()
    expected = reference.render(*drawn.values())
    np.testing.assert_allclose(chain.run(drawn)["rendered"], expected, atol=1e-4)


def test_what_is_not_finite_between_w_and_g_drops_its_frame_only(chain: Chain) -> None:
    """A rectifier of G may turn NaN into a number, and the picture would look whole."""
    broken = inputs(0)
    broken["kp_driving"] = broken["kp_driving"].copy()
    broken["kp_driving"][0, 0, 0] = np.nan
    with pytest.raises(EngineError, match="what W gives is not finite; the frame is dropped"):
        chain.run(broken)
    assert np.isfinite(chain.run(inputs(0))["rendered"]).all()


def test_the_stream_is_an_argument(gpu: Gpu, chain: Chain) -> None:
    from engines.device import Device

    device = Device()
    with device.current():
        stream = device.stream()
        gpu.calls.clear()
        chain.enqueue(stream)
    launches = ("replay", "sample_volume", "replay", "replay")
    assert gpu.calls == [f"{launch} {stream.handle}" for launch in launches]
    device.close()


def test_the_avatar_on_tensorrt_is_the_avatar_on_torch(planned: Path, got: Store) -> None:
    pictures, seen = [], []
    for backend in ("tensorrt", "torch"):
        avatar = load_liveportrait(backend, 1, store=got)
        identity = avatar.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
        pictures.append(avatar.render(identity, moved(sight(1), sight(2))).rgb.astype(int))
        seen.append(avatar.look(faces.portrait()[..., :3], faces.landmarks()).expression)
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    np.testing.assert_allclose(seen[0], seen[1], atol=1e-4)


def test_auto_takes_tensorrt_where_every_part_has_a_plan(
    gpu: Gpu, planned: Path, got: Store
) -> None:
    reason = load_liveportrait("auto", 1, store=got).reason
    assert reason == "liveportrait on TensorRT 10.13, NVIDIA L4, fp32: the fastest one"


def test_what_cannot_be_recorded_is_launched_and_that_is_said(
    gpu: Gpu, planned: Path, got: Store
) -> None:
    gpu.refusals["capture"] = ""
    reason = load_liveportrait("tensorrt", 1, store=got).reason
    assert "fp32, without a CUDA graph (TensorRT 10.13.3.9 refused to launch warping_ch" in reason


@pytest.mark.parametrize(
    ("here", "said"),
    [
        ({"name": "NVIDIA H100"}, "was built for NVIDIA L4, this is NVIDIA H100"),
        ({"compute_capability": (9, 0)}, "compute capability 8.9, this GPU has 9.0"),
        ({"driver_version": 13000}, "CUDA 12.8, this one speaks 13.0"),
    ],
)
def test_plans_of_another_machine_are_refused_with_the_fix(
    gpu: Gpu, planned: Path, got: Store, here: dict[str, object], said: str
) -> None:
    for name, value in here.items():
        setattr(gpu, name, value)
    with pytest.raises(PlanError, match=said) as told:
        load_liveportrait("tensorrt", 1, store=got)
    assert str(told.value).endswith("run: python build_engines.py --network liveportrait")
    assert "\n" not in str(told.value)
    assert "context" not in verbs(gpu), "it was not even loaded"


def test_a_plan_of_another_tensorrt_is_refused(
    planned: Path, got: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engines.backends import tensorrt

    monkeypatch.setattr(tensorrt, "VERSION", "11.4.0.106")
    with pytest.raises(PlanError, match=r"by TensorRT 10\.13\.3\.9, this is 11\.4\.0\.106"):
        load_liveportrait("tensorrt", 1, store=got)


def test_a_plan_of_other_weights_is_refused(planned: Path, copy: Store) -> None:
    """As after `reenactd models get` of another release."""
    from engines import weights
    from engines.nets.liveportrait import checkpoint
    from tests.engines.nets.liveportrait.narrow import network

    path = copy.folder / "generator.safetensors"
    before = weights.sha256_of(path)
    state = network("generator", seed=7, sizes=ALL_POINTS).state_dict()
    checkpoint.keep(dict(state), path)
    lock = copy.folder / "lock.json"
    lock.write_text(lock.read_text().replace(before, weights.sha256_of(path)))
    with pytest.raises(PlanError, match="of generator was built from other weights of liveport"):
        load_liveportrait("tensorrt", 1, store=copy)


def test_weights_of_another_model_are_one_line_before_anything_is_built(
    gpu: Gpu, copy: Store, tmp_path: Path
) -> None:
    from engines import weights

    path, other = (copy.folder / f"{name}.safetensors" for name in ("motion", "stitching"))
    lock = copy.folder / "lock.json"
    pinned = lock.read_text().replace(weights.sha256_of(path), weights.sha256_of(other))
    path.write_bytes(other.read_bytes())
    lock.write_text(pinned)
    with pytest.raises(WeightsError, match=r"motion\.safetensors: not the weights of motion") as e:
        build_plans(Got(copy), "fp16", tmp_path / "plans")
    assert "by `reenactd models get liveportrait`" in str(e.value) and "\n" not in str(e.value)
    left = {path.name.rpartition(".")[0] for path in (tmp_path / "plans").glob("liveportrait.*")}
    assert left <= {"liveportrait.appearance.fp16"}, (
        "the plans before it are whole, it is not there"
    )


def test_no_memory_for_the_chain_is_one_line(gpu: Gpu, planned: Path, got: Store) -> None:
    gpu.free_bytes = 1000
    with pytest.raises(DeviceError, match="^out of GPU memory: .* wanted, .* free; close"):
        load_liveportrait("tensorrt", 1, store=got)


def test_without_a_gpu_it_says_so_in_one_line(got: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "LIBRARY", "libcuda.absent.so.1")
    with pytest.raises(DeviceError, match=r"^no CUDA driver \(libcuda\.absent\.so\.1\); install"):
        load_liveportrait("tensorrt", 1, store=got)


def test_without_a_compiler_of_kernels_auto_goes_on_and_says_why(
    gpu: Gpu, planned: Path, got: Store
) -> None:
    for kept in planned.glob("kernels.*"):
        kept.unlink()
    gpu.refusals["nvcc"] = "nvcc not found"
    reason = load_liveportrait("auto", 1, store=got).reason
    assert "not tensorrt: no CUDA compiler (nvcc not found); install the CUDA toolkit" in reason
    with pytest.raises(BackendError, match="no CUDA compiler"):
        load_liveportrait("tensorrt", 1, store=got)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_on_a_gpu_the_chain_gives_what_torch_gives_on_the_cpu(
    precision: str, got: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    try:
        driver.require()
    except DeviceError as error:
        pytest.skip(f"no GPU: {error}")
    from engines.backends import torch as torch_backend
    from engines.device import Device
    from engines.liveportrait.chain import Chain

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = Got(got)
    build_plans(source, precision, tmp_path / "reenactd" / "plans")
    cpu = Networks(
        {
            graph.name: torch_backend.open_graph(source, graph, 1, on_cuda=False)
            for graph in source.graphs
        },
        source.sizes,
    )
    device = Device()
    chain = Chain(source, device)
    for seed in (0, 1):
        drawn = inputs(seed)
        expected = cpu.render(*drawn.values())
        difference = np.abs(chain.run(drawn)["rendered"] - expected).max() / expected.max()
        assert difference < 2 * parity.TOLERANCES[precision]
    drawn = inputs(0)
    chain.run(drawn)
    with device.current():
        before = device.free_bytes()
    for _ in range(20):
        chain.run(drawn)
    with device.current():
        assert device.free_bytes() == before
    chain.close()
    device.close()
