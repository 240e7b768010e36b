"""A headless Chromium whose camera is a performer clip, and pages that must stay without errors.

One Playwright and one Chromium serve all tests that follow each other; each visit has a context of
its own, which shares nothing with others. They end before a test comes that uses neither, because
Playwright's event loop must be gone when an asynchronous test runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
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
from tests.browser.scripted_daemon import ScriptedDaemon
from tests.browser.states import kept, was_kept

PERFORMER = Path(__file__).parents[1] / "data" / "performers" / "performer1.mp4"
DRAWING_SWITCHES = (
    *(switch for switch in SWITCHES if switch != "--disable-gpu"),
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
"""with WebGL, drawn by the processor"""
FAKE_DEVICE = "--use-fake-device-for-media-stream"
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
LAST = "test_page_states.py"
FORGET_YOUNGER = """
const forget = (what, names) => names.forEach((name) => delete what[name]);
forget(AbortSignal, ["any"]);
forget(Array, ["fromAsync"]);
forget(Array.prototype, ["toSorted", "toReversed", "toSpliced", "with"]);
forget(Map, ["groupBy"]);
forget(Object, ["groupBy"]);
forget(Promise, ["try", "withResolvers"]);
forget(Response, ["json"]);
forget(Set.prototype, ["union", "intersection", "difference", "isSubsetOf"]);
forget(URL, ["canParse", "parse"]);
"""
"""What came after Chromium 103, which OBS 28 to 30 have inside, and could stand in our scripts."""


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


class Held:
    """What outlives a test, and a module."""

    def __init__(self) -> None:
        self._playwright: Playwright | None = None
        self._chromium: Browser | None = None

    def playwright(self) -> Playwright:
        if self._playwright is None:
            self._playwright = sync_playwright().start()
        return self._playwright

    def chromium(self, camera_file: Path) -> Browser:
        if self._chromium is None or not self._chromium.is_connected():
            playwright = self.playwright()
            arguments = [*SWITCHES, FAKE_DEVICE, f"--use-file-for-fake-video-capture={camera_file}"]
            self._chromium = playwright.chromium.launch(
                executable_path=find_chromium(playwright), args=arguments, chromium_sandbox=False
            )
        return self._chromium

    def end(self) -> None:
        chromium, playwright = self._chromium, self._playwright
        self._chromium = self._playwright = None
        if chromium is not None:
            chromium.close()
        if playwright is not None:
            playwright.stop()


_HELD = Held()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """After the fixtures' own ends. A module's fixtures hold what they were given."""
    same = nextitem is not None and nextitem.path == item.path
    if not same and "playwright" not in getattr(nextitem, "fixturenames", ()):
        _HELD.end()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Where the run was ended early."""
    _HELD.end()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What counts the states that were kept comes after all that keep one."""
    items.sort(key=lambda item: item.path.name == LAST)


@pytest.fixture(scope="module")
def playwright() -> Playwright:
    return _HELD.playwright()


@pytest.fixture(scope="session")
def camera_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("camera") / "performer.y4m"
    write_fake_camera(PERFORMER, path)
    return path


@pytest.fixture(scope="module")
def chromium(playwright: Playwright, camera_file: Path) -> Browser:
    return _HELD.chromium(camera_file)


@pytest.fixture
def launch(playwright: Playwright) -> Iterator[Callable[..., Browser]]:
    """Start another Chromium, which ends with the test; ask for it before `visit`."""
    started: list[Browser] = []

    def launched(*switches: str) -> Browser:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(playwright),
            args=[*SWITCHES, *switches],
            chromium_sandbox=False,
        )
        started.append(browser)
        return browser

    yield launched
    for browser in started:
        browser.close()


@pytest.fixture(scope="module")
def scripted() -> Iterator[ScriptedDaemon]:
    started = ScriptedDaemon()
    yield started
    started.stop()


@pytest.fixture
def daemon(scripted: ScriptedDaemon) -> Iterator[ScriptedDaemon]:
    """As freshly begun: an empty script, and nobody connected."""
    scripted.renew()
    yield scripted
    scripted.renew()


@pytest.fixture
def visit(playwright: Playwright, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Open a page: `visit(url, permissions=[], viewport=...)`; checked when the test ends.

    A page of which the test kept no state is looked at as it then is. It must still be open.
    """
    contexts: list[BrowserContext] = []
    visits: list[Visit] = []

    def open_page(
        url: str, *, browser: Browser | None = None, init_script: str = "", **options: object
    ) -> Visit:
        settings = {"viewport": DESKTOP, "permissions": ["camera"], **options}
        own = browser or request.getfixturevalue("chromium")
        context = own.new_context(**settings)  # type: ignore[arg-type]
        contexts.append(context)
        context.add_init_script(FORGET_YOUNGER + init_script)
        visits.append(watched(context.new_page(), url))
        visits[-1].page.goto(url)
        return visits[-1]

    yield open_page
    try:
        for number, entry in enumerate(visits):
            assert not entry.page.is_closed(), "closed before anybody looked at how it was"
            if not was_kept(entry.page):
                kept(entry.page, f"{_file_name(request.node.name)}_{number}", listed=False)
    finally:
        for context in contexts:
            context.close()
    for entry in visits:
        assert [fault for fault in entry.faults if not entry.excuses(fault)] == []
        assert entry.foreign == []


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
