"""A headless Chromium as a client of `bench glass`: a real browser's encoder, network and screen.

The page (`glass_page.js`) makes the camera and keeps both clocks; signalling goes through here, so
that the page talks to nobody else. Needs Playwright, which drives any installed Chromium.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from realtime.errors import StartupError

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page, Playwright

SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PAGE = Path(__file__).with_name("glass_page.js")
_HTML = b"<!doctype html><title>bench</title><video muted autoplay playsinline></video>"


def find_chromium(own: str) -> str:
    """The path of an installed Chromium that runs; `own` is where Playwright would keep its.

    Raises:
        StartupError: there is none.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    for path in [*(shutil.which(name) for name in names), own]:
        if path is None or not Path(path).exists():
            continue
        # some systems have a script of that name that only tells where to get one
        if subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0:
            return path
    raise StartupError(
        "no Chromium was found: apt-get install chromium, or python -m playwright install chromium"
    )


class Chromium:
    """One browser, open while entered; one page per connection.

    Raises:
        StartupError: Playwright or Chromium is missing.
    """

    def __init__(self) -> None:
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._server: asyncio.Server | None = None
        self._origin = ""
        self._clip = b""

    async def __aenter__(self) -> Chromium:
        try:
            from playwright.async_api import async_playwright
        except ImportError:
            raise StartupError(
                "the Chromium client needs Playwright: pip install playwright; "
                "or measure with --client aiortc"
            ) from None
        self._playwright = await async_playwright().start()
        path = find_chromium(self._playwright.chromium.executable_path)
        self._browser = await self._playwright.chromium.launch(
            executable_path=path, args=list(SWITCHES), chromium_sandbox=False
        )
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self._origin = "http://{}:{}".format(*self._server.sockets[0].getsockname())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._browser is not None:
            await self._browser.close()
        if self._server is not None:
            self._server.close()
        if self._playwright is not None:
            await self._playwright.stop()

    async def open(self, clip: bytes) -> Page:
        """A page that holds the bench, with the clip's raw I420 pictures at `/clip`."""
        assert self._browser is not None
        self._clip = clip
        page = await self._browser.new_page(viewport={"width": 1300, "height": 760})
        await page.goto(self._origin)
        await page.add_script_tag(content=_PAGE.read_text(encoding="utf-8"))
        return page

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request: too small a need for a server library, too large a body for the driver."""
        request = await reader.readuntil(b"\r\n\r\n")
        is_clip = request.startswith(b"GET /clip ")
        kind, body = ("application/octet-stream", self._clip) if is_clip else ("text/html", _HTML)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()
