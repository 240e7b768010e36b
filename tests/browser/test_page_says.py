"""What the page says in each state, before a stand-in for the daemon that can be put into all."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Playwright, Route, expect

from tests.browser.conftest import Open
from tests.browser.scripted_daemon import TOKEN, ScriptedDaemon
from tests.browser.states import kept
from tests.browser.steering import PATIENT, go_live, never, title

pytestmark = pytest.mark.browser

LIVE_STATES: tuple[tuple[dict[str, object], str, str, str], ...] = (
    ({"state": "START", "reason": "starting"}, "start", "Warming up", "Starting"),
    (
        {"state": "START", "calibrated": False},
        "calibrating",
        "Learning your neutral face",
        "Starting",
    ),
    ({"state": "CARD", "face": "none"}, "face-none", "No face in sight", "Card"),
    ({"state": "CARD", "face": "too_small"}, "face-too_small", "Your face is too small", "Card"),
    (
        {"state": "CARD", "face": "low_confidence"},
        "face-low_confidence",
        "Your face is hard to make out",
        "Card",
    ),
    (
        {"state": "CARD", "face": "implausible"},
        "face-implausible",
        "Your face is hard to follow",
        "Card",
    ),
    (
        {"state": "HOLD", "reason": "no new picture arrives"},
        "hold",
        "Holding the last frame",
        "Hold",
    ),
    ({"state": "CARD", "reason": "no new picture"}, "card", "Viewers see the card", "Card"),
    (
        {"unrecorded": "disk is full"},
        "unrecorded",
        "This session’s signed record cannot be written",
        "Live",
    ),
)
"""stats, key of WORDS, its title, the lamp's word"""
NO_CAMERA = """
navigator.mediaDevices.getUserMedia = async () => {
  throw Object.assign(new DOMException("made by the test", "%s"), { constraint: "width" });
};
"""

PHONE = "Pixel 7"
COME_FROM_A_CODE = f"sessionStorage.setItem('reenactd.token', '{TOKEN}');"
NO_DEVICES = "Object.defineProperty(Navigator.prototype, 'mediaDevices', { get: () => undefined });"


def loading(route: Route) -> None:
    """The daemon as it begins."""
    answer = route.fetch()
    route.fulfill(response=answer, json={**answer.json(), "engine": "loading"})


@pytest.mark.parametrize(
    ("fragment", "code", "words"),
    [
        ("", "token-missing", "The page needs its access token"),
        ("#token=not-the-right-one-at-all", "token-wrong", "The access token is not the right one"),
    ],
)
def test_token_can_be_pasted(
    daemon: ScriptedDaemon, visit: Open, fragment: str, code: str, words: str
) -> None:
    visited = visit(f"http://127.0.0.1:{daemon.port}/{fragment}")
    visited.unanswered = True
    title(visited.page, words)
    kept(visited.page, f"page_{code}")
    visited.page.fill("#token", daemon.url)
    visited.page.keyboard.press("Enter")
    title(visited.page, "Ready when you are")


def test_denied_camera_is_said_in_plain_words(daemon: ScriptedDaemon, visit: Open) -> None:
    page = visit(daemon.url, permissions=[]).page
    page.click("#notice-action")
    title(page, "The camera is not allowed")
    expect(page.locator("#status")).to_contain_text("allow the camera, then start again")
    kept(page, "page_camera-denied")


def test_absent_camera_is_said_in_plain_words(
    daemon: ScriptedDaemon, launch: Callable[..., Browser], visit: Open
) -> None:
    page = visit(daemon.url, browser=launch()).page
    page.click("#power")
    title(page, "No camera found")
    kept(page, "page_camera-absent")


@pytest.mark.parametrize(
    ("exception", "code", "words"),
    [
        ("NotReadableError", "camera-busy", "The camera is busy"),
        ("OverconstrainedError", "camera-unfit", "This camera cannot do it"),
        ("TypeError", "camera-failed", "The camera did not start"),
    ],
)
def test_camera_mistakes_are_said_in_plain_words(
    daemon: ScriptedDaemon, visit: Open, exception: str, code: str, words: str
) -> None:
    page = visit(daemon.url, init_script=NO_CAMERA % exception).page
    page.click("#power")
    title(page, words)
    kept(page, f"page_{code}")


def test_insecure_page_says_so(daemon: ScriptedDaemon, visit: Open) -> None:
    page = visit(daemon.url, init_script=NO_DEVICES).page
    page.click("#power")
    title(page, "The browser gives no camera here")
    kept(page, "page_insecure")


def test_what_only_passes_can_be_read_as_well(daemon: ScriptedDaemon, visit: Open) -> None:
    """The states between two others, held."""
    visited = visit(daemon.url, init_script=PATIENT)
    visited.unanswered = True
    page = visited.page
    title(page, "Ready when you are")
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = () => new Promise(() => {}); }")
    page.click("#power")
    title(page, "May the page use your camera?")
    kept(page, "page_asking")

    page.route("**/api/status", never)
    page.reload()
    title(page, "Looking for the daemon")
    kept(page, "page_checking")

    page.unroute("**/api/status")
    page.route("**/whip?*", never)
    page.reload()
    title(page, "Ready when you are")
    page.click("#power")
    title(page, "Connecting")
    kept(page, "page_connecting")

    page.route("**/api/status", loading)
    page.reload()
    title(page, "Ready when you are")
    page.click("#power")
    title(page, "The daemon is warming up")
    kept(page, "page_loading")

    page.unroute("**/whip?*")
    page.unroute("**/api/status")
    page.reload()
    title(page, "Ready when you are")
    go_live(page)
    page.route("**/api/status", never)
    daemon.drop()
    title(page, "The connection broke off")
    kept(page, "page_lost")


def test_a_camera_that_is_unplugged_is_said(daemon: ScriptedDaemon, visit: Open) -> None:
    page = visit(daemon.url).page
    go_live(page)
    ended = "track => track.dispatchEvent(new Event('ended'))"
    own = page.evaluate_handle("document.getElementById('self').srcObject.getVideoTracks()[0]")
    own.evaluate(ended)
    title(page, "The camera stopped")
    kept(page, "page_camera-ended")


def test_a_browser_that_is_too_old_is_told_so(daemon: ScriptedDaemon, visit: Open) -> None:
    page = visit(daemon.url).page
    expect(page.locator(".too-old")).to_be_hidden()

    def without(route: Route, known: str, unknown: str) -> None:
        answer = route.fetch()
        assert known in answer.text()
        route.fulfill(response=answer, body=answer.text().replace(known, unknown))

    for known, unknown in (("selector(:has(a))", "(x: y)"), ("@property", "@unheard-of")):
        page.route("**/style.css", functools.partial(without, known=known, unknown=unknown))
        page.reload()
        expect(page.locator(".too-old")).to_contain_text("too old for this page")
        expect(page.locator(".too-old")).to_be_visible()
        page.unroute("**/style.css")
    title(page, "Ready when you are")
    kept(page, "page_too-old")


def test_full_daemon_is_asked_again_until_there_is_room(
    daemon: ScriptedDaemon, visit: Open
) -> None:
    daemon.script.refuse_with = (503, "2 of 2 places are taken")
    visited = visit(daemon.url)
    visited.unanswered = True
    visited.page.click("#power")
    title(visited.page, "The daemon cannot take you yet")
    expect(visited.page.locator("#notice-text")).to_contain_text("2 of 2 places are taken.")
    kept(visited.page, "page_full")
    daemon.script.refuse_with = None
    expect(visited.page.locator("#stage[data-live=true]")).to_be_visible(timeout=15_000)


def test_refusal_shows_the_daemons_words(daemon: ScriptedDaemon, visit: Open) -> None:
    daemon.script.refuse_with = (400, "the offer has no video")
    visited = visit(daemon.url)
    visited.unanswered = True
    visited.page.click("#power")
    title(visited.page, "The daemon refused the connection")
    expect(visited.page.locator("#notice-text")).to_have_text("The offer has no video.")
    kept(visited.page, "page_refused")


def test_an_end_is_said_calmly_and_a_closed_session_with_its_reason(
    daemon: ScriptedDaemon, visit: Open
) -> None:
    page = visit(daemon.url, init_script=PATIENT).page
    go_live(page)
    daemon.say({"type": "ending", "within_s": 60})
    title(page, "The daemon is about to end")
    expect(page.locator("#notice-text")).to_contain_text("60 s at most. When it runs again")
    expect(page.locator("#notice[data-tone=waiting][data-over=false]")).to_be_visible()
    kept(page, "page_ending")
    page.route("**/api/status", never)  # else it comes back at once
    daemon.say({"type": "closed", "reason": "the daemon is shutting down"})
    title(page, "The daemon has ended")
    expect(page.locator("#notice[data-tone=waiting]")).to_contain_text("connects by itself")
    kept(page, "page_ended")
    page.unroute("**/api/status")
    page.click("#notice-action")
    expect(page.locator("#stage[data-live=true]")).to_be_visible(timeout=15_000)
    expect(page.locator("#notice")).to_be_hidden()
    page.route("**/api/status", never)
    daemon.say({"type": "closed", "reason": "the camera picture is 7680x4320"})
    title(page, "The daemon ended the session")
    expect(page.locator("#notice-text")).to_have_text("The camera picture is 7680x4320.")
    kept(page, "page_closed")


def test_live_states_are_said_under_the_picture(daemon: ScriptedDaemon, visit: Open) -> None:
    page = visit(daemon.url).page
    go_live(page)
    for stats, code, words, lamp in LIVE_STATES:
        daemon.script.stats = stats
        title(page, words)
        expect(page.locator("#lamp-word")).to_have_text(lamp)
        expect(page.locator("#notice[data-over=false]")).to_be_visible()
        kept(page, f"page_{code}")
    daemon.script.stats = {}
    expect(page.locator("#notice")).to_be_hidden()


def test_a_lower_quality_is_shown_and_its_reason_told(daemon: ScriptedDaemon, visit: Open) -> None:
    page = visit(daemon.url).page
    full = {"width": 640, "height": 480, "max_fps": None, "step": 0, "reason": ""}
    daemon.script.stats = {"quality": full}
    go_live(page)
    expect(page.locator("#quality")).to_have_text("640×480picture")
    expect(page.locator("#quality[data-lowered=false]")).to_be_visible()
    reason = "the machine keeps up with 14 of 20 fps"
    low = {"width": 320, "height": 240, "max_fps": 15, "step": 4, "reason": reason}
    daemon.script.stats = {"quality": low}
    expect(page.locator("#quality[data-lowered=true]")).to_have_text("320×240≤ 15 fps")
    told = f"Picture 320×240, at most 15 fps: {reason}"
    expect(page.locator("#quality")).to_have_attribute("title", told)
    kept(page, "page_lower-quality")


def test_where_another_program_tracks_no_camera_is_asked_for(
    daemon: ScriptedDaemon, visit: Open
) -> None:
    page = visit(daemon.url, init_script=NO_CAMERA % "NotFoundError", permissions=[]).page
    title(page, "Ready when you are")

    def driven_by_vmc(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "driver": "vmc"})

    page.route("**/api/status", driven_by_vmc)
    page.reload()
    title(page, "Ready when you are")
    go_live(page)


def test_the_phones_page_says_what_is_wrong(
    daemon: ScriptedDaemon, visit: Open, playwright: Playwright
) -> None:
    """What needs no TLS of it; the rest is test_phone.py's."""
    device = dict(playwright.devices[PHONE])
    device.pop("default_browser_type", None)
    address = f"http://127.0.0.1:{daemon.port}/phone.html"
    script = PATIENT + COME_FROM_A_CODE
    visited = visit(address, init_script=script, **device)
    visited.unanswered = True
    page = visited.page

    def said(words: str) -> None:
        expect(page.locator("#title")).to_have_text(words, timeout=15_000)

    page.route("**/api/status", loading)
    page.route("**/whip", never)
    page.reload()
    said("Ready when you are")
    page.tap("#power")
    said("The daemon is warming up")
    kept(page, "phone_loading")
    page.unroute("**/api/status")
    page.route("**/api/status", lambda route: route.abort())
    page.reload()
    said("The daemon does not answer")
    kept(page, "phone_gone")
    page.unroute("**/api/status")
    page.route("**/api/status", lambda route: route.fulfill(status=401, json={"error": "wrong"}))
    page.reload()
    said("This phone is not let in any more")
    kept(page, "phone_token-wrong")
    page.unroute("**/api/status")
    page.add_init_script(NO_DEVICES)
    page.reload()
    said("Ready when you are")
    page.tap("#power")
    said("The browser gives no camera here")
    kept(page, "phone_insecure")
