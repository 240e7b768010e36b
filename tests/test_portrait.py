from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from realtime import picture_file, portrait
from realtime.errors import IdentityError
from realtime.frames import F32, U8

PATH = Path("somebody.png")


def encoded(image: Image.Image, picture_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, picture_format, **options)
    return buffer.getvalue()


def image(width: int = 200, height: int = 300, mode: str = "RGB") -> Image.Image:
    made = Image.new(mode, (width, height), 0 if mode in "LI1" else (10, 20, 30))
    return made


@pytest.mark.parametrize("picture_format", ["PNG", "JPEG", "WEBP"])
def test_three_formats_are_read(picture_format: str) -> None:
    rgba = portrait.decode(encoded(image(), picture_format), PATH)
    assert rgba.shape == (300, 200, 4)
    assert rgba.dtype == np.uint8
    assert np.abs(rgba[0, 0].astype(int) - (10, 20, 30, 255)).max() < 4


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "I;16", "CMYK"])
def test_every_kind_of_pixel_becomes_rgba(mode: str) -> None:
    picture_format = "JPEG" if mode == "CMYK" else "PNG"
    made = Image.new(mode, (200, 200))
    assert portrait.decode(encoded(made, picture_format), PATH).shape == (200, 200, 4)


@pytest.mark.parametrize("picture_format", ["GIF", "BMP", "TIFF", "PPM", "ICO"])
def test_other_formats_are_refused(picture_format: str) -> None:
    with pytest.raises(IdentityError, match="no picture in one of PNG, JPEG, WEBP"):
        portrait.decode(encoded(image(), picture_format), PATH)


def test_alpha_is_kept() -> None:
    made = Image.new("RGBA", (200, 200), (1, 2, 3, 77))
    assert portrait.decode(encoded(made), PATH)[0, 0, 3] == 77


def test_the_camera_orientation_is_applied() -> None:
    made = image(200, 300)
    made.paste((255, 0, 0), (0, 0, 200, 50))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    rgba = portrait.decode(encoded(made, "JPEG", exif=exif), PATH)
    assert rgba.shape == (200, 300, 4)
    assert rgba[100, 290, 0] > 200  # what was the upper edge is the right one


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    data = bytearray(encoded(image(200, 200, "1")))
    header = 16  # IHDR: width and height, then the CRC 13 bytes after the chunk's name
    data[header : header + 8] = (30_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    with pytest.raises(IdentityError, match="more than 64 megapixels"):
        portrait.decode(bytes(data), PATH)
    wide = encoded(Image.new("1", (4001, 4000)))
    with pytest.raises(IdentityError, match="16 megapixels, the most for PNG; scale it down"):
        portrait.decode(wide, PATH)


def test_a_tiny_picture_is_refused() -> None:
    with pytest.raises(IdentityError, match="100x100 is too small"):
        portrait.decode(encoded(image(100, 100)), PATH)


@pytest.mark.parametrize("cut", [20, 100, 300])
def test_a_damaged_file_is_refused(cut: int) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3)).astype(np.uint8)
    with pytest.raises(IdentityError, match=r"somebody\.png"):
        portrait.decode(encoded(Image.fromarray(noise))[:cut], PATH)


def test_a_large_picture_is_shrunk_to_what_is_of_use() -> None:
    assert portrait.decode(encoded(image(4000, 3000)), PATH).shape == (1536, 2048, 4)


def test_a_large_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_file, "MAX_BYTES", 1000)
    path = tmp_path / "large.png"
    path.write_bytes(b"x" * 1001)
    with pytest.raises(IdentityError, match="save it smaller"):
        picture_file.read_bytes(path)
    with pytest.raises(IdentityError, match="cannot be read"):
        picture_file.read_bytes(tmp_path / "absent.png")


def cut_out() -> U8:
    """A red square on transparent green."""
    rgba = np.zeros((200, 200, 4), np.uint8)
    rgba[..., 1] = 255
    rgba[50:150, 50:150] = (255, 0, 0, 255)
    return rgba


def test_a_cutout_is_told_from_a_photograph() -> None:
    assert portrait.has_cutout(cut_out())
    opaque = cut_out()
    opaque[..., 3] = 255
    assert not portrait.has_cutout(opaque)
    opaque[0, 0, 3] = 0  # a stray pixel does not make one
    assert not portrait.has_cutout(opaque)


def test_colours_under_transparent_pixels_do_not_show() -> None:
    flat = portrait.over(cut_out())
    assert tuple(flat[0, 0]) == (128, 128, 128)
    assert tuple(flat[100, 100]) == (255, 0, 0)


def test_a_matte_becomes_the_alpha() -> None:
    matte = np.zeros((200, 200), np.float32)
    matte[:, 100:] = 1
    alpha = portrait.cut_out(cut_out(), lambda rgb: matte)[..., 3]
    assert (alpha[:, :100] == 0).all()
    assert (alpha[:, 100:] == 255).all()


def drawing(background: tuple[int, int, int] = (200, 220, 240)) -> tuple[U8, F32]:
    """A head with long hair, in white, and a matte that knows nothing of the hair."""
    rgba = np.full((300, 300, 4), (*background, 255), np.uint8)
    rgba[60:300, 60:240, :3] = (90, 70, 140)
    rgba[90:220, 110:190, :3] = (255, 226, 208)
    rgba[240:, 40:260, :3] = (250, 250, 250)
    matte = np.zeros((300, 300), np.float32)
    matte[90:220, 110:190] = matte[240:, 40:260] = 1
    return rgba, matte


@pytest.mark.parametrize("quality", [None, 75])
def test_who_is_drawn_on_one_colour_keeps_the_hair(quality: int | None) -> None:
    rgba, matte = drawing()
    if quality is not None:
        data = encoded(Image.fromarray(rgba[..., :3]), "JPEG", quality=quality)
        rgba = portrait.decode(data, PATH)
    alpha = portrait.cut_out(rgba, lambda rgb: matte)[..., 3]
    assert (alpha[70:295, 70:230] == 255).all()
    assert (alpha[:50] == 0).all() and (alpha[:230, :50] == 0).all()


def test_white_before_white_is_left_to_the_matte() -> None:
    rgba, matte = drawing((250, 250, 250))
    alpha = portrait.cut_out(rgba, lambda rgb: matte)[..., 3]
    np.testing.assert_array_equal(alpha, (matte * 255).astype(np.uint8))


def test_a_matte_that_misses_little_is_taken() -> None:
    rgba, _ = drawing()
    matte = (rgba[..., 2] != 240).astype(np.float32)
    alpha = portrait.cut_out(rgba, lambda rgb: matte * np.float32(0.6))[..., 3]
    assert set(np.unique(alpha)) == {0, round(0.25 / 0.5 * 255)}


def test_a_photograph_is_left_to_the_matte() -> None:
    rgba, matte = drawing()
    noise = np.random.default_rng(1).integers(-30, 30, (300, 300, 3))
    rgba[..., :3] = np.clip(rgba[..., :3] + noise, 0, 255)
    alpha = portrait.cut_out(rgba, lambda rgb: matte)[..., 3]
    np.testing.assert_array_equal(alpha, (matte * 255).astype(np.uint8))


def test_the_portraits_own_background_comes_without_the_person() -> None:
    rgba = np.zeros((300, 200, 4), np.uint8)
    rgba[..., 2] = 200
    rgba[100:, 60:140] = (255, 0, 0, 0)
    alpha = np.zeros((300, 200), np.uint8)
    alpha[100:, 60:140] = 255
    background = portrait.own_background(rgba, alpha, (240, 320))
    assert background.shape == (240, 320, 3)
    assert background[..., 0].max() < 40
    assert background[..., 2].min() > 150


def test_a_portrait_that_is_all_person_still_has_a_background() -> None:
    rgba = np.full((200, 200, 4), 90, np.uint8)
    everywhere = np.full((200, 200), 255, np.uint8)
    assert portrait.own_background(rgba, everywhere, (120, 160)).shape == (120, 160, 3)


def test_a_studio_is_tinted_and_the_same_for_the_same_seed() -> None:
    blue = portrait.studio((60, 90, 160), 3, (240, 320))
    assert blue.shape == (240, 320, 3)
    assert blue[..., 2].mean() > 1.3 * blue[..., 0].mean()
    np.testing.assert_array_equal(blue, portrait.studio((60, 90, 160), 3, (240, 320)))
    assert (blue != portrait.studio((60, 90, 160), 4, (240, 320))).any()
