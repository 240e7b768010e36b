"""The whole second half with frames drawn on a GPU: what leaves is what the CPU would send.

On doubles of CUDA, pycuda and TensorRT, whose work is as late as it may be; the stages are real.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from engines.avatar import RenderedArrays
from engines.models import Reenactor, load_reenactor, load_warp_refine
from realtime.config import Config, Output, Video
from realtime.errors import FrameError
from realtime.frames import (
    U8,
    Composited,
    CompositedOnGpu,
    Controls,
    MarkedOnGpu,
    OutputFrame,
    RenderedOnGpu,
    Timings,
    Tracked,
)
from realtime.identity import Identity
from realtime.pipeline import Pipeline
from realtime.rehearsal import made_up
from realtime.stages.composite import Composite
from realtime.stages.emit import Emit
from realtime.stages.mark import Mark
from realtime.watermark import Payload
from tests import fakes
from tests.doubles.gpu import Gpu
from tests.doubles.plans import install_shipped
from tests.engines import faces
from tests.marks import label_seen, mark_score

HEIGHT, WIDTH = 360, 480
PAYLOAD = Payload(0x5EA1ED00)
CONFIG = Config(video=Video(width_px=WIDTH, height_px=HEIGHT))
FRAMES = 4

Play = Callable[..., list[OutputFrame]]


@pytest.fixture(scope="module")
def cpu() -> Reenactor:
    return load_warp_refine("onnx", threads=1)


@pytest.fixture
def on_gpu(gpu: Gpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    install_shipped()
    made: Any = load_reenactor("tensorrt")
    gpu.late = True
    yield made
    made.close()
    assert gpu.fences_stand(), "written beyond an allocation"


@pytest.fixture(autouse=True)
def one_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Payload, "random", lambda: PAYLOAD)


def identity_of(reenactor: Any, hw: tuple[int, int] = (HEIGHT, WIDTH)) -> Identity:
    encoded = reenactor.encode_identity(faces.portrait(), faces.landmarks(), hw)
    rows, columns = np.mgrid[: hw[0], : hw[1]]
    back = np.stack([rows % 256, columns % 256, (rows + columns) % 256], axis=2).astype(np.uint8)
    return Identity("somebody", "Somebody", encoded, back, fakes.consent())


def frame(index: int, matte: bool = False) -> Tracked:
    tracked = made_up(index)
    shape = tracked.source.rgb.shape[:2]
    if not matte:
        return tracked
    noise = np.random.default_rng(index).integers(60, 120, (*shape, 3)).astype(np.uint8)
    alpha = np.zeros(shape, np.float32)
    alpha[100:, 200:440] = 1
    return replace(tracked, source=replace(tracked.source, rgb=noise), person_alpha=alpha)


def played(pipeline: Pipeline, identity: Identity, controls: Controls) -> list[OutputFrame]:
    matte = controls.background in ("blur", "camera")
    made = [pipeline.process(frame(i, matte), controls, identity) for i in range(FRAMES)]
    assert all(isinstance(each, OutputFrame) for each in made)
    return [each for each in made if isinstance(each, OutputFrame)]


def assert_alike(found: U8, expected: U8) -> None:
    assert found.shape == expected.shape and found.flags.c_contiguous
    off = np.abs(found.astype(int) - expected)
    assert (off > 2).mean() < 2e-4, f"by {off.max()}"
    assert (off > 0).mean() < 2e-2


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("background", ["identity", "color", "blur", "camera"])
def test_what_leaves_is_what_the_cpu_would_send(
    gpu: Gpu,
    on_gpu: Any,
    cpu: Reenactor,
    background: Literal["identity", "color", "blur", "camera"],
    mirror: bool,
) -> None:
    controls = Controls(background=background, mirror=mirror)
    expected = played(Pipeline(CONFIG, cpu), identity_of(cpu), controls)
    found = played(Pipeline(CONFIG, on_gpu), identity_of(on_gpu), controls)
    for ours, theirs in zip(found, expected, strict=True):
        assert_alike(ours.i420, theirs.i420)
        assert (ours.width_px, ours.height_px, ours.payload) == (WIDTH, HEIGHT, PAYLOAD.id)
    assert ("mark" in verbs(gpu)) == (background in ("identity", "color"))


def verbs(gpu: Gpu) -> set[str]:
    return {call.split()[0] for call in gpu.calls}


def test_whoever_watches_without_a_background_gets_the_cutout(on_gpu: Any, cpu: Reenactor) -> None:
    made = []
    for reenactor in (cpu, on_gpu):
        pipeline = Pipeline(CONFIG, reenactor)
        pipeline.cut_out(True)
        made.append(played(pipeline, identity_of(reenactor), Controls()))
    for theirs, ours in zip(*made, strict=True):
        assert theirs.stacked_i420 is not None and ours.stacked_i420 is not None
        assert_alike(ours.stacked_i420, theirs.stacked_i420)
        assert_alike(ours.i420, theirs.i420)


@pytest.mark.parametrize("label", [{}, {"label": "off", "label_off_reason": "its own label"}])
def test_every_picture_is_marked(on_gpu: Any, label: dict[str, str]) -> None:
    config = CONFIG.model_copy(update={"output": Output(**label)})
    for made in played(Pipeline(config, on_gpu), identity_of(on_gpu), Controls()):
        luma = made.i420[:HEIGHT]
        assert label_seen(luma) == (not label)
        assert mark_score(luma, PAYLOAD) > 6


def test_another_size_of_the_quality_ladder_is_another_easel(on_gpu: Any, cpu: Reenactor) -> None:
    ours, theirs = Pipeline(CONFIG, on_gpu), Pipeline(CONFIG, cpu)
    for hw in ((HEIGHT, WIDTH), (240, 320), (HEIGHT, WIDTH)):
        expected = played(theirs, identity_of(cpu, hw), Controls())
        for one, other in zip(
            played(ours, identity_of(on_gpu, hw), Controls()), expected, strict=True
        ):
            assert_alike(one.i420, other.i420)


def test_a_gpu_that_fails_drops_the_frame_in_one_line(gpu: Gpu, on_gpu: Any) -> None:
    """So that `pacing.py` holds the picture, and then shows the card."""
    pipeline, identity = Pipeline(CONFIG, on_gpu), identity_of(on_gpu)
    gpu.refusals["synchronize"] = "cuStreamSynchronize failed: an illegal memory access"
    for index in range(2):
        with pytest.raises(FrameError, match="^NVIDIA L4: .* illegal memory access; see") as told:
            pipeline.process(frame(index), Controls(), identity)
        assert "\n" not in str(told.value)
    assert isinstance(pipeline.card("No face in view"), OutputFrame)
    gpu.refusals.clear()
    assert isinstance(pipeline.process(frame(2), Controls(), identity), OutputFrame)


@pytest.mark.parametrize("left_mib", [0, 8])
def test_a_full_gpu_drops_the_frame_in_one_line(gpu: Gpu, on_gpu: Any, left_mib: int) -> None:
    pipeline, identity = Pipeline(CONFIG, on_gpu), identity_of(on_gpu)
    gpu.free_bytes = left_mib << 20
    with pytest.raises(FrameError, match="^out of GPU memory: .* close what else uses the GPU"):
        pipeline.process(frame(0), Controls(), identity)


class Forged:
    """A picture on a GPU that nobody drew."""

    canvas_hw = HEIGHT, WIDTH

    def __init__(self) -> None:
        self.done: list[str] = []

    def blend(self, back_rgb: U8, mirrored: bool) -> None:
        self.done.append("blend")

    def mark(self, patch: U8 | None, left: int, top: int) -> None:
        self.done.append("mark")

    def pack(self, embedding: object) -> U8:
        self.done.append("pack")
        return np.zeros((HEIGHT * 3 // 2, WIDTH), np.uint8)

    def fetch(self) -> RenderedArrays:
        self.done.append("fetch")
        return RenderedArrays(
            np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)
        )


@pytest.mark.parametrize("unmarked", [CompositedOnGpu, RenderedOnGpu, lambda picture: picture])
def test_nothing_but_a_marked_picture_is_emitted(unmarked: Callable[[Forged], Any]) -> None:
    picture = Forged()
    with pytest.raises(TypeError, match="only a Marked"):
        Emit()(unmarked(picture), 0, 0, "LIVE", Timings(0))
    assert picture.done == []


def test_the_mark_is_burned_in_where_the_marked_picture_is_made() -> None:
    picture = Forged()
    marked = Mark(Output(), PAYLOAD)(CompositedOnGpu(picture))
    assert isinstance(marked, MarkedOnGpu) and picture.done == ["mark"]
    assert marked.payload == PAYLOAD.id and marked.label


def test_only_the_mark_stage_makes_a_marked_picture_on_a_gpu() -> None:
    root = Path(__file__).parents[1]
    makers = {
        path.relative_to(root).as_posix()
        for path in sorted(root.glob("realtime/**/*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "MarkedOnGpu"
    }
    assert makers == {"realtime/stages/mark.py"}


def test_an_avatar_of_another_size_than_the_canvas_is_refused() -> None:
    composite = Composite(Video(width_px=320, height_px=240))
    with pytest.raises(FrameError, match=r"\(360, 480\), the canvas is \(240, 320\)"):
        composite(RenderedOnGpu(Forged()), fakes.identity(), Controls(), frame(0))


def test_a_picture_on_a_gpu_of_odd_size_is_refused() -> None:
    picture = Forged()
    picture.canvas_hw = 239, 321
    with pytest.raises(FrameError, match="321x239: both sides must be even"):
        Mark(Output(), PAYLOAD)(CompositedOnGpu(picture))


def test_arrays_still_become_a_composite_of_arrays() -> None:
    made = Composite(Video(width_px=WIDTH, height_px=HEIGHT))(
        RenderedOnGpu(Forged()),
        identity_like(),
        Controls(background="camera"),
        frame(0),
    )
    assert isinstance(made, Composited), "no matte: the identity's own background"


def identity_like() -> Identity:
    return fakes.identity(np.full((HEIGHT, WIDTH, 3), 40, np.uint8))
