"""A foreign page in the same browser, and a name that is made to point here: neither gets in."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, Playwright

from realtime.client import find
from realtime.config import Config
from tests.browser.conftest import SWITCHES, find_chromium
from tests.helpers import FakeStudio, config_with
from tests.running import Running

pytestmark = pytest.mark.browser

REACHES = """async ([url, options]) => {
  try {
    const answer = await fetch(url, options);
    return `${answer.status}`;
  } catch (error) {
    return error.name;
  }
}"""
LOADS = """([tag, address]) => new Promise((done) => {
  const element = document.createElement(tag);
  element.onload = () => done("loaded");
  element.onerror = () => done("refused");
  element.src = address;
  document.body.append(element);
})"""


@pytest.fixture(scope="module")
def daemon() -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        running = Running(patch, FakeStudio(), config_with(server={"port": 0}))
        deadline_s = time.monotonic() + 20
        while len(running.lines) < 2:
            assert time.monotonic() < deadline_s, "the daemon does not listen after 20 s"
            time.sleep(0.01)
        yield running
        running.stop()


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The attacker's own, on another port of the same machine."""

    class Blank(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802 - the library's name
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>another site</title><body>")

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Blank)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(chromium: Browser, site: str) -> Iterator[Page]:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(site)
    yield page
    context.close()


def sessions(daemon: Running) -> int:
    address = find(Config(), daemon.url)
    headers = {"Authorization": f"Bearer {address.token}"}
    return int(httpx.get(f"{address.url}/api/status", headers=headers).json()["sessions"])


@pytest.mark.parametrize("token", ["", "stolen"])
def test_another_sites_page_reads_nothing(page: Page, daemon: Running, token: str) -> None:
    """Not even with the right token: the browser asks first (a preflight), and is not answered."""
    address = find(Config(), daemon.url)
    headers = {"Authorization": f"Bearer {address.token}"} if token else {}
    for path in ("/", "/api/status", "/api/sessions", "/metrics", "/healthz"):
        found = page.evaluate(REACHES, [f"{address.url}{path}", {"headers": headers}])
        assert found == "TypeError", path
    offer = {**headers, "Content-Type": "application/sdp"}
    posted = {"method": "POST", "headers": offer, "body": "v=0"}
    assert page.evaluate(REACHES, [f"{address.url}/whip", posted]) == "TypeError"
    for method in ("PATCH", "DELETE"):
        changed = {"method": method, "headers": headers}
        assert page.evaluate(REACHES, [f"{address.url}/whip/x", changed]) == "TypeError"


def test_what_a_page_may_send_without_asking_changes_nothing(page: Page, daemon: Running) -> None:
    """Simple requests reach the daemon (no browser prevents that), and are refused by it."""
    address = find(Config(), daemon.url)
    blind = {"method": "POST", "mode": "no-cors", "body": "v=0"}
    assert page.evaluate(REACHES, [f"{address.url}/whip", blind]) == "TypeError", "nor read"
    with page.expect_response(f"{address.url}/whip") as posted:
        page.evaluate(
            """(address) => {
              const form = document.createElement("form");
              form.method = "post";
              form.enctype = "text/plain";
              form.action = address;
              document.body.append(form);
              form.submit();
            }""",
            f"{address.url}/whip",
        )
    assert posted.value.status == 403
    assert sessions(daemon) == 0


@pytest.mark.parametrize(
    ("tag", "path"), [("script", "/main.js"), ("script", "/throttle.js"), ("img", "/icon.svg")]
)
def test_nothing_of_the_daemons_is_shown_or_run_elsewhere(
    page: Page, daemon: Running, tag: str, path: str
) -> None:
    address = find(Config(), daemon.url)
    assert page.evaluate(LOADS, [tag, f"{address.url}{path}"]) == "refused"


def test_the_page_is_not_framed(page: Page, daemon: Running) -> None:
    """Else a click on another site's page could press "start" in ours (clickjacking)."""
    page.evaluate(LOADS, ["iframe", find(Config(), daemon.url).url])
    [framed] = page.main_frame.child_frames
    framed.wait_for_url("chrome-error://**", wait_until="commit")
    assert framed.locator("#power").count() == 0


def test_a_name_that_is_made_to_point_here_is_not_served(
    playwright: Playwright, daemon: Running
) -> None:
    """DNS rebinding: the browser then takes the daemon for the attacker's own site."""
    address = find(Config(), daemon.url)
    port = address.url.rpartition(":")[2]
    browser = playwright.chromium.launch(
        executable_path=find_chromium(playwright),
        args=[*SWITCHES, "--host-resolver-rules=MAP rebound.test 127.0.0.1"],
        chromium_sandbox=False,
    )
    try:
        page = browser.new_page()
        answer = page.goto(f"http://rebound.test:{port}/")
        assert answer is not None and answer.status == 421
        assert "rebound.test" in page.inner_text("body")
        headers = {"Authorization": f"Bearer {address.token}"}
        own = f"http://rebound.test:{port}/api/status"
        assert page.evaluate(REACHES, [own, {"headers": headers}]) == "421"
    finally:
        browser.close()
