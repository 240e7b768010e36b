from __future__ import annotations

import ast
import functools
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont

from realtime.config import LABELS, Output
from realtime.errors import FrameError
from realtime.frames import U8, Composited
from realtime.logbook import label_record
from realtime.stages.mark import Mark, Marks
from realtime.watermark import Payload

ROOT = Path(__file__).parents[2]
PAYLOAD = Payload(0x600DF00D)


def flat(level: int, width: int = 640, height: int = 480) -> U8:
    return np.full((height, width, 3), level, np.uint8)


def changed(before: U8, after: U8) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of what differs."""
    rows, columns = np.nonzero((before != after).any(axis=2))
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


@pytest.mark.parametrize("level", [0, 90, 200, 255])
def test_the_mark_is_legible_on_any_background(level: int) -> None:
    rgb = flat(level)
    marked = Mark(Output(), PAYLOAD)(Composited(rgb)).rgb
    corner = marked[:60, 560:].astype(int)
    letters, pill = corner.max(), corner.min()
    assert letters > 200
    assert pill < 90
    assert letters - pill > 150  # WCAG asks for 4.5:1; this is above 10:1


def test_it_sits_top_right_and_is_at_least_4_percent_high() -> None:
    rgb = flat(255)
    top, bottom, left, right = changed(rgb, Mark(Output(), PAYLOAD)(Composited(rgb)).rgb)
    assert bottom - top >= 0.04 * 480
    assert bottom < 0.12 * 480
    assert left > 0.8 * 640
    assert right < 640


@pytest.mark.parametrize("position", ["top-right", "top-left", "bottom-right", "bottom-left"])
@pytest.mark.parametrize(("width", "height"), [(640, 480), (416, 410), (1280, 720)])
def test_it_goes_to_any_corner_and_is_never_less_than_4_percent_high(
    position: str, width: int, height: int
) -> None:
    output = Output(label_position=position, label_height=0.04)
    rgb = flat(255, width, height)
    top, bottom, left, right = changed(rgb, Mark(output, PAYLOAD)(Composited(rgb)).rgb)
    assert bottom - top >= 0.04 * height
    assert bottom < 0.2 * height if "top" in position else top > 0.8 * height
    assert right < 0.3 * width if "left" in position else left > 0.7 * width


@pytest.mark.parametrize("level", [0, 90, 200, 255])
def test_the_light_style_is_legible_too(level: int) -> None:
    mark = Mark(Output(label_style="light"), PAYLOAD)
    corner = mark(Composited(flat(level))).rgb[:60, 560:].astype(int)
    assert corner.max() > 200 and corner.min() < 90


def test_off_leaves_the_picture_and_says_why() -> None:
    mark = Mark(Output(label="off", label_off_reason="a film with its own label"), PAYLOAD)
    rgb = flat(90)
    marked = mark(Composited(rgb))
    np.testing.assert_array_equal(marked.rgb, rgb)
    assert (marked.label, marked.payload) == ("", PAYLOAD.id)
    assert mark.marks == Marks(PAYLOAD, "", "a film with its own label")


def test_nothing_else_changes_and_the_given_picture_stays() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)
    before = rgb.copy()
    marked = Mark(Output(), PAYLOAD)(Composited(rgb)).rgb
    np.testing.assert_array_equal(rgb, before)
    top, bottom, left, right = changed(rgb, marked)
    outside = np.ones((480, 640), bool)
    outside[top:bottom, left:right] = False
    np.testing.assert_array_equal(marked[outside], rgb[outside])


def test_it_follows_the_picture_size_and_the_setting() -> None:
    mark = Mark(Output(label="AI MODIFIED", label_height=0.1), PAYLOAD)
    for width, height in ((640, 480), (1280, 720), (640, 480)):
        rgb = flat(255, width, height)
        top, bottom, _, _ = changed(rgb, mark(Composited(rgb)).rgb)
        assert bottom - top == pytest.approx(0.1 * height, abs=2)


def test_the_same_picture_is_marked_the_same_way() -> None:
    mark = Mark(Output(), PAYLOAD)
    first, second = mark(Composited(flat(90))), mark(Composited(flat(90)))
    np.testing.assert_array_equal(first.rgb, second.rgb)
    assert first.label == "AI"


def test_a_picture_too_small_for_the_mark_is_refused() -> None:
    with pytest.raises(FrameError, match="too small for the mark"):
        Mark(Output(label="AI-generated"), PAYLOAD)(Composited(flat(0, 48, 32)))


@pytest.mark.parametrize("letter", sorted({letter for label in LABELS for letter in label}))
def test_the_font_has_every_letter_of_the_labels(letter: str) -> None:
    font = ImageFont.load_default(size=40)
    missing = font.getmask("\ufffe")
    assert bytes(font.getmask(letter)) != bytes(missing)


@pytest.mark.parametrize(
    ("label", "warning"),
    [
        ({}, None),
        ({"label": "off", "label_off_reason": "a film"}, "without the visible mark: a film"),
        (
            {"label": "HD", "label_off_reason": "a film"},
            "with the label 'HD', which discloses nothing: a film",
        ),
    ],
)
def test_a_label_that_discloses_nothing_is_said_and_recorded(
    label: dict[str, str], warning: str | None
) -> None:
    output = Output(**label)
    marks = Mark(output, PAYLOAD).marks
    assert marks.warning == warning
    recorded = label_record(marks, output)
    assert recorded.get("off_because") == label.get("label_off_reason")
    assert recorded["text"] == {"off": "", "HD": "HD"}.get(label.get("label", ""), "AI")


def test_odd_pictures_are_refused() -> None:
    with pytest.raises(FrameError, match="even"):
        Mark(Output(), PAYLOAD)(Composited(flat(0, 641, 480)))


@pytest.mark.parametrize(
    ("name", "maker"),
    [
        ("Marked", "realtime/stages/mark.py"),
        ("MarkedCutout", "realtime/stages/mark.py"),
        ("OutputFrame", "realtime/stages/emit.py"),
        ("Identity", "realtime/identity.py"),
        ("Lent", "realtime/lending.py"),
    ],
)
def test_only_one_file_constructs_what_may_be_shown(name: str, maker: str) -> None:
    def of_torch(func: ast.Attribute) -> bool:  # nn.Identity is a layer that does nothing
        return isinstance(func.value, ast.Name) and func.value.id == "nn"

    def calls(path: Path) -> bool:
        return any(
            (isinstance(func, ast.Name) and func.id == name)
            or (isinstance(func, ast.Attribute) and func.attr == name and not of_torch(func))
            for func in called(path)
        )

    sources = [path for top in ("engines", "realtime") for path in (ROOT / top).rglob("*.py")]
    assert [str(path.relative_to(ROOT)) for path in sources if calls(path)] == [maker]


@functools.cache
def called(path: Path) -> list[ast.expr]:
    """What a file calls; each is read once for all names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
