"""Hostile pictures meet a process with little memory and time, and end as one line."""

from __future__ import annotations

import io
import resource
import struct
import subprocess
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from realtime import picture_process
from realtime.errors import IdentityError
from realtime.picture_file import MAX_BYTES


def encoded(image: Image.Image, picture_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, picture_format, **options)
    return buffer.getvalue()


def png_of_size(width: int, height: int, rows: bytes) -> bytes:
    """A PNG whose header may promise what its data does not hold."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def noise(side: int = 200) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 255, (side, side, 3), np.uint8))


def animated() -> bytes:
    return encoded(noise(), "PNG", save_all=True, append_images=[noise(), noise()])


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: b"", "is no picture"),
        (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is no picture"),
        (lambda: b"GIF89a" + b"\0" * 100, "is no picture"),
        (lambda: b"\x00\x00\x00\x20ftypmp42" + b"\0" * 100, "is no picture"),
        (lambda: encoded(noise(), "PNG")[:3000], "damaged picture"),
        (lambda: encoded(noise(), "JPEG")[:3000], "damaged picture"),
        (lambda: encoded(noise(), "WEBP")[:3000], "(damaged|no) picture"),
        (lambda: encoded(noise(1), "PNG"), "1x1 is too small"),
        (lambda: png_of_size(30_000, 30_000, b""), "more than 64 megapixels"),
        (lambda: png_of_size(9_400, 9_400, b""), "9400x9400 has more than 16 megapixels"),
        (lambda: png_of_size(3_900, 3_900, b"\0" * 1000), "damaged picture"),
        (lambda: b"\0" * (MAX_BYTES + 1), "more than 32 MiB"),
    ],
)
def test_a_hostile_file_is_one_line(made: Callable[[], bytes], said: str) -> None:
    with pytest.raises(IdentityError, match=f"^mine.png: .*{said}") as caught:
        picture_process.decode(made(), "mine.png")
    assert "\n" not in str(caught.value)


def test_unusual_pictures_are_read() -> None:
    turned = Image.Exif()
    turned[274] = 6  # the camera was held upright
    assert picture_process.decode(
        encoded(noise().resize((200, 300)), "JPEG", exif=turned), "x"
    ).shape == (200, 300, 4)
    cmyk = encoded(noise().convert("CMYK"), "JPEG")
    assert picture_process.decode(cmyk, "x").shape == (200, 200, 4)
    assert picture_process.decode(animated(), "x").shape == (200, 200, 4), "its first picture"


def test_the_pixels_are_those_of_the_file() -> None:
    rgba = picture_process.decode(encoded(noise(), "PNG"), "x")
    np.testing.assert_array_equal(rgba[..., :3], np.asarray(noise()))
    assert (rgba[..., 3] == 255).all()


def test_a_picture_that_needs_too_much_memory_ends_its_own_process_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    side = 3500
    large = encoded(Image.new("RGB", (side, side)), "PNG")
    script = "from realtime import picture_process as p; p.MEMORY_BYTES = 120 << 20; p._answer()"
    _run_instead(monkeypatch, script)
    with pytest.raises(IdentityError, match="cannot be decoded with 768 MiB of memory in 1.5 s"):
        picture_process.decode(large, "x")


def many_scans() -> bytes:
    """A small file of 12 megapixels whose decoder goes over all of them thousands of times."""
    made = encoded(Image.new("RGB", (4000, 3000), (9, 99, 199)), "JPEG", progressive=True)
    last = made.rindex(b"\xff\xda")
    return made[:last] + made[last:-2] * 3000 + made[-2:]


def deep(width: int, height: int) -> bytes:
    """16 bits a colour, and opacity."""
    image = png_of_size(width, height, bytes((width * 8 + 1) * height))
    header = struct.pack(">IIBBBBB", width, height, 16, 6, 0, 0, 0)
    chunk = b"IHDR" + header
    return image[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + image[33:]


def cpu_s(picture: bytes) -> tuple[float, str]:
    """What a picture costs in its own process, and what is said of it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        said = str(picture_process.decode(picture, "x").shape)
    except IdentityError as error:
        said = str(error)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, said


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (many_scans, "save it anew, smaller"),
        (lambda: deep(4608, 3456), "(1536, 2048, 4)"),
        (
            lambda: encoded(Image.new("RGBA", (4608, 3456)), "WEBP", lossless=True),
            "(1536, 2048, 4)",
        ),
        (lambda: encoded(Image.new("RGB", (8160, 6120)), "JPEG"), "(1530, 2040, 4)"),
        (lambda: encoded(Image.new("CMYK", (8160, 6120)), "JPEG"), "(1530, 2040, 4)"),
        (lambda: encoded(Image.new("P", (4608, 3456)), "PNG"), "(1536, 2048, 4)"),
        (lambda: deep(4700, 3456), "4700x3456 has more than 16 megapixels, the most for PNG"),
    ],
)
def test_every_picture_is_answered_within_two_seconds_of_a_processor(
    made: Callable[[], bytes], said: str
) -> None:
    spent_s, answer = cpu_s(made())
    assert said in answer
    assert spent_s < 2


def test_a_decoder_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_process, "PATIENCE_S", 0.5)
    _run_instead(monkeypatch, "import time; time.sleep(60)")
    with pytest.raises(IdentityError, match="takes too long"):
        picture_process.decode(b"x", "x")


def test_the_decoder_has_no_secrets_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("REENACTD_SECRET", "x")
    script = (
        "import os, sys; from realtime import picture_process as p\n"
        "assert 'REENACTD_SECRET' not in os.environ and 'HOME' not in os.environ\n"
        "sys.stdin = open(os.devnull)\n"
        "p._answer()\n"
        f"file = open('{tmp_path}/x', 'w'); file.write('x'); file.flush()"
    )
    _run_instead(monkeypatch, script)
    with pytest.raises(IdentityError, match="x: is no picture"):
        picture_process.decode(b"x", "x")
    with open(f"{tmp_path}/x") as file:
        assert file.read() == ""


def _run_instead(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Another program in the decoder's place."""
    run = subprocess.run

    def other(command: list[str], **options: Any) -> object:
        return run([command[0], "-c", script], **options)

    monkeypatch.setattr(subprocess, "run", other)
