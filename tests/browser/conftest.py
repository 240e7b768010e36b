"""A headless Chromium whose camera is a performer clip, and pages that must stay without errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Playwright,
    ViewportSize,
    sync_playwright,
)

from realtime.bench.chromium import SWITCHES as SWITCHES
from realtime.bench.chromium import find_chromium as chromium_of
from realtime.errors import StartupError
from tests.browser.clips import write_fake_camera

PERFORMER = Path(__file__).parents[1] / "data" / "performers" / "performer1.mp4"
DRAWING_SWITCHES = (
    *(switch for switch in SWITCHES if switch != "--disable-gpu"),
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
"""with WebGL, drawn by the processor"""
FAKE_DEVICE = "--use-fake-device-for-media-stream"
STATES = Path(__file__).parents[2] / "build" / "page-states"
DESKTOP: ViewportSize = {"width": 1280, "height": 800}


@dataclass
class Visit:
    """A page, and what must not happen on it."""

    page: Page
    faults: list[str] = field(default_factory=list)
    """console errors, exceptions, CSP violations"""
    foreign: list[str] = field(default_factory=list)
    """requests to any other host than the daemon"""
    unanswered: bool = False
    """the test makes requests fail, and the console may say so"""

    def excuses(self, fault: str) -> bool:
        return self.unanswered and fault.startswith("error: Failed to load resource")


Open = Callable[..., Visit]


def find_chromium(playwright: Playwright) -> str:
    """A Chromium that runs; Playwright's own counts."""
    try:
        return chromium_of(playwright.chromium.executable_path)
    except StartupError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    # Not for the whole session: its event loop must be gone when asynchronous tests run.
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def camera_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("camera") / "performer.y4m"
    write_fake_camera(PERFORMER, path)
    return path


@pytest.fixture(scope="module")
def chromium(playwright: Playwright, camera_file: Path) -> Iterator[Browser]:
    arguments = [*SWITCHES, FAKE_DEVICE, f"--use-file-for-fake-video-capture={camera_file}"]
    browser = playwright.chromium.launch(
        executable_path=find_chromium(playwright), args=arguments, chromium_sandbox=False
    )
    yield browser
    browser.close()


@pytest.fixture
def visit(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Open a page: `visit(url, permissions=[], viewport=...)`; checked when the test ends.

    How it then looks is kept in build/page-states.
    """
    contexts: list[BrowserContext] = []
    visits: list[Visit] = []

    def open_page(
        url: str, *, browser: Browser | None = None, init_script: str = "", **options: object
    ) -> Visit:
        settings = {"viewport": DESKTOP, "permissions": ["camera"], **options}
        context = (browser or chromium).new_context(**settings)  # type: ignore[arg-type]
        contexts.append(context)
        if init_script:
            context.add_init_script(init_script)
        visits.append(watched(context.new_page(), url))
        visits[-1].page.goto(url)
        return visits[-1]

    yield open_page
    barriers: list[str] = []
    for number, entry in enumerate(visits):
        if not entry.page.is_closed():
            barriers += found_barriers(entry.page)
            entry.page.emulate_media(color_scheme="dark")
            barriers += found_barriers(entry.page, {"runOnly": ["color-contrast"]})
            entry.page.screenshot(path=STATES / f"{_file_name(request.node.name)}_{number}.png")
    for context in contexts:
        context.close()
    assert barriers == []
    for entry in visits:
        assert [fault for fault in entry.faults if not entry.excuses(fault)] == []
        assert entry.foreign == []


def found_barriers(page: Page, options: Mapping[str, object] = MappingProxyType({})) -> list[str]:
    """What axe-core finds on a page that keeps somebody from using it: serious and worse."""
    result = Axe().run(page, options={"resultTypes": ["violations"], **options})
    return [
        f"{found['impact']}: {found['help']}: {node['html']}"
        for found in result.response["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]


def _file_name(test: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", test).strip("-")


def watched(page: Page, url: str) -> Visit:
    entry = Visit(page)
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"

    def on_console(text: str, kind: str) -> None:
        if kind in ("error", "warning"):
            entry.faults.append(f"{kind}: {text}")

    def on_request(address: str) -> None:
        if not address.startswith((origin, "blob:", "data:")):
            entry.foreign.append(address)

    page.on("console", lambda message: on_console(message.text, message.type))
    page.on("pageerror", lambda error: entry.faults.append(f"exception: {error}"))
    page.on("request", lambda request: on_request(request.url))
    return entry
