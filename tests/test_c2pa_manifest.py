"""Manifests: what is signed here is trusted here; a changed bit shows; what is missing is said."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from realtime import c2pa_manifest
from realtime.c2pa_manifest import Claim, check_c2pa, seal
from realtime.errors import TrustError
from realtime.trust import Keyring
from tests.test_stretches import write_film

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("c2pa") is None, reason="needs the c2pa extra"
)
CLAIM = Claim("generated", "11" * 32, "22" * 32, "network", "33" * 32, "0123abcd", "0123abcd")
CLIP = Path(__file__).parent / "data" / "performers" / "performer1.mp4"


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return Path(shutil.copy(CLIP, tmp_path / "film.mp4"))


def flipped(path: Path, at: int, bit: int = 1) -> Path:
    data = bytearray(path.read_bytes())
    data[at] ^= bit
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["film.mp4", "still.png", "still.jpg", "still.webp"])
def test_a_sealed_file_is_trusted_here_and_valid_elsewhere(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith(".mp4"):
        shutil.copy(CLIP, path)
    else:
        Image.new("RGB", (64, 64), (90, 60, 40)).save(path)
    assert check_c2pa(path).state == "absent"
    seal(path, CLAIM, name)
    check = check_c2pa(path)
    assert (check.state, check.claim) == ("trusted", CLAIM)
    elsewhere = Keyring(tmp_path / "elsewhere")
    elsewhere.media_keys()
    check = check_c2pa(path, elsewhere)
    assert (check.state, check.claim) == ("valid", CLAIM)
    assert "another installation" in check.reason
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == [name]


def test_it_stays_trusted_when_the_keys_change(film: Path) -> None:
    seal(film, CLAIM, film.name)
    Keyring().rotate()
    assert check_c2pa(film).state == "trusted"


def test_a_flipped_bit_in_the_pictures_shows(film: Path) -> None:
    seal(film, CLAIM, film.name)
    media = film.read_bytes().rfind(b"mdat") + 5000
    check = check_c2pa(flipped(film, media))
    assert (check.state, check.claim) == ("invalid", None)
    assert "assertion.bmffHash.mismatch" in check.reason


def test_a_flipped_bit_in_the_manifest_shows(film: Path) -> None:
    seal(film, CLAIM, film.name)
    at = film.read_bytes().find(CLAIM.consent_sha256.encode())
    assert at > 0
    check = check_c2pa(flipped(film, at + 7))
    assert check.state == "invalid" and "assertion.hashedURI.mismatch" in check.reason


def sealed(path: Path) -> Path:
    if path.suffix == ".mp4":
        shutil.copy(CLIP, path)
    else:
        Image.new("RGB", (64, 64), (90, 60, 40)).save(path)
    seal(path, CLAIM, path.name)
    return path


@pytest.mark.parametrize("name", ["still.png", "film.mp4"])
def test_a_flipped_bit_anywhere_in_the_manifest_shows(tmp_path: Path, name: str) -> None:
    """From the box's or the chunk's length to its last byte, with the room that nobody signs."""
    path = tmp_path / name
    if name == "film.mp4":
        seal(write_film(path, 1), CLAIM, name)
    else:
        sealed(path)
    whole = path.read_bytes()
    begin, end = region(whole)
    heads = [*range(begin, begin + 60, 3), *range(end - 80, end, 9)]
    edges = [at for mark in (b"jumdc2", b"cbor", b"cpad") for at in places(whole, mark)]
    evenly = range(begin, end, (end - begin) // 40)
    unnoticed = []
    for number, at in enumerate(sorted({*heads, *edges, *evenly})):
        flipped(path, at, 1 << number % 8)
        if check_c2pa(path).state != "invalid":
            unnoticed.append((at - begin, whole[at - 8 : at + 8]))
        path.write_bytes(whole)
    assert unnoticed == []
    assert check_c2pa(path).state == "trusted"


def region(whole: bytes) -> tuple[int, int]:
    """Of the chunk with its checksum, or of the box."""
    if whole.startswith(b"\x89PNG"):
        begin = whole.index(b"caBX") - 4
        return begin, begin + 12 + int.from_bytes(whole[begin : begin + 4], "big")
    begin = whole.index(b"uuid") - 4
    return begin, begin + int.from_bytes(whole[begin : begin + 4], "big")


def places(whole: bytes, mark: bytes) -> list[int]:
    return [found.start() + byte for found in re.finditer(mark, whole) for byte in (0, 3, 5)]


def test_a_manifest_within_a_film_of_its_own_is_not_this_films(tmp_path: Path, film: Path) -> None:
    """A cover picture, say, that is signed itself."""
    cover = sealed(tmp_path / "cover.png").read_bytes()
    with film.open("ab") as file:
        file.write((len(cover) + 8).to_bytes(4, "big") + b"mdat" + cover)
    assert check_c2pa(film).state == "absent"


@pytest.mark.parametrize("name", ["still.png", "still.jpg", "still.mp4", "still.bin", "still"])
def test_the_kind_of_a_file_is_in_its_bytes_not_in_its_name(tmp_path: Path, name: str) -> None:
    path = sealed(tmp_path / "x.png").rename(tmp_path / name)
    assert check_c2pa(path).state == "trusted"
    film = sealed(tmp_path / "x.mp4").rename(path)
    assert check_c2pa(film).state == "trusted"
    assert check_c2pa(flipped(film, film.read_bytes().rfind(b"mdat") + 5000)).state == "invalid"


def test_a_manifest_of_somebody_else_is_not_ours(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trusted or not, without our assertion or with another source type it says nothing of us."""
    manifest = c2pa_manifest._manifest

    def other(claim: Claim, title: str) -> str:
        said: dict[str, Any] = json.loads(manifest(claim, title))
        said["assertions"][0]["data"]["actions"][0]["digitalSourceType"] = (
            "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
        )
        return json.dumps(said)

    monkeypatch.setattr(c2pa_manifest, "_manifest", other)
    seal(film, CLAIM, film.name)
    check = check_c2pa(film)
    assert (check.state, check.claim) == ("valid", None)
    assert "not reenactd's" in check.reason


def test_the_manifest_names_nobody(film: Path) -> None:
    seal(film, CLAIM, film.name)
    import c2pa

    with film.open("rb") as file, c2pa.Reader("video/mp4", file) as reader:
        said = reader.json()
    assert "trainedAlgorithmicMedia" in said and "c2pa.watermarked.unbound" in said
    assert "c2pa.created" in said and "coral" not in said


@pytest.mark.parametrize("length", [0, 100, 5000])
def test_what_cannot_be_read_is_no_stack_trace(film: Path, length: int) -> None:
    film.write_bytes(film.read_bytes()[:length])
    check = check_c2pa(film)
    assert check.state == "absent"
    try:
        seal(film, CLAIM, film.name)
    except TrustError as error:
        assert "cannot be written" in str(error) and film.stat().st_size == length
    else:
        assert check_c2pa(film).state == "trusted", "what could be signed can be checked"


def test_a_sealed_file_that_was_cut_off_is_invalid(film: Path) -> None:
    seal(film, CLAIM, film.name)
    film.write_bytes(film.read_bytes()[:-5000])
    assert check_c2pa(film).state == "invalid"


def test_other_kinds_and_missing_files(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("x")
    assert check_c2pa(text).state == "unsupported"
    with pytest.raises(TrustError, match="carries no manifest"):
        seal(text, CLAIM, "notes.txt")
    with pytest.raises(TrustError, match="there is no such file"):
        check_c2pa(tmp_path / "none.mp4")


def test_without_the_extra_the_way_to_it_is_said(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(c2pa_manifest, "is_installed", lambda: False)
    check = check_c2pa(film)
    assert check.state == "unavailable" and "pip install 'reenactd[c2pa]'" in check.reason
    with pytest.raises(TrustError, match="pip install"):
        seal(film, CLAIM, film.name)
