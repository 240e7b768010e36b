"""Who may talk to the daemon: token files, hosts, origins."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from realtime.access import host_name, is_loopback, load_token, same_origin
from realtime.errors import StartupError


def test_a_token_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "state" / "token"
    token = load_token(path)
    assert len(token) >= 43, "256 bits in base64"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert load_token(path) == token
    assert load_token(tmp_path / "other") != token


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    load_token(path)
    path.chmod(0o644)
    with pytest.raises(StartupError, match=r"mode 0644.*chmod 600"):
        load_token(path)


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 20 + b" " + b"y" * 20, b"\xff" * 40])
def test_a_damaged_token_file_is_refused_with_the_fix(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(StartupError, match=str(path)):
        load_token(path)


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    load_token(elsewhere)
    (tmp_path / "token").symlink_to(elsewhere)
    with pytest.raises(StartupError):
        load_token(tmp_path / "token")


def test_an_unwritable_place_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StartupError, match="cannot be used"):
        load_token(tmp_path / "file" / "token")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.3.2.1", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("192.168.1.5", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost:8700", "localhost"),
        ("LOCALHOST", "localhost"),
        ("127.0.0.1:1", "127.0.0.1"),
        ("[::1]:8700", "[::1]"),
        ("[::1]", "[::1]"),
        ("evil.example:8700", "evil.example"),
        ("127.0.0.1.evil.example", "127.0.0.1.evil.example"),
        ("evil.example:80@127.0.0.1", "evil.example:80@127.0.0.1"),
        ("", ""),
    ],
)
def test_host_names(header: str, name: str) -> None:
    assert host_name(header) == name


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://127.0.0.1:8700", True),
        ("http://127.0.0.1:9999", False),
        ("http://127.0.0.1", False),
        ("https://evil.example", False),
        ("null", False),
        ("file://", False),
        ("", False),
        ("http://127.0.0.1:8700.evil.example", False),
    ],
)
def test_origins(origin: str, expected: bool) -> None:
    assert same_origin(origin, "127.0.0.1:8700") is expected
