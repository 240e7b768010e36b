"""`python -m engines.training` leads from a folder of frames to files that the daemon can load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engines import face_mesh
from engines.backends import open_engine
from engines.models import geometry_only
from engines.pose import MotionTensors
from engines.specs import WARP_REFINE_LITE
from engines.training import head_samples, paint_samples
from realtime.config import Identities
from realtime.identity import IdentityStore
from tests.engines import faces

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shipped people in eight poses each; the second one's number says that it is held out."""
    folder = tmp_path_factory.mktemp("faces")
    reenactor = geometry_only()
    store = IdentityStore(Identities())
    for number, name in ((10, "juniper"), (19, "cobalt")):
        identity = store.load(name, reenactor, (512, 512)).encoded
        for frame, motion in enumerate(poses()):
            drawn = reenactor.render(identity, motion)
            picture = Image.fromarray(np.dstack([drawn.rgb, drawn.alpha]))
            picture.save(folder / f"{number}_{frame:02d}.webp", lossless=True, method=0)
    return folder


def poses() -> list[MotionTensors]:
    made = []
    for frame in range(8):
        expression = faces.still().expression.copy()
        lower = [*face_mesh.LIPS_INNER_LOWER[1:-1], *face_mesh.LIPS_OUTER_LOWER[1:-1], 152]
        expression[lower, 1] += 0.03 * frame
        openness = np.full(2, 0.0 if frame % 3 == 1 else 1.0, np.float32)
        turn = faces.yaw(4 * frame - 14)
        made.append(MotionTensors(turn, np.zeros(2, np.float32), 1.0, expression, openness))
    return made


def train(data: Path, out: Path, head_steps: int = 3) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "engines.training", "--size", "lite"]
    folders = ["--data", str(data), "--out", str(out)]
    steps = ["--head-steps", str(head_steps), "--paint-steps", "3"]
    return subprocess.run([*command, *folders, *steps], capture_output=True, text=True, check=False)


def test_from_frames_to_weights_and_on_again(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "run with spaces"
    first = train(frames, out)
    assert first.returncode == 0, first.stderr
    for spec in WARP_REFINE_LITE.graphs:
        open_engine("onnx", spec, out / "weights" / f"{spec.name}.onnx", threads=1)
    done = [out / "labels.npz", *out.glob("*/samples*/*/*.npy")]
    assert len(done) == 1 + 2 * (len(head_samples.FIELDS) + len(paint_samples.FIELDS))
    made_ns = [path.stat().st_mtime_ns for path in done]
    again = train(frames, out)
    assert again.returncode == 0, again.stderr
    assert [path.stat().st_mtime_ns for path in done] == made_ns, "what is done is not done again"
    farther = train(frames, out, head_steps=4)
    assert farther.returncode == 0, farther.stderr
    assert [path.stat().st_mtime_ns for path in done] == made_ns
    of_another_head = len(list(out.glob("*/samples*/*/*.npy"))) - len(done) + 1
    assert of_another_head == 2 * len(paint_samples.FIELDS), "what is painted depends on the head"


def test_what_was_begun_and_not_ended_is_begun_again(tmp_path: Path) -> None:
    from engines.training.__main__ import _once

    def killed(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "half").touch()
        raise KeyboardInterrupt

    samples = tmp_path / "head" / "samples"
    with pytest.raises(KeyboardInterrupt):
        _once(samples, killed)
    assert not samples.exists()
    _once(samples, lambda folder: folder.mkdir(parents=True))
    assert samples.is_dir() and not list(samples.iterdir())
    _once(samples, killed)
    assert list(samples.parent.iterdir()) == [samples], "it is done"


def test_a_folder_without_frames_is_said(tmp_path: Path) -> None:
    ended = train(tmp_path, tmp_path / "out")
    assert ended.returncode != 0
    assert "IDENTITY_FRAME.webp" in ended.stderr and "Traceback" not in ended.stderr
