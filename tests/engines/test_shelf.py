"""What was encoded before is read back, bit for bit; whatever differs is encoded anew."""

from __future__ import annotations

import errno
import hashlib
import io
import logging
import os
import stat
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines import shelf, weights
from engines.backends.base import Engine
from engines.models import Reenactor, geometry_only, maker_of, open_network
from engines.shelf import Maker, Shelf, encoded_once
from engines.specs import WARP_REFINE_LITE, GraphSpec
from tests.engines import faces

F32 = NDArray[np.float32]

CANVAS = (480, 640)
MAKER = Maker("lite", "weights", "a processor")
SHOWN = {"seen": np.arange(12, dtype=np.float32).reshape(3, 4)}


class Encoder:
    """Gives other arrays each time that it runs."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self) -> dict[str, F32]:
        self.runs += 1
        return {"features": np.full((2, 3), self.runs, np.float32), "rest": np.zeros(0, np.float32)}


@pytest.fixture
def place(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "encoded", "ab" * 32)


def files(place: Shelf) -> list[Path]:
    return sorted(place.folder.iterdir())


def test_it_is_encoded_once_and_read_by_its_owner_only(place: Shelf) -> None:
    first, second = Encoder(), Encoder()
    written = encoded_once(place, MAKER, CANVAS, SHOWN, first)
    read = encoded_once(place, MAKER, CANVAS, SHOWN, second)
    assert (first.runs, second.runs) == (1, 0)
    assert list(read) == list(written)
    for name, array in written.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == np.float32
    (path,) = files(place)
    assert path.name == "lite.640x480.encoded" and shelf.names(place.folder) == ["lite.640x480"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "changed",
    [
        lambda place: (replace(place, portrait_sha256="cd" * 32), MAKER, SHOWN),
        lambda place: (place, replace(MAKER, weights_sha256="others"), SHOWN),
        lambda place: (place, replace(MAKER, ran_on="a GPU, fp16"), SHOWN),
        lambda place: (place, MAKER, {"seen": SHOWN["seen"] + np.float32(1e-6)}),
        lambda place: (place, MAKER, {"seen": SHOWN["seen"].reshape(4, 3)}),
        lambda place: (place, MAKER, {**SHOWN, "more": SHOWN["seen"]}),
    ],
)
def test_of_anything_else_it_is_made_anew_in_the_same_place(
    place: Shelf, changed: Callable[[Shelf], tuple[Shelf, Maker, dict[str, F32]]]
) -> None:
    encode = Encoder()
    encoded_once(place, MAKER, CANVAS, SHOWN, encode)
    other, maker, shown = changed(place)
    for _ in range(2):
        found = encoded_once(other, maker, CANVAS, shown, encode)
        assert encode.runs == 2 and found["features"][0, 0] == 2
    assert len(files(place)) == 1, "nothing stale is left"


def test_networks_and_canvases_are_kept_beside_each_other_but_not_without_end(
    place: Shelf,
) -> None:
    encode = Encoder()
    place.folder.mkdir()
    crashed = place.folder / ".unfinished-x"
    crashed.write_bytes(b"half")
    os.utime(crashed, ns=(0, 0))
    wanted = [(replace(MAKER, network=f"n{i // 4}"), (480, 640 + 2 * (i % 4))) for i in range(8)]
    for age, (maker, canvas_hw) in enumerate(wanted):
        encoded_once(place, maker, canvas_hw, SHOWN, encode)
        name = f"{maker.network}.{canvas_hw[1]}x480.encoded"
        os.utime(place.folder / name, ns=(age + 1, age + 1))
    assert len(files(place)) == shelf.MOST and not crashed.exists()
    for maker, canvas_hw in wanted[-shelf.MOST :]:
        encoded_once(place, maker, canvas_hw, SHOWN, encode)
    assert encode.runs == len(wanted), "the last ones stay"


@pytest.mark.parametrize("no", ["shelf", "maker"])
def test_without_a_place_or_a_name_nothing_is_kept(place: Shelf, no: str) -> None:
    encode = Encoder()
    for _ in range(2):
        where, maker = (None, MAKER) if no == "shelf" else (place, None)
        encoded_once(where, maker, CANVAS, SHOWN, encode)
    assert encode.runs == 2 and not place.folder.exists()


def cut(content: bytes) -> bytes:
    return content[:-20]


def empty(content: bytes) -> bytes:
    return b""


def bit_of_the_sum(content: bytes) -> bytes:
    return bytes([content[0] ^ 1]) + content[1:]


def bit_of_the_key(content: bytes) -> bytes:
    return content[:40] + bytes([content[40] ^ 1]) + content[41:]


def bit_of_an_array(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [cut, empty, bit_of_the_sum, bit_of_the_key, bit_of_an_array])
def test_a_damaged_file_is_named_and_made_anew(
    place: Shelf, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    encode = Encoder()
    encoded_once(place, MAKER, CANVAS, SHOWN, encode)
    (path,) = files(place)
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            found = encoded_once(place, MAKER, CANVAS, SHOWN, encode)
            assert encode.runs == 2 and found["features"][0, 0] == 2, "mended"
    assert caplog.messages == [f"{path}: is damaged; the portrait is encoded anew"]


class Touches:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self._path,)


def test_nothing_is_unpickled(
    place: Shelf, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By somebody who can write here, with sums that fit."""
    encode = Encoder()
    encoded_once(place, MAKER, CANVAS, SHOWN, encode)
    (path,) = files(place)
    key = path.read_bytes()[32:64]
    held = io.BytesIO()
    np.savez(held, features=np.array([Touches(tmp_path / "touched")], object))
    path.write_bytes(hashlib.sha256(key + held.getvalue()).digest() + key + held.getvalue())
    found = encoded_once(place, MAKER, CANVAS, SHOWN, encode)
    assert encode.runs == 2 and found["features"][0, 0] == 2
    assert not (tmp_path / "touched").exists()
    assert len(caplog.messages) == 1 and "allow_pickle=False; the portrait is" in caplog.text


def in_the_way(place: Shelf, patch: pytest.MonkeyPatch) -> None:
    place.folder.write_text("no folder")


def read_only(place: Shelf, patch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    patch.setattr(tempfile, "mkstemp", refuse)


def deleted(place: Shelf, patch: pytest.MonkeyPatch) -> None:
    place.folder.parent.rmdir()


@pytest.mark.parametrize("broken", [in_the_way, read_only, deleted])
def test_what_cannot_be_written_costs_the_time_only(
    tmp_path: Path,
    broken: Callable[[Shelf, pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "ada").mkdir()
    place, encode = Shelf(tmp_path / "ada" / "encoded", "ab" * 32), Encoder()
    broken(place, monkeypatch)
    assert encoded_once(place, MAKER, CANVAS, SHOWN, encode)["features"][0, 0] == 1
    assert len(caplog.messages) == 1 and "the encoded portrait is not kept: " in caplog.text
    assert (tmp_path / "ada").exists() == (broken is not deleted), "it does not come back"


def test_a_file_that_cannot_be_read_is_named(
    place: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    (place.folder / "lite.640x480.encoded").mkdir(parents=True)
    assert encoded_once(place, MAKER, CANVAS, SHOWN, Encoder())["features"][0, 0] == 1
    assert "Is a directory; the portrait is encoded anew" in caplog.messages[0]


def test_a_cache_is_made_with_all_around_it(tmp_path: Path) -> None:
    place = Shelf(tmp_path / "home" / "reenactd" / "juniper", "ab" * 32, parents=True)
    encoded_once(place, MAKER, CANVAS, SHOWN, Encoder())
    assert len(files(place)) == 1


def test_what_went_wrong_once_is_not_kept(place: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    broken = {"features": np.full(3, np.nan, np.float32)}
    found = encoded_once(place, MAKER, CANVAS, SHOWN, lambda: broken)
    assert np.isnan(found["features"]).all() and not place.folder.exists()
    assert "gave NaN or infinity" in caplog.text


def test_a_shelf_is_cleared_whole(place: Shelf) -> None:
    shelf.clear(place.folder)
    encoded_once(place, MAKER, CANVAS, SHOWN, Encoder())
    (place.folder / ".unfinished-x").write_bytes(b"half")
    stopped = place.folder.with_name(".cleared-x") / "encoded"
    stopped.mkdir(parents=True)
    (stopped / "lite.640x480.encoded").write_bytes(b"made of a face")
    shelf.clear(place.folder)
    assert list(place.folder.parent.iterdir()) == []


class Counted:
    """A graph that says how often it ran."""

    def __init__(self, engine: Engine) -> None:
        self.spec: GraphSpec = engine.spec
        self.description = engine.description
        self.runs = 0
        self._engine = engine

    def run(self, inputs: Mapping[str, F32]) -> dict[str, F32]:
        self.runs += 1
        return self._engine.run(inputs)


def test_warp_refine_reads_what_it_encoded_before(place: Shelf) -> None:
    network = open_network(WARP_REFINE_LITE, "onnx", threads=1)
    made = []
    for _ in range(2):
        assert network.encode is not None
        encoders = Counted(network.encode), Counted(network.encode_head)
        counted = replace(network, encode=encoders[0], encode_head=encoders[1])
        avatar = Reenactor(counted, "counted", maker=maker_of(WARP_REFINE_LITE, network))
        identity = avatar.encode_identity(faces.portrait(), faces.landmarks(), (240, 320), place)
        made.append((identity, avatar.render(identity, faces.still()), encoders))
    (first, drawn, ran), (second, drawn_again, idle) = made
    assert [each.runs for each in ran] == [1, 1] and [each.runs for each in idle] == [0, 0]
    np.testing.assert_array_equal(first.features, second.features)
    np.testing.assert_array_equal(first.head_features, second.head_features)
    np.testing.assert_array_equal(drawn.rgb, drawn_again.rgb)
    assert shelf.names(place.folder) == ["warp-refine-lite.320x240"]


def test_a_network_in_training_and_geometry_alone_keep_nothing(place: Shelf) -> None:
    geometry_only().encode_identity(faces.portrait(), faces.landmarks(), (240, 320), place)
    assert not place.folder.exists()


def test_other_weights_have_another_sum(tmp_path: Path) -> None:
    own = weights.digest(WARP_REFINE_LITE.name)
    folder = tmp_path / WARP_REFINE_LITE.name
    folder.mkdir()
    text = (weights.WEIGHTS_DIRECTORY / folder.name / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text)
    assert weights.digest(folder.name, tmp_path) == own
    pin = weights.read_manifest(folder.name).files["encode.onnx"]
    (folder / "manifest.json").write_text(text.replace(pin, "0" * 64))
    assert weights.digest(folder.name, tmp_path) != own
