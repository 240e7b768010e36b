"""A web server on this machine that can be told to misbehave, and that serves as a proxy too."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Literal
from urllib.parse import urlsplit

import pytest

PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class Web:
    """What it serves, how it misbehaves, and what it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        """path -> content"""
        self.validator: Literal["etag", "weak etag", "date", "none"] = "etag"
        self.ranges = True
        """whether a Range is answered with that range, or with the whole file"""
        self.begins: int | None = None
        """where each range begins, whatever was asked for"""
        self.conditions = True
        """whether If-Range is understood"""
        self.lengths = True
        """whether a whole file comes with its length"""
        self.cuts: dict[str, list[int]] = {}
        """path -> after how many bytes each of the next answers breaks off"""
        self.refusals: dict[str, list[int]] = {}
        """path -> status of each of the next answers"""
        self.moved: dict[str, tuple[int, str]] = {}
        """path -> status and URL of a redirect"""
        self.asked: list[tuple[str, str]] = []
        """URL or path, and Range, of each request"""
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator[Web]:
        thread = Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def validating(self, content: bytes) -> tuple[str, str] | None:
        """The header that names this version of a file."""
        digest = hashlib.sha256(content).hexdigest()[:16]
        second = int(digest, 16) % 60
        return {
            "etag": ("ETag", f'"{digest}"'),
            "weak etag": ("ETag", f'W/"{digest}"'),
            "date": ("Last-Modified", f"Thu, 01 Jan 2026 00:00:{second:02} GMT"),
            "none": None,
        }[self.validator]


class _Server(ThreadingHTTPServer):
    def __init__(self, web: Web) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.web = web


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        web, path = self.server.web, urlsplit(self.path).path
        web.asked.append((self.path, self.headers.get("Range", "")))
        if web.refusals.get(path):
            self.send_error(web.refusals[path].pop(0))
        elif path in web.moved:
            status, target = web.moved[path]
            self.send_response(status)
            self.send_header("Location", target)
            self.end_headers()
        elif path not in web.files:
            self.send_error(404)
        else:
            self._send(path, web.files[path])

    def do_CONNECT(self) -> None:
        """What a proxy is asked for an encrypted line. There is none."""
        self.server.web.asked.append((f"CONNECT {self.path}", ""))
        self.send_error(403)

    def _send(self, path: str, content: bytes) -> None:
        web = self.server.web
        begin, validating = self._begin(content), web.validating(content)
        if begin is not None and begin >= len(content):
            self.send_error(416)
            return
        rest = content[begin or 0 :]
        self.send_response(200 if begin is None else 206)
        if begin is not None:
            last = len(content) - 1
            self.send_header("Content-Range", f"bytes {begin}-{last}/{len(content)}")
        if validating:
            self.send_header(*validating)
        if begin is not None or web.lengths:
            self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        cut = web.cuts[path].pop(0) if web.cuts.get(path) else None
        self.wfile.write(rest[:cut])

    def _begin(self, content: bytes) -> int | None:
        """Of the range to answer with; None is the whole file."""
        web, wanted = self.server.web, self.headers.get("Range")
        if not wanted or not web.ranges:
            return None
        condition, validating = self.headers.get("If-Range"), web.validating(content)
        if web.conditions and condition and validating and condition != validating[1]:
            return None
        asked = int(wanted.removeprefix("bytes=").removesuffix("-"))
        return asked if web.begins is None else web.begins

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A server that is reached directly, whatever proxy the environment names."""
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with Web().running() as web:
        yield web
