from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from realtime.config import Video
from realtime.errors import FrameError
from realtime.frames import F32, U8, Controls, Rendered, Tracked
from realtime.stages.composite import Composite
from tests import fakes
from tests.fakes import AVATAR_RGB, BACKDROP_RGB, HEIGHT, WIDTH, Background

ROOM_RGB = (40, 140, 60)
PERFORMER_RGB = (250, 20, 240)  # like nothing else in these pictures


def stage() -> Composite:
    return Composite(Video(width_px=WIDTH, height_px=HEIGHT))


def rendered(shift: float = 0.0) -> Rendered:
    arrays = fakes.disc(shift)
    return Rendered(arrays.rgb, arrays.alpha)


def room_with_performer(centre_x: int = WIDTH // 2, radius: int = 50) -> tuple[U8, F32]:
    """A green room with somebody magenta in it, and a matte that is right."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    inside = np.hypot(rows - HEIGHT / 2, columns - centre_x) < radius
    rgb = np.full((HEIGHT, WIDTH, 3), ROOM_RGB, np.uint8)
    rgb[inside] = PERFORMER_RGB
    return rgb, inside.astype(np.float32)


def somebody_is_seen(rgb: U8) -> bool:
    """Whether any pixel is nearer to the performer's colour than to all that may be there."""
    pixels = rgb.reshape(-1, 3).astype(int)
    allowed = np.array([AVATAR_RGB, ROOM_RGB, BACKDROP_RGB])
    to_allowed = np.abs(pixels[:, None] - allowed).sum(axis=2).min(axis=1)
    return bool((np.abs(pixels - PERFORMER_RGB).sum(axis=1) < to_allowed).any())


def compose(controls: Controls, tracked: Tracked, composite: Composite | None = None) -> U8:
    made = (composite or stage())(rendered(), fakes.identity(), controls, tracked)
    return made.rgb


def test_the_helper_sees_the_performer_in_the_raw_picture() -> None:
    assert somebody_is_seen(room_with_performer()[0])


def test_the_avatar_stands_before_the_identitys_own_background() -> None:
    rgb = compose(Controls(), fakes.tracked(room_with_performer()[0]))
    assert np.abs(rgb[HEIGHT // 2, WIDTH // 2].astype(int) - AVATAR_RGB).max() <= 1
    assert np.abs(rgb[5, 5].astype(int) - BACKDROP_RGB).max() <= 1
    assert not somebody_is_seen(rgb)


def test_edges_are_mixed_by_their_alpha() -> None:
    picture = rendered()
    half = replace(picture, alpha=np.full((HEIGHT, WIDTH), 128, np.uint8))
    made = stage()(half, fakes.identity(), Controls(), fakes.tracked(picture.rgb)).rgb
    middle = (np.array(AVATAR_RGB) * 128 + np.array(BACKDROP_RGB) * 127) / 255
    assert np.abs(made.astype(int) - middle).max() <= 1.5


def test_a_solid_colour_is_exactly_that_colour() -> None:
    source = fakes.tracked(room_with_performer()[0])
    assert tuple(compose(Controls(background="color"), source)[5, 5]) == (0x00, 0xB1, 0x40)
    blue = Controls(background="color", color="#0000ff")
    assert tuple(compose(blue, source)[5, 5]) == (0, 0, 255)


@pytest.mark.parametrize("color", ["green", "#12", "00b140", "#00b14g", "#00b14000"])
def test_a_colour_that_is_none_is_refused(color: str) -> None:
    with pytest.raises(FrameError, match="#rrggbb"):
        compose(Controls(background="color", color=color), fakes.tracked(rendered().rgb))


@pytest.mark.parametrize("background", ["camera", "blur"])
def test_the_real_room_is_shown_without_the_performer(background: Background) -> None:
    composite = stage()
    controls = replace(Controls(), background=background)
    for seq in range(4):
        rgb, matte = room_with_performer(centre_x=100 + 20 * seq)
        made = compose(controls, fakes.tracked(rgb, matte, seq), composite)
        assert not somebody_is_seen(made), seq
        assert np.abs(made[5, 5].astype(int) - ROOM_RGB).max() <= 4


@pytest.mark.parametrize("background", ["camera", "blur"])
def test_a_matte_that_misses_a_rim_leaves_no_rim(background: Background) -> None:
    rgb, _ = room_with_performer(60, radius=53)
    _, tight = room_with_performer(60, radius=50)
    made = compose(replace(Controls(), background=background), fakes.tracked(rgb, tight))
    assert not somebody_is_seen(made)


@pytest.mark.parametrize("background", ["camera", "blur"])
def test_without_a_matte_the_identitys_background_stands_in_and_is_counted(
    background: Background,
) -> None:
    composite = stage()
    controls = replace(Controls(), background=background)
    made = compose(controls, fakes.tracked(room_with_performer()[0], None), composite)
    assert np.abs(made[5, 5].astype(int) - BACKDROP_RGB).max() <= 1
    assert not somebody_is_seen(made)
    assert composite.substituted == 1


def test_what_the_performer_uncovers_is_remembered_and_what_he_covers_stays() -> None:
    composite = stage()
    controls = Controls(background="camera")
    poster = np.array([240, 230, 20])
    for seq, centre_x in enumerate([260, 260, 60, 60]):
        rgb, matte = room_with_performer(centre_x, radius=40)
        visible = matte[100:140, 40:80] == 0
        rgb[100:140, 40:80][visible] = poster
        made = compose(controls, fakes.tracked(rgb, matte, seq), composite)
    assert np.abs(made[120, 60].astype(int) - poster).max() < 12


def test_the_room_is_forgotten_when_it_is_no_longer_shown() -> None:
    composite = stage()
    rgb, matte = room_with_performer()
    compose(Controls(background="camera"), fakes.tracked(rgb, matte), composite)
    compose(Controls(), fakes.tracked(rgb), composite)
    everywhere = np.ones_like(matte)
    made = compose(Controls(background="camera"), fakes.tracked(rgb, everywhere), composite)
    assert np.abs(made[5, 5].astype(int) - ROOM_RGB).max() > 30  # nothing of it is known any more
    assert not somebody_is_seen(made)


@pytest.mark.parametrize("size", [(480, 640), (360, 640), (640, 480), (121, 161)])
def test_any_camera_size_fills_the_canvas(size: tuple[int, int]) -> None:
    rgb = np.full((*size, 3), ROOM_RGB, np.uint8)
    made = compose(Controls(background="camera"), fakes.tracked(rgb, np.zeros(size, np.float32)))
    assert made.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(made[5, 5].astype(int) - ROOM_RGB).max() <= 4


def test_the_avatar_takes_on_a_little_of_the_rooms_light_and_stays_itself() -> None:
    dark = np.full((HEIGHT, WIDTH, 3), (10, 12, 30), np.uint8)
    nobody = np.zeros((HEIGHT, WIDTH), np.float32)
    made = compose(Controls(background="camera"), fakes.tracked(dark, nobody))
    shift = made[HEIGHT // 2, WIDTH // 2].astype(int) - AVATAR_RGB
    assert -40 < shift.mean() < -4
    plain = compose(Controls(), fakes.tracked(dark, nobody))
    assert np.abs(plain[HEIGHT // 2, WIDTH // 2].astype(int) - AVATAR_RGB).max() <= 1


def test_the_light_changes_slowly() -> None:
    composite = stage()
    nobody = np.zeros((HEIGHT, WIDTH), np.float32)
    seen = []
    for seq in range(10):
        level = 20 if seq < 5 else 240
        rgb = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
        made = compose(Controls(background="camera"), fakes.tracked(rgb, nobody, seq), composite)
        seen.append(int(made[HEIGHT // 2, WIDTH // 2].astype(int).sum()))
    assert np.abs(np.diff(seen)).max() < 10


def test_mirror_flips_the_picture() -> None:
    source = fakes.tracked(rendered().rgb)
    picture = rendered(shift=1.0)
    plain = stage()(picture, fakes.identity(), Controls(), source).rgb
    mirrored = stage()(picture, fakes.identity(), Controls(mirror=True), source).rgb
    np.testing.assert_array_equal(mirrored, plain[:, ::-1])
    assert (plain != mirrored).any()


def test_pictures_of_another_size_are_refused() -> None:
    small = Rendered(np.zeros((100, 100, 3), np.uint8), np.zeros((100, 100), np.uint8))
    source = fakes.tracked(rendered().rgb)
    with pytest.raises(FrameError, match="canvas"):
        stage()(small, fakes.identity(), Controls(), source)
    with pytest.raises(FrameError, match="somebody"):
        stage()(rendered(), fakes.identity(small.rgb), Controls(), source)
