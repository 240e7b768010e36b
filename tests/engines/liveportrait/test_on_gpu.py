"""LivePortrait's frames on a GPU are what the CPU pastes; on doubles that are as late as may be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engines import driver, plans
from engines.avatar import GpuPicture
from engines.errors import DeviceError, EngineError
from engines.fetched import Store
from engines.liveportrait.reenactor import LivePortrait, load_liveportrait
from engines.models import load_reenactor
from engines.sources import Got
from realtime.watermark import Payload, Watermark
from tests.doubles.gpu import Gpu
from tests.engines import faces
from tests.engines.liveportrait.engines import CANVAS, moved, sight
from tests.engines.liveportrait.got import build_plans

if TYPE_CHECKING:
    from engines.gpu.liveportrait import GpuLivePortrait, WornPortrait

pytestmark = pytest.mark.train

EMBEDDING = Watermark(Payload(7)).embedding(CANVAS[1], CANVAS[0])
BACK = np.full((*CANVAS, 3), (30, 60, 90), np.uint8)


@pytest.fixture
def here(got: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The narrow weights are the ones that a user got."""
    monkeypatch.setattr("engines.liveportrait.reenactor.got", lambda: Got(got))


@pytest.fixture
def on_gpu(gpu: Gpu, planned: Path, here: None) -> Iterator[GpuLivePortrait]:
    from engines.gpu.liveportrait import GpuLivePortrait

    made = load_reenactor("tensorrt", name="liveportrait")
    assert isinstance(made, GpuLivePortrait)
    gpu.late = True
    yield made
    assert gpu.fences_stand(), "written beyond an allocation"


@pytest.fixture
def worn(on_gpu: GpuLivePortrait) -> WornPortrait:
    return on_gpu.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)


@pytest.fixture
def cpu(got: Store) -> LivePortrait:
    return load_liveportrait("torch", 1, store=got)


def packed(picture: GpuPicture) -> None:
    picture.blend(BACK, mirrored=False)
    picture.mark(None, 0, 0)
    picture.pack(EMBEDDING)


def test_it_says_what_runs_and_why(on_gpu: GpuLivePortrait) -> None:
    assert on_gpu.looks and on_gpu.reason == (
        "liveportrait on TensorRT 10.13, NVIDIA L4, fp32, frames drawn there by kernels: "
        "asked for by engine.backend"
    )


def test_frames_are_what_the_cpu_pastes(
    on_gpu: GpuLivePortrait, worn: WornPortrait, cpu: LivePortrait
) -> None:
    identity = cpu.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
    for seed in range(3):
        motion = moved(sight(seed), sight(9))
        expected = cpu.render(identity, motion)
        found = on_gpu.render(worn, motion).fetch()
        np.testing.assert_array_equal(found.alpha, expected.alpha)
        off = np.abs(found.rgb.astype(int) - expected.rgb)
        assert off.max() <= 2 and (off > 1).mean() < 1e-3
        assert (expected.rgb != identity.stage.rgb).mean() > 0.1


def test_it_sees_the_performer_as_on_the_cpu(on_gpu: GpuLivePortrait, cpu: LivePortrait) -> None:
    seen = faces.portrait()[..., :3], faces.landmarks()
    np.testing.assert_allclose(on_gpu.look(*seen).expression, cpu.look(*seen).expression, atol=1e-4)


def test_nothing_is_allocated_after_the_first_frame(
    gpu: Gpu, on_gpu: GpuLivePortrait, worn: WornPortrait
) -> None:
    for seed in range(5):
        if seed == 1:
            gpu.calls.clear()
        packed(on_gpu.render(worn, moved(sight(seed), sight(9))))
    made = ("allocate", "event", "context", "load", "begin", "free", "bind")
    assert gpu.calls and [call for call in gpu.calls if call.split()[0] in made] == []


def test_what_w_and_g_give_is_not_fetched(
    gpu: Gpu, on_gpu: GpuLivePortrait, worn: WornPortrait
) -> None:
    for _ in range(2):
        gpu.calls.clear()
        packed(on_gpu.render(worn, moved(sight(1), sight(9))))
    drawn = [call.split()[0] for call in gpu.calls if call.split()[0] != "wait"]
    of_picture = drawn[drawn.index("sample_volume") :]
    assert "download" not in of_picture[: of_picture.index("embed_mark")]
    assert of_picture.count("download") == 2, "the picture, and whether it is one"


def test_a_motion_without_what_was_seen_is_refused(
    on_gpu: GpuLivePortrait, worn: WornPortrait
) -> None:
    with pytest.raises(EngineError, match="without what it saw"):
        on_gpu.render(worn, faces.still())


def test_nan_from_the_networks_drops_its_frame_only(
    gpu: Gpu, on_gpu: GpuLivePortrait, worn: WornPortrait
) -> None:
    motion = moved(sight(1), sight(9))
    packed(on_gpu.render(worn, motion))
    gpu.noise = float("nan")
    with pytest.raises(EngineError, match="is not finite; the frame is dropped"):
        packed(on_gpu.render(worn, motion))
    gpu.noise = 0.0
    packed(on_gpu.render(worn, motion))


def test_no_memory_for_an_identity_is_one_line_and_takes_none(
    gpu: Gpu, on_gpu: GpuLivePortrait
) -> None:
    gpu.free_bytes = 1000
    with pytest.raises(DeviceError, match="^out of GPU memory: "):
        on_gpu.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
    assert gpu.free_bytes == 1000


@pytest.mark.gpu
def test_on_a_gpu_frames_are_what_the_cpu_pastes(
    here: None, got: Store, cpu: LivePortrait, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    try:
        driver.require()
    except DeviceError as error:
        pytest.skip(f"no GPU: {error}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    build_plans(Got(got), "fp32", plans.default_root())
    on_gpu: Any = load_reenactor("tensorrt", name="liveportrait")
    worn, identity = (
        avatar.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
        for avatar in (on_gpu, cpu)
    )
    for seed in range(3):
        motion = moved(sight(seed), sight(9))
        found, expected = on_gpu.render(worn, motion).fetch(), cpu.render(identity, motion)
        off = np.abs(found.rgb.astype(int) - expected.rgb)
        assert (off > 2).mean() < 1e-3, f"by {off.max()}"
