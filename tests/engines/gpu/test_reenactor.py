"""Frames on a GPU are what the CPU draws; on doubles whose work is as late as it may be.

The kernels are compiled for this processor and the plans are run by ONNX Runtime, so the numbers
are real; no line of CUDA or TensorRT itself runs here. The last test is for a machine with a GPU.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.progress import Progress

from engines import driver, face_mesh, plans
from engines.avatar import GpuPicture, RenderedArrays
from engines.errors import BackendError, DeviceError, EngineError
from engines.models import EncodedIdentity, Memory, Reenactor, load_reenactor
from engines.pose import MotionTensors
from engines.shelf import Shelf
from engines.specs import WARP_REFINE_LITE
from realtime.watermark import Payload, Watermark
from tests.doubles.gpu import Gpu
from tests.engines import faces

if TYPE_CHECKING:
    from engines.gpu.reenactor import GpuReenactor
    from engines.gpu.residents import Worn

U8 = NDArray[np.uint8]

CANVAS = 242, 322
FRAMES = 6
WARM_UP = 4
"""frames until the head's field was renewed beside another frame"""


def speaking(index: int, yaw: float = 10) -> MotionTensors:
    """A head that turns and talks; one eye closes."""
    expression = np.zeros((face_mesh.LANDMARKS, 3), np.float32)
    expression[list(face_mesh.LIPS_INNER_LOWER[1:-1]), 1] = 0.1 * (index % 4)
    at, lids = np.array([0.2 * index, 0], np.float32), np.array([1 - 0.15 * index, 1], np.float32)
    return MotionTensors(faces.yaw(yaw - 5 * index), at, 1.0, expression, lids)


def worn_by(reenactor: Any, canvas_hw: tuple[int, int] = CANVAS) -> Any:
    return reenactor.encode_identity(faces.portrait(), faces.landmarks(), canvas_hw)


def rgba_of(picture: RenderedArrays | GpuPicture) -> U8:
    arrays = picture if isinstance(picture, RenderedArrays) else picture.fetch()
    return np.dstack([arrays.rgb, arrays.alpha])


def assert_alike(found: U8, expected: U8, levels: int = 1) -> None:
    """But for a source that is a float's last bit away and falls to the next 1/32 of a pixel."""
    off = np.abs(found.astype(int) - expected)
    assert (off > levels).mean() < 2e-4, f"by {off.max()}, {(off > levels).mean():.1%}"
    assert (off > 0).mean() < 2e-3


@pytest.fixture
def expected(cpu: Reenactor) -> list[U8]:
    identity, memory = worn_by(cpu), Memory()
    return [rgba_of(cpu.render(identity, speaking(i), memory)) for i in range(FRAMES)]


@pytest.fixture
def worn(on_gpu: GpuReenactor) -> Worn:
    found: Worn = worn_by(on_gpu)
    return found


def test_what_was_encoded_before_is_read_and_goes_to_the_gpu(
    on_gpu: GpuReenactor, tmp_path: Path
) -> None:
    place = Shelf(tmp_path / "encoded", "ab" * 32)
    portrait, landmarks = faces.portrait(), faces.landmarks()
    first = on_gpu.encode_identity(portrait, landmarks, CANVAS, place)
    (path,) = place.folder.iterdir()
    written_ns = path.stat().st_mtime_ns
    second = on_gpu.encode_identity(portrait, landmarks, CANVAS, place)
    assert path.stat().st_mtime_ns == written_ns
    np.testing.assert_array_equal(first.encoded.features, second.encoded.features)
    np.testing.assert_array_equal(first.encoded.head_features, second.encoded.head_features)


def packed(picture: GpuPicture, back: U8) -> U8:
    """(H * 3 // 2, W) finished, without the visible mark."""
    picture.blend(back, mirrored=False)
    picture.mark(None, 0, 0)
    return picture.pack(EMBEDDING)


EMBEDDING = Watermark(Payload(7)).embedding(CANVAS[1], CANVAS[0])
BACK = np.full((*CANVAS, 3), (30, 60, 90), np.uint8)


def test_it_says_what_runs_and_why(on_gpu: GpuReenactor) -> None:
    assert on_gpu.reason == (
        "warp-refine-lite on TensorRT 10.13, NVIDIA L4, fp16, frames drawn there by kernels: "
        "asked for by engine.backend"
    )
    assert not on_gpu.looks
    with pytest.raises(EngineError, match="`looks` is false"):
        on_gpu.look(faces.portrait()[..., :3], faces.landmarks())


def test_auto_takes_it_where_it_can(gpu: Gpu, planned: None) -> None:
    assert load_reenactor("auto").reason.endswith("drawn there by kernels: the fastest one")


def test_frames_are_what_the_cpu_draws(
    on_gpu: GpuReenactor, worn: Worn, expected: list[U8]
) -> None:
    memory = Memory()
    for index in range(FRAMES):
        assert_alike(rgba_of(on_gpu.render(worn, speaking(index), memory)), expected[index])


def test_a_frame_without_a_memory_is_drawn_for_itself(
    on_gpu: GpuReenactor, worn: Worn, cpu: Reenactor
) -> None:
    identity = worn_by(cpu)
    for index in range(3):
        alone = rgba_of(cpu.render(identity, speaking(index)))
        assert_alike(rgba_of(on_gpu.render(worn, speaking(index))), alone)


def test_two_performers_and_two_sizes_in_turn_disturb_nobody(
    on_gpu: GpuReenactor, worn: Worn, cpu: Reenactor, expected: list[U8]
) -> None:
    small = 180, 240
    other, other_memory, memory = worn_by(on_gpu, small), Memory(), Memory()
    reference, reference_memory = worn_by(cpu, small), Memory()
    for index in range(FRAMES):
        assert_alike(rgba_of(on_gpu.render(worn, speaking(index), memory)), expected[index])
        motion = speaking(index, yaw=-20)
        alone = rgba_of(cpu.render(reference, motion, reference_memory))
        assert_alike(rgba_of(on_gpu.render(other, motion, other_memory)), alone)


@pytest.mark.parametrize("untied", ["sending", "looking", "fetching"])
def test_a_stream_that_is_not_tied_would_be_found(
    on_gpu: GpuReenactor,
    worn: Worn,
    expected: list[U8],
    untied: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The double itself: it does nothing before somebody waits for it."""
    from engines import device

    streams, wait = on_gpu._workshop.streams, device.CudaStream.wait_for_event
    awaited_by = device.Staged.awaited_by
    if untied == "sending":  # but for the folds: elsewhere than in an array is nowhere here

        def floats_only(staged: device.Staged, stream: device.CudaStream) -> None:
            if staged.host.dtype != np.float32:
                awaited_by(staged, stream)

        monkeypatch.setattr(device.Staged, "awaited_by", floats_only)
    else:
        deaf = streams.fetching if untied == "fetching" else streams.drawing

        def not_of_frames(stream: device.CudaStream, event: device.CudaEvent) -> None:
            of_frame = event is memory.on_gpu.looked if untied == "looking" else True  # type: ignore[attr-defined]
            if stream is not deaf or not of_frame:
                wait(stream, event)

        monkeypatch.setattr(device.CudaStream, "wait_for_event", not_of_frames)
    memory = Memory()
    assert any(is_wrong(on_gpu, worn, index, memory, expected) for index in range(FRAMES))


def is_wrong(
    reenactor: GpuReenactor, worn: Worn, index: int, memory: Memory, expected: list[U8]
) -> bool:
    try:
        found = rgba_of(reenactor.render(worn, speaking(index), memory))
    except EngineError:
        return True
    return bool(np.abs(found.astype(int) - expected[index]).max() > 3)


def test_nothing_is_allocated_after_the_first_frames(
    gpu: Gpu, on_gpu: GpuReenactor, worn: Worn
) -> None:
    memory = Memory()
    for index in range(3 * WARM_UP):
        if index == WARM_UP:
            gpu.calls.clear()
        packed(on_gpu.render(worn, speaking(index % FRAMES), memory), BACK)
    made = ("allocate", "event", "stream", "context", "load", "begin", "free")
    assert gpu.calls and [call for call in gpu.calls if call.split()[0] in made] == []


def test_a_frame_crosses_to_the_host_once_as_i420(
    gpu: Gpu, on_gpu: GpuReenactor, worn: Worn
) -> None:
    memory = Memory()
    for _ in range(WARM_UP):
        packed(on_gpu.render(worn, speaking(0), memory), BACK)
    gpu.calls.clear()
    i420 = packed(on_gpu.render(worn, speaking(1), memory), BACK)
    assert i420.nbytes == CANVAS[0] * CANVAS[1] * 3 // 2
    downloads = [call for call in gpu.calls if call.startswith("download")]
    assert len(downloads) == 2 and len(set(downloads)) == 1, "the picture, and whether it is one"
    assert gpu.calls.count("wait") == 1
    assert len({call.split()[1] for call in gpu.calls if call.startswith("upload")}) == 1


def test_each_networks_launch_is_a_recorded_one(gpu: Gpu, on_gpu: GpuReenactor, worn: Worn) -> None:
    gpu.calls.clear()
    packed(on_gpu.render(worn, speaking(0)), BACK)
    assert [call for call in gpu.calls if call.startswith("launch")] == []
    assert len([call for call in gpu.calls if call.startswith("replay")]) >= 2


def test_how_long_each_stage_took_is_known(on_gpu: GpuReenactor, worn: Worn) -> None:
    packed(on_gpu.render(worn, speaking(0)), BACK)
    stages = ["warped", "lit", "painted", "drawn", "blended", "marked", "packed", "fetched"]
    assert on_gpu.stage_ms(CANVAS) == dict.fromkeys(stages, 0.25)


def test_a_picture_is_finished_in_its_order_or_not_at_all(on_gpu: GpuReenactor, worn: Worn) -> None:
    picture = on_gpu.render(worn, speaking(0))
    with pytest.raises(EngineError, match="is drawn, must be marked"):
        picture.pack(EMBEDDING)
    with pytest.raises(EngineError, match="no longer on the GPU"):
        picture.blend(BACK, mirrored=False)
    picture = on_gpu.render(worn, speaking(0))
    picture.blend(BACK, mirrored=False)
    with pytest.raises(EngineError, match="is blended, must be marked"):
        picture.pack(EMBEDDING)


def test_a_picture_that_was_drawn_over_is_refused(on_gpu: GpuReenactor, worn: Worn) -> None:
    """Of a marked one, what lies there now would be another's, and unmarked."""
    first = on_gpu.render(worn, speaking(0))
    first.blend(BACK, mirrored=False)
    first.mark(None, 0, 0)
    on_gpu.render(worn, speaking(1))
    with pytest.raises(EngineError, match="another was drawn over it"):
        first.pack(EMBEDDING)


def test_nan_from_a_network_is_an_error_not_a_picture_and_leaves_nothing_behind(
    gpu: Gpu, on_gpu: GpuReenactor, worn: Worn, expected: list[U8]
) -> None:
    memory = Memory()
    gpu.noise = float("nan")
    for finish in (rgba_of, lambda picture: packed(picture, BACK)):
        with pytest.raises(EngineError, match="is not finite; the frame is dropped"):
            finish(on_gpu.render(worn, speaking(1), memory))
    gpu.noise = 0.0
    for index in range(FRAMES):
        assert_alike(rgba_of(on_gpu.render(worn, speaking(index), memory)), expected[index])


def test_a_gpu_that_fails_is_one_line(gpu: Gpu, on_gpu: GpuReenactor, worn: Worn) -> None:
    gpu.refusals["synchronize"] = "cuStreamSynchronize failed: an illegal memory access"
    with pytest.raises(DeviceError, match="^NVIDIA L4: .* illegal memory access; see"):
        packed(on_gpu.render(worn, speaking(0)), BACK)
    gpu.refusals.clear()
    packed(on_gpu.render(worn, speaking(0)), BACK)


@pytest.mark.parametrize("left_mib", [0, 1, 3, 6])
def test_no_memory_for_a_frame_is_one_line_and_the_next_takes_no_more(
    gpu: Gpu, on_gpu: GpuReenactor, worn: Worn, left_mib: int
) -> None:
    free, gpu.free_bytes = gpu.free_bytes, left_mib << 20
    memory, left = Memory(), []
    for _ in range(3):
        with pytest.raises(DeviceError, match="^out of GPU memory: .* wanted, .* free; close"):
            on_gpu.render(worn, speaking(0), memory)
        left.append(gpu.free_bytes)
    assert len(set(left)) == 1
    gpu.free_bytes = free
    packed(on_gpu.render(worn, speaking(0), memory), BACK)


def test_no_memory_for_an_identity_is_one_line_and_takes_none(
    gpu: Gpu, on_gpu: GpuReenactor
) -> None:
    gpu.free_bytes = 1 << 20
    with pytest.raises(DeviceError, match="^out of GPU memory: "):
        worn_by(on_gpu)
    assert gpu.free_bytes == 1 << 20


def test_identities_performers_and_backgrounds_that_are_gone_leave_no_memory(
    gpu: Gpu, on_gpu: GpuReenactor, worn: Worn
) -> None:
    packed(on_gpu.render(worn, speaking(0)), BACK)
    before = gpu.free_bytes
    for level in range(3):
        identity, memory, back = worn_by(on_gpu), Memory(), np.full_like(BACK, level)
        packed(on_gpu.render(identity, speaking(0), memory), back)
        assert gpu.free_bytes < before
        del identity, memory, back
    gc.collect()
    packed(on_gpu.render(worn, speaking(0)), BACK)
    assert gpu.free_bytes >= before


def test_all_memory_is_given_back(gpu: Gpu, planned: None) -> None:
    made: Any = load_reenactor("tensorrt")
    identity = worn_by(made)
    packed(made.render(identity, speaking(0), Memory()), BACK)
    del identity
    gc.collect()
    made.close()
    gc.collect()
    assert gpu.memory == {}


def test_without_a_plan_or_a_compiler_it_is_refused_in_one_line(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, planned: None
) -> None:
    for kept in plans.default_root().glob("kernels.*"):
        kept.unlink()
    gpu.refusals["nvcc"] = "nvcc not found"
    with pytest.raises(BackendError, match="no CUDA compiler"):
        load_reenactor("tensorrt")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    with pytest.raises(BackendError, match="run: python build_engines.py"):
        load_reenactor("tensorrt")


@pytest.fixture
def on_a_real_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """In fp32: in fp16 a network may differ by more than a grey level."""
    try:
        driver.require()
    except DeviceError as error:
        pytest.skip(f"no GPU: {error}")
    from engines.build import build
    from engines.gpu.reenactor import GpuReenactor

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    build(WARP_REFINE_LITE, "fp32", plans.default_root(), Progress(disable=True), print)
    made = GpuReenactor(WARP_REFINE_LITE, "for a test")
    yield made
    made.close()


@pytest.mark.gpu
def test_on_a_gpu_frames_are_what_the_cpu_draws(
    on_a_real_gpu: GpuReenactor, expected: list[U8]
) -> None:
    worn, memory = worn_by(on_a_real_gpu), Memory()
    for index in range(FRAMES):
        found = rgba_of(on_a_real_gpu.render(worn, speaking(index), memory))
        off = np.abs(found.astype(int) - expected[index])
        assert (off > 2).mean() < 1e-3, f"frame {index}: by {off.max()}"


@pytest.mark.gpu
def test_on_a_gpu_nothing_is_allocated_after_the_first_frames(
    on_a_real_gpu: GpuReenactor,
) -> None:
    worn, memory = worn_by(on_a_real_gpu), Memory()
    for index in range(50 + WARM_UP):
        packed(on_a_real_gpu.render(worn, speaking(index % FRAMES), memory), BACK)
        if index == WARM_UP:
            before = free_bytes(on_a_real_gpu)
    assert free_bytes(on_a_real_gpu) == before


def free_bytes(reenactor: GpuReenactor) -> int:
    with reenactor.device.current():
        return reenactor.device.free_bytes()


def test_an_identity_is_encoded_as_on_the_cpu(worn: Worn, cpu: Reenactor) -> None:
    expected: EncodedIdentity = worn_by(cpu)
    np.testing.assert_allclose(worn.encoded.features, expected.features, atol=1e-5)
    np.testing.assert_allclose(worn.encoded.head_features, expected.head_features, atol=1e-5)
