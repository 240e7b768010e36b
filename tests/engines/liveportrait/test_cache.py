"""A portrait that was encoded before is read back, bit for bit; anything else is encoded."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.backends.base import Engine
from engines.backends.torch import TorchEngine
from engines.liveportrait import cache
from engines.liveportrait.portrait import Code
from engines.liveportrait.reenactor import LivePortrait, Options
from tests.engines import faces
from tests.engines.liveportrait.engines import CANVAS, SPECS, moved, networks, sight
from tests.engines.nets.liveportrait.narrow import ALL_POINTS, network

pytestmark = pytest.mark.train

U8 = NDArray[np.uint8]


class Counted(TorchEngine):
    def __init__(self) -> None:
        super().__init__(SPECS["appearance"], network("appearance", sizes=ALL_POINTS), threads=1)
        self.runs = 0

    def run(self, inputs: object) -> dict[str, np.ndarray]:
        self.runs += 1
        assert isinstance(inputs, dict)
        return super().run(inputs)


def avatar(folder: Path | None, extractor: Engine, digest: str = "weights") -> LivePortrait:
    return LivePortrait(
        networks(appearance=extractor), "narrow", Options(cache=folder), weights_sha256=digest
    )


def arrays(code: Code) -> list[np.ndarray]:
    pose = code.pose
    return [
        *(code.volume, code.lip_shift, pose.canonical, pose.rotation),
        *(pose.expression, pose.scale, pose.translation),
    ]


def encode(made: LivePortrait, rgba: U8 | None = None, canvas: tuple[int, int] = CANVAS) -> Code:
    portrait = faces.portrait() if rgba is None else rgba
    return made.encode_identity(portrait, faces.landmarks(), canvas).code


def test_a_second_start_reads_what_the_first_one_kept(tmp_path: Path) -> None:
    first, second = Counted(), Counted()
    written = encode(avatar(tmp_path / "new", first))
    read = encode(avatar(tmp_path / "new", second))
    assert (first.runs, second.runs) == (1, 0)
    for one, other in zip(arrays(written), arrays(read), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype == np.float32
    (path,) = (tmp_path / "new").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600, "its owner's only"


def test_it_drives_the_same_picture(tmp_path: Path) -> None:
    frames = []
    for _ in range(2):
        made = avatar(tmp_path, Counted())
        identity = made.encode_identity(faces.portrait(), faces.landmarks(), CANVAS)
        frames.append(made.render(identity, moved(sight(1), sight(2))).rgb)
    np.testing.assert_array_equal(frames[0], frames[1])


def test_another_portrait_canvas_or_weights_are_encoded(tmp_path: Path) -> None:
    extractor = Counted()
    encode(avatar(tmp_path, extractor))
    other = faces.portrait()
    other[300, 256, 0] ^= 1
    encode(avatar(tmp_path, extractor), other)
    encode(avatar(tmp_path, extractor), canvas=(120, 160))
    encode(avatar(tmp_path, extractor, digest="others"))
    assert extractor.runs == 4 == len(list(tmp_path.iterdir()))


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    encode(avatar(None, Counted()))
    assert not list(tmp_path.iterdir())
    assert cache.default_root() == tmp_path / "reenactd" / "identities"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, empty, one_bit])
def test_a_damaged_file_is_named_and_made_anew(
    damage: object, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written = encode(avatar(tmp_path, Counted()))
    (path,) = tmp_path.iterdir()
    assert callable(damage)
    damage(path)
    extractor = Counted()
    with caplog.at_level(logging.WARNING):
        found = encode(avatar(tmp_path, extractor))
    assert extractor.runs == 1 and path.name in caplog.text and "encoded anew" in caplog.text
    np.testing.assert_array_equal(found.volume, written.volume)
    encode(avatar(tmp_path, extractor))
    assert extractor.runs == 1, "mended"


def test_a_folder_that_cannot_be_written_costs_the_cache_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    with caplog.at_level(logging.WARNING):
        encode(avatar(tmp_path / "file" / "inside", Counted()))
    assert "is not kept" in caplog.text
