"""Too little data is said in one line; labels are written whole or not at all."""

from __future__ import annotations

import functools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from engines.specs import LITE
from engines.training import head_samples, labels, samples
from engines.training.people import read_people
from tests.engines import faces


def found(rgb: np.ndarray, at_most: int) -> list[SimpleNamespace]:
    return [SimpleNamespace(landmarks_px=faces.landmarks())]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "faces"
    folder.mkdir()
    Image.new("RGBA", (8, 8)).save(folder / "10009_00.webp")
    return folder


def test_labels_are_read_as_they_were_written(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "find_faces", found)
    out = tmp_path / "labels.npz"
    labels.label(data, out)
    (entry,) = samples.read_labels(out).items()
    assert entry[0] == "10009_00.webp" and entry[1] == pytest.approx(faces.landmarks())
    assert {path.name for path in tmp_path.iterdir()} == {"faces", "labels.npz"}


def test_a_killed_run_leaves_the_old_labels(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(file: object, **arrays: np.ndarray) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    monkeypatch.setattr(labels, "find_faces", found)
    monkeypatch.setattr(np, "savez", killed)
    out = tmp_path / "labels.npz"
    out.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        labels.label(data, out)
    assert out.read_bytes() == b"old"


def test_frames_without_any_face_are_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "find_faces", lambda rgb, at_most: [])
    with pytest.raises(SystemExit, match="none of 1 frames shows a face"):
        labels.label(data, tmp_path / "labels.npz")
    assert not (tmp_path / "labels.npz").exists()


@pytest.mark.parametrize(
    ("people", "rule"),
    [
        ({"10001": 6}, "held_out would be empty"),
        ({"10009": 6}, "train would be empty"),
        ({"10001": 6, "10009": 5}, "10009 has 5 labelled frames, a person must have 6"),
    ],
)
def test_too_few_labels_are_refused_before_any_work(
    people: dict[str, int], rule: str, tmp_path: Path
) -> None:
    table, out = tmp_path / "labels.npz", tmp_path / "samples"
    names = [f"{name}_{frame:02d}.webp" for name, count in people.items() for frame in range(count)]
    np.savez(table, names=np.array(names), landmarks=np.zeros((len(names), 478, 3), np.float32))
    with pytest.raises(SystemExit, match=rule):
        samples.write(tmp_path, table, out, functools.partial(head_samples.kind, LITE))
    assert not out.exists()


def test_six_frames_of_each_are_enough() -> None:
    names = [f"{person}_{frame:02d}.webp" for person in ("10001", "10009") for frame in range(6)]
    samples.check(Path("labels.npz"), names)
    assert len(samples.choose_pairs(names, 0)) == 24


def test_a_damaged_frame_is_one_line(data: Path, tmp_path: Path) -> None:
    frame = data / "10009_00.webp"
    whole = frame.read_bytes()
    for content in (whole[:20], b"", b"no picture", b"RIFF" + bytes(60)):
        frame.write_bytes(content)
        with pytest.raises(SystemExit, match="10009_00.webp: cannot be read as a picture") as said:
            labels.label(data, tmp_path / "labels.npz")
        assert "remove it" in str(said.value) and "\n" not in str(said.value)
        with pytest.raises(SystemExit, match="10009_00.webp: cannot be read as a picture"):
            read_people(data, None, None)
