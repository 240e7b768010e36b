"""How the command line finds the running daemon, and what it says when it cannot."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from realtime.access import find_token, load_token
from realtime.client import Absent, Address, Unanswered, find, get, who_performs
from realtime.config import Config, state_directory
from realtime.errors import ConfigError, StartupError
from tests.helpers import TOKEN, config_with


@contextmanager
def answering(status: int, body: str, **headers: str) -> Iterator[Address]:
    """A server that says the same to everybody."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Authorization"])
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    asked: list[str] = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Address(f"http://127.0.0.1:{server.server_address[1]}", TOKEN)
        assert asked == [f"Bearer {TOKEN}"]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_daemon_is_where_the_settings_put_it() -> None:
    token = load_token(state_directory() / "token")
    assert find(Config(), None) == Address("http://127.0.0.1:8700", token)
    six = config_with(server={"host": "::1", "port": 9000})
    assert find(six, None).url == "http://[::1]:9000"


def test_the_token_is_read_where_the_settings_keep_it(tmp_path: Path) -> None:
    token = load_token(tmp_path / "mine")
    config = config_with(server={"token_file": tmp_path / "mine"})
    assert find(config, "http://localhost:9000/") == Address("http://localhost:9000", token)


def test_the_printed_url_is_enough() -> None:
    address = find(Config(), f"http://127.0.0.1:4321/#token={TOKEN}")
    assert address == Address("http://127.0.0.1:4321", TOKEN)
    assert TOKEN not in repr(address)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://192.0.2.7:8700/", "sent in the open; use https"),
        ("http://example.org/", "sent in the open; use https"),
        ("127.0.0.1:8700", "must be as http://"),
        ("file:///etc/passwd", "must be as http://"),
    ],
)
def test_a_url_to_which_no_token_goes(url: str, said: str) -> None:
    load_token(state_directory() / "token")
    with pytest.raises(ConfigError, match=said):
        find(Config(), url)


def test_a_port_left_to_chance_needs_the_url() -> None:
    with pytest.raises(ConfigError, match="give the printed URL as --url"):
        find(config_with(server={"port": 0}), None)


def test_a_daemon_that_never_ran_here_has_no_token_and_none_is_made() -> None:
    path = state_directory() / "token"
    with pytest.raises(StartupError, match="`reenactd serve` makes it"):
        find(Config(), None)
    assert not path.exists()


def test_a_token_that_others_can_read_is_refused_here_too(tmp_path: Path) -> None:
    load_token(tmp_path / "token")
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(StartupError, match="chmod 600"):
        find_token(tmp_path / "token")
    (tmp_path / "link").symlink_to(tmp_path / "token")
    with pytest.raises(StartupError, match="cannot be used"):
        find_token(tmp_path / "link")


def test_nobody_there_is_one_line_with_the_fix() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unanswered, match="refused.*start it with `reenactd serve`") as caught:
        get(Address(f"http://127.0.0.1:{port}", TOKEN), "/api/status")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, "{}", "the token is not that of the daemon"),
        (404, "{}", "HTTP 404: no reenactd, or one of another release$"),
        (404, "<html>", "HTTP 404: no reenactd, or one of another release$"),
        (404, '{"error": "Not Found"}', "HTTP 404: no reenactd, or one of another release$"),
        (404, '{"error": "nobody performs now"}', "^nobody performs now$"),
        (409, '{"error": "a trace is being taken"}', "HTTP 409: a trace is being taken$"),
        (502, "<html>", "HTTP 502: <html>$"),
        (500, "[1]", r"HTTP 500: \[1\]$"),
    ],
)
def test_a_refusal_is_told_in_its_own_words(status: int, body: str, said: str) -> None:
    with answering(status, body) as address, pytest.raises(Unanswered, match=said):
        get(address, "/api/status")


def test_only_a_daemon_says_that_something_is_not_there() -> None:
    with answering(404, '{"error": "nobody performs now"}') as address:
        with pytest.raises(Absent):
            get(address, "/api/status")
    for status, body in ((404, "<html>"), (409, '{"error": "there is none"}'), (429, "{}")):
        with answering(status, body) as address, pytest.raises(Unanswered) as caught:
            get(address, "/api/status")
        assert not isinstance(caught.value, Absent)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("[]", "none is running"),
        (
            '[{"session": "abc123", "name": "stage"}, {"session": "def456", "name": "def456"}]',
            "there are: abc123 (stage), def456",
        ),
    ],
)
def test_who_performs_is_told_by_id_and_name(body: str, said: str) -> None:
    with answering(200, body) as address:
        assert who_performs(address) == said


def test_the_token_follows_no_redirect(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(302, "", Location="http://127.0.0.1:9/") as address:
        with pytest.raises(Unanswered, match="HTTP 302"):
            get(address, "/api/status")


def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with answering(200, "hello") as address:
        assert get(address, "/api/status") == "hello"
