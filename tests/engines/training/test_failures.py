"""The sheet of the worst pictures: who is on it, and what each row shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from engines.avatar import RenderedArrays
from engines.models import EncodedIdentity, Memory, Reenactor, geometry_only
from engines.training import failures
from engines.training.contestants import COPY, GEOMETRY, NETWORK, Contestant
from engines.training.people import Person
from engines.training.scores import Sample, Scores
from engines.warp import Placement
from tests.engines import faces

U8 = NDArray[np.uint8]

MOUTH, EYES, AKD = "self_mouth_psnr_db", "self_eyes_psnr_db", "self_akd_percent"
ROW_PX, TILE_PX = 258, 240
CAPTION_PX = ROW_PX - TILE_PX
GREY = 90
LIGHT, DARK = 220, 60
"""of a person's frames 1 and 2: skin"""


def frame_of(person: str, number: int) -> str:
    return f"{person}_{number:02d}.webp"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> list[Person]:
    """A portrait, a light frame and a dark frame of each."""
    folder = tmp_path_factory.mktemp("faces")
    made = []
    for name in ("10009", "10019", "10029", "10039"):
        for number, skin in enumerate((None, LIGHT, DARK)):
            rgba = faces.portrait()
            if skin is not None:
                rgba[..., :3] = skin
            Image.fromarray(rgba).save(folder / frame_of(name, number), lossless=True, method=0)
        landmarks = {frame_of(name, number): faces.landmarks() for number in range(3)}
        made.append(Person(name, folder, landmarks))
    return made


class Plain(Reenactor):
    """A network that shows everybody as one grey."""

    def __init__(self) -> None:
        super().__init__(None, "plain")

    def draw(
        self, identity: EncodedIdentity, placement: Placement, memory: Memory | None = None
    ) -> RenderedArrays:
        hw = identity.canvas_hw
        return RenderedArrays(np.full((*hw, 3), GREY, np.uint8), np.full(hw, 255, np.uint8))


def everybody() -> list[Contestant]:
    geometry = geometry_only()
    return [
        Contestant(COPY, geometry, moves=False),
        Contestant(GEOMETRY, geometry),
        Contestant(NETWORK, Plain()),
    ]


def rows_of(sheet: Path) -> list[U8]:
    """The rows of a sheet, each (ROW_PX, three tiles, 3)."""
    picture = np.asarray(Image.open(sheet).convert("RGB"))
    assert picture.shape[1] == 3 * TILE_PX and picture.shape[0] % ROW_PX == 0
    return [*picture.reshape(-1, ROW_PX, 3 * TILE_PX, 3)]


def skin(row: U8) -> int:
    """What the driving frame of a row shows in its middle."""
    return int(row[CAPTION_PX + TILE_PX // 2, TILE_PX // 2, 0])


def test_a_sheet_has_a_row_for_each_person_and_measure(
    people: list[Person], tmp_path: Path
) -> None:
    """Two frames of each were measured; only the worse is shown."""
    scores = Scores()
    for person in people[:2]:
        for number in (1, 2):
            sample = Sample(person.name, frame_of(person.name, number))
            for measure in (MOUTH, EYES, AKD):
                scores.add(measure, NETWORK, sample, 20.0 - number)
                scores.add(measure, GEOMETRY, sample, 18.0)
    sheet = tmp_path / "new" / "sheet.png"
    failures.write(people, everybody(), scores, sheet)
    rows = rows_of(sheet)
    # decibels: less is worse; landmarks that are off: more is
    assert [skin(row) for row in rows] == [DARK] * 4 + [LIGHT] * 2
    for row in rows:
        assert row[:CAPTION_PX].max() > 150 and row[:CAPTION_PX].min() < 40, "a caption"
        driving, geometry, network = np.split(row[CAPTION_PX:].astype(int), 3, axis=1)
        assert np.abs(geometry - driving).mean() > 20, "the portrait, not the driving frame"
        assert np.ptp(geometry) > 100
        np.testing.assert_array_equal(network, GREY)


def test_of_each_measure_the_three_worst_are_shown(people: list[Person], tmp_path: Path) -> None:
    scores = Scores()
    for person, decibels in zip(people, (30.0, 10.0, 20.0, 15.0), strict=True):
        number = 1 if decibels == 30.0 else 2
        scores.add(MOUTH, NETWORK, Sample(person.name, frame_of(person.name, number)), decibels)
    failures.write(people, everybody(), scores, tmp_path / "sheet.png")
    assert [skin(row) for row in rows_of(tmp_path / "sheet.png")] == [DARK] * 3


def test_a_frame_whose_geometry_shows_no_face_is_shown(
    people: list[Person], tmp_path: Path
) -> None:
    scores = Scores()
    scores.add(AKD, NETWORK, Sample("10009", frame_of("10009", 1)), 9.0)
    failures.write(people, everybody(), scores, tmp_path / "sheet.png")
    assert len(rows_of(tmp_path / "sheet.png")) == 1


def test_a_face_that_is_wider_than_its_picture_is_shown_whole(tmp_path: Path) -> None:
    Image.fromarray(faces.portrait()).save(tmp_path / frame_of("10009", 0), lossless=True, method=0)
    Image.fromarray(faces.portrait()).save(tmp_path / frame_of("10009", 1), lossless=True, method=0)
    near, aside = (
        faces.landmarks(unit_px=260.0),
        faces.landmarks() - np.array([230, 0, 0], np.float32),
    )
    for landmarks in (near, aside):
        known = {frame_of("10009", 0): faces.landmarks(), frame_of("10009", 1): landmarks}
        scores = Scores()
        scores.add(AKD, NETWORK, Sample("10009", frame_of("10009", 1)), 9.0)
        person = Person("10009", tmp_path, known)
        failures.write([person], everybody(), scores, tmp_path / "sheet.png")
        assert len(rows_of(tmp_path / "sheet.png")) == 1


def test_where_nobody_was_measured_nothing_is_written(people: list[Person], tmp_path: Path) -> None:
    scores = Scores()
    scores.add(MOUTH, GEOMETRY, Sample("10009", frame_of("10009", 1)), 18.0)
    scores.add("cross_akd_percent", NETWORK, Sample("10009", frame_of("10019", 1)), 9.0)
    scores.add(MOUTH, NETWORK, Sample("juniper", "performer1"), 9.0)
    failures.write(people, everybody(), scores, tmp_path / "new" / "sheet.png")
    failures.write([], everybody(), Scores(), tmp_path / "sheet.png")
    assert not list(tmp_path.iterdir())


def test_values_are_read_by_measure_and_contestant() -> None:
    scores, sample = Scores(), Sample("10009", frame_of("10009", 1))
    scores.add(MOUTH, NETWORK, sample, 21.0)
    assert scores.values_of(MOUTH, NETWORK) == {sample: 21.0}
    assert scores.values_of(MOUTH, GEOMETRY) == scores.values_of(EYES, NETWORK) == {}
