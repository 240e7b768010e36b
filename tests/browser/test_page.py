"""The page in every state, against a stand-in for the daemon that can be put into each of them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright._impl._driver import compute_driver_executable
from playwright.sync_api import Page, Playwright, Route, expect

from tests.browser.conftest import FAKE_DEVICE, SWITCHES, Open, find_chromium
from tests.browser.scripted_daemon import TOKEN, ScriptedDaemon

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
WINDOWS = ((360, 640), (390, 844), (768, 1024), (1024, 700), (1280, 800), (1920, 1080))
LIVE_STATES: tuple[tuple[dict[str, object], str, str], ...] = (
    ({"state": "CARD", "reason": "none", "face": "none"}, "No face in sight", "Card"),
    ({"state": "CARD", "reason": "x", "face": "too_small"}, "Your face is too small", "Card"),
    ({"state": "START", "calibrated": False}, "Learning your neutral face", "Starting"),
    ({"state": "HOLD", "reason": "no new picture arrives"}, "Holding the last frame", "Hold"),
    ({"state": "CARD", "reason": "no new picture"}, "Viewers see the card", "Card"),
    ({"unrecorded": "disk is full"}, "This session’s signed record cannot be written", "Live"),
)
NO_CAMERA = """
navigator.mediaDevices.getUserMedia = async () => {
  throw Object.assign(new DOMException("made by the test", "%s"), { constraint: "width" });
};
"""


@pytest.fixture
def daemon() -> Iterator[ScriptedDaemon]:
    started = ScriptedDaemon()
    yield started
    started.stop()


def title(page: Page, words: str) -> None:
    expect(page.locator("#notice-title")).to_have_text(words, timeout=15_000)


def go_live(page: Page) -> None:
    page.click("#power")
    expect(page.locator("#stage[data-live=true]")).to_be_visible(timeout=15_000)


def until(page: Page, condition: Callable[[], bool], what: str) -> None:
    for _ in range(100):
        if condition():
            return
        page.wait_for_timeout(50)
    pytest.fail(f"did not happen within 5 s: {what}", pytrace=False)


def test_pure_parts_hold() -> None:
    """The `node --test` files, with the Node.js that Playwright brings."""
    node, _ = compute_driver_executable()
    tests = sorted(str(path) for path in Path(__file__).parent.glob("*.test.mjs"))
    ran = subprocess.run([node, "--test", *tests], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


def test_avatar_runs_and_the_address_bar_loses_the_token(
    daemon: ScriptedDaemon, visit: Open
) -> None:
    page = visit(daemon.url).page
    title(page, "Ready when you are")
    assert TOKEN not in page.url
    go_live(page)
    expect(page.locator("#notice")).to_be_hidden()
    expect(page.locator("#lamp-word")).to_have_text("Live")
    expect(page.locator("#face")).to_have_text("face tracked")
    assert page.evaluate("document.getElementById('avatar').videoWidth") == 640
    page.reload()
    title(page, "Ready when you are")


@pytest.mark.parametrize(
    ("fragment", "words"),
    [
        ("", "The page needs its access token"),
        ("#token=not-the-right-one-at-all", "The access token is not the right one"),
    ],
)
def test_token_can_be_pasted(
    daemon: ScriptedDaemon, visit: Open, fragment: str, words: str
) -> None:
    visited = visit(f"http://127.0.0.1:{daemon.port}/{fragment}")
    visited.unanswered = True
    title(visited.page, words)
    visited.page.fill("#token", daemon.url)
    visited.page.keyboard.press("Enter")
    title(visited.page, "Ready when you are")


def test_denied_camera_is_said_in_plain_words(daemon: ScriptedDaemon, visit: Open) -> None:
    page = visit(daemon.url, permissions=[]).page
    page.click("#notice-action")
    title(page, "The camera is not allowed")
    expect(page.locator("#status")).to_contain_text("allow the camera, then start again")


def test_absent_camera_is_said_in_plain_words(
    daemon: ScriptedDaemon, visit: Open, playwright: Playwright
) -> None:
    bare = playwright.chromium.launch(
        executable_path=find_chromium(playwright), args=list(SWITCHES), chromium_sandbox=False
    )
    page = visit(daemon.url, browser=bare).page
    page.click("#power")
    title(page, "No camera found")
    bare.close()


@pytest.mark.parametrize(
    ("exception", "words"),
    [
        ("NotReadableError", "The camera is busy"),
        ("OverconstrainedError", "This camera cannot do it"),
        ("TypeError", "The camera did not start"),
    ],
)
def test_camera_mistakes_are_said_in_plain_words(
    daemon: ScriptedDaemon, visit: Open, exception: str, words: str
) -> None:
    page = visit(daemon.url, init_script=NO_CAMERA % exception).page
    page.click("#power")
    title(page, words)


def test_insecure_page_says_so(daemon: ScriptedDaemon, visit: Open) -> None:
    hide = "Object.defineProperty(Navigator.prototype, 'mediaDevices', { get: () => undefined });"
    page = visit(daemon.url, init_script=hide).page
    page.click("#power")
    title(page, "The browser gives no camera here")


def test_remembered_camera_that_is_gone_is_replaced_and_said(
    daemon: ScriptedDaemon, visit: Open
) -> None:
    page = visit(daemon.url).page
    page.evaluate("localStorage.setItem('reenactd.camera', 'no-such-device')")
    page.reload()
    go_live(page)
    expect(page.locator("#toast")).to_contain_text("The camera you chose last is not there")


def test_camera_is_changed_within_the_session_and_remembered(
    daemon: ScriptedDaemon, visit: Open, playwright: Playwright
) -> None:
    two_cameras = playwright.chromium.launch(
        executable_path=find_chromium(playwright),
        args=[*SWITCHES, f"{FAKE_DEVICE}=device-count=2"],
        chromium_sandbox=False,
    )
    page = visit(daemon.url, browser=two_cameras).page
    go_live(page)
    page.evaluate("window.firstStream = document.getElementById('avatar').srcObject")
    first = page.input_value("#device")
    page.select_option("#device", index=1)
    second = page.input_value("#device")
    assert first != second
    # there is no stream for a moment, while one camera is closed and the other opened
    own = "document.getElementById('self').srcObject"
    current = f"{own}?.getVideoTracks()[0].getSettings().deviceId"
    until(page, lambda: bool(page.evaluate(current) == second), "the second camera is on")
    expect(page.locator("#notice")).to_be_hidden()
    assert page.evaluate("window.firstStream === document.getElementById('avatar').srcObject")
    page.reload()
    go_live(page)
    assert page.evaluate(current) == second
    two_cameras.close()


def test_full_daemon_is_asked_again_until_there_is_room(
    daemon: ScriptedDaemon, visit: Open
) -> None:
    daemon.script.refuse_with = (503, "2 of 2 places are taken")
    visited = visit(daemon.url)
    visited.unanswered = True
    visited.page.click("#power")
    title(visited.page, "The daemon cannot take you yet")
    expect(visited.page.locator("#notice-text")).to_contain_text("2 of 2 places are taken.")
    daemon.script.refuse_with = None
    expect(visited.page.locator("#stage[data-live=true]")).to_be_visible(timeout=15_000)


def test_refusal_shows_the_daemons_words(daemon: ScriptedDaemon, visit: Open) -> None:
    daemon.script.refuse_with = (400, "the offer has no video")
    visited = visit(daemon.url)
    visited.unanswered = True
    visited.page.click("#power")
    title(visited.page, "The daemon refused the connection")
    expect(visited.page.locator("#notice-text")).to_have_text("The offer has no video.")


def test_what_the_browser_refuses_is_said_and_not_waited_for(
    daemon: ScriptedDaemon, visit: Open
) -> None:
    """A TURN server without a password: no browser makes a connection with one."""
    daemon.script.ice_servers = [{"urls": "turn:turn.example.org"}]
    visited = visit(daemon.url)
    visited.page.click("#power")
    title(visited.page, "The daemon refused the connection")
    expect(visited.page.locator("#notice-text")).to_contain_text("username")
    assert [fault for fault in visited.faults if "RTCPeerConnection" in fault]
    visited.faults.clear()  # the console shall have it


def test_page_reconnects_by_itself_and_keeps_camera_and_controls(
    daemon: ScriptedDaemon, visit: Open
) -> None:
    visited = visit(daemon.url)
    visited.unanswered = True
    page = visited.page
    go_live(page)
    page.locator("#slider-mouth").fill("1.5")
    page.evaluate("window.camera = document.getElementById('self').srcObject")
    daemon.stop()
    title(page, "The daemon does not answer")
    expect(page.locator("#lamp-word")).to_have_text("Reconnecting")
    assert page.evaluate("window.camera.getVideoTracks()[0].readyState") == "live"
    daemon.script.heard.clear()
    daemon.restart()
    expect(page.locator("#stage[data-live=true]")).to_be_visible(timeout=20_000)
    assert page.evaluate("window.camera === document.getElementById('self').srcObject")
    assert daemon.script.heard[0]["values"]["mouth"] == 1.5


def test_closed_session_shows_the_reason(daemon: ScriptedDaemon, visit: Open) -> None:
    page = visit(daemon.url).page
    go_live(page)
    daemon.say({"type": "closed", "reason": "the camera picture is 7680x4320"})
    title(page, "The daemon ended the session")
    expect(page.locator("#notice-text")).to_have_text("The camera picture is 7680x4320.")


def test_live_states_are_said_under_the_picture(daemon: ScriptedDaemon, visit: Open) -> None:
    page = visit(daemon.url).page
    go_live(page)
    for stats, words, lamp in LIVE_STATES:
        daemon.script.stats = stats
        title(page, words)
        expect(page.locator("#lamp-word")).to_have_text(lamp)
        expect(page.locator("#notice[data-over=false]")).to_be_visible()
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


def test_identity_shows_consent_and_switches_live(daemon: ScriptedDaemon, visit: Open) -> None:
    page = visit(daemon.url).page
    go_live(page)
    accent = page.evaluate(
        "getComputedStyle(document.documentElement).getPropertyValue('--accent-hue')"
    )
    page.keyboard.press("2")
    expect(page.locator("#toast")).to_have_text("Coral is on")
    expect(page.locator("#consent-name")).to_have_text("Coral")
    expect(page.locator("#consent-text")).to_contain_text("shows no real person")
    assert {"type": "identity", "id": "coral"} in daemon.script.heard
    page.wait_for_timeout(800)  # the lights change slowly
    assert accent != page.evaluate(
        "getComputedStyle(document.documentElement).getPropertyValue('--accent-hue')"
    )


def test_sliders_are_throttled_and_the_newest_wins(daemon: ScriptedDaemon, visit: Open) -> None:
    page = visit(daemon.url).page
    go_live(page)
    daemon.script.heard.clear()
    page.evaluate(
        """async () => {
          const slider = document.getElementById("slider-head");
          for (let at = 1; at <= 30; at++) {
            slider.value = at / 20;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
            await new Promise((done) => setTimeout(done, 5));
          }
        }"""
    )
    heard = daemon.script.heard
    until(page, lambda: bool(heard) and heard[-1]["values"]["head"] == 1.5, "the newest value")
    assert len(heard) <= 15


def test_controls_are_kept_and_reset(daemon: ScriptedDaemon, visit: Open) -> None:
    page = visit(daemon.url).page
    page.locator("#slider-gaze").fill("0.5")
    page.keyboard.press("m")
    page.locator("#background label", has_text="Real room").click()
    expect(page.locator("#background-hint")).to_contain_text("Viewers see all that is in it")
    page.reload()
    expect(page.locator("#slider-gaze")).to_have_value("0.5")
    expect(page.locator("#mirror")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#background input[value=camera]")).to_be_checked()
    page.locator(".slider", has_text="Gaze").dblclick(position={"x": 5, "y": 5})
    expect(page.locator("#slider-gaze")).to_have_value("1")
    page.locator("#slider-brows").fill("0")
    page.click("#reset")
    expect(page.locator("#slider-brows")).to_have_value("1")
    expect(page.locator("#background input[value=camera]")).to_be_checked()


def test_damaged_store_is_as_good_as_none(daemon: ScriptedDaemon, visit: Open) -> None:
    page = visit(daemon.url).page
    page.evaluate("localStorage.setItem('reenactd.controls', '{\"mouth\": 99, \"color\": 1')")
    page.reload()
    expect(page.locator("#slider-mouth")).to_have_value("1")


def test_everything_is_reached_by_keyboard_with_visible_focus(
    daemon: ScriptedDaemon, visit: Open
) -> None:
    page = visit(daemon.url).page
    title(page, "Ready when you are")
    page.keyboard.press("s")
    expect(page.locator("#stage[data-live=true]")).to_be_visible(timeout=15_000)
    seen: list[str] = []
    for _ in range(40):
        page.keyboard.press("Tab")
        focus = page.evaluate(
            """() => {
              const one = document.activeElement;
              const shown = [one, one.closest("label")].filter(Boolean);
              const rings = shown.some((node) => getComputedStyle(node).outlineStyle !== "none");
              return { key: one.id || one.name || null, rings };
            }"""
        )
        if focus["key"] is None or focus["key"] in seen:
            break  # once around
        assert focus["rings"], f"no visible focus on {focus['key']}"
        seen.append(focus["key"])
    sliders = ["expression", "mouth", "blink", "brows", "gaze", "head", "smoothing"]
    wanted = ["help-button", "power", "calibrate", "mirror", "full", "identity", "device", "reset"]
    assert {*wanted, *(f"slider-{name}" for name in sliders), "background"} <= set(seen)


def test_shortcuts_work_are_listed_and_can_be_switched_off(
    daemon: ScriptedDaemon, visit: Open
) -> None:
    page = visit(daemon.url).page
    title(page, "Ready when you are")
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    expect(page.locator("#keys dd")).to_have_count(12)
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    expect(page.locator("#stage[data-live=true]")).to_be_visible(timeout=15_000)
    page.keyboard.press("c")
    expect(page.locator("#toast")).to_have_text("Neutral face taken")
    page.keyboard.press("f")
    filling = "document.fullscreenElement?.id ?? null"
    until(page, lambda: bool(page.evaluate(filling) == "stage"), "the stage fills the screen")
    page.keyboard.press("f")
    until(page, lambda: page.evaluate(filling) is None, "the screen is given back")
    page.keyboard.press("s")
    title(page, "Ready when you are")
    page.keyboard.press("?")
    page.uncheck("#keys-on")
    page.keyboard.press("Escape")
    page.keyboard.press("m")
    expect(page.locator("#mirror")).to_have_attribute("aria-pressed", "false")


def test_slider_obeys_the_keyboard(daemon: ScriptedDaemon, visit: Open) -> None:
    page = visit(daemon.url).page
    page.focus("#slider-blink")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#slider-blink")).to_have_attribute("aria-valuetext", "105 %")
    page.keyboard.press("Delete")
    expect(page.locator("#slider-blink")).to_have_attribute("aria-valuetext", "100 %")


def test_page_fits_every_window(daemon: ScriptedDaemon, visit: Open) -> None:
    page = visit(daemon.url).page
    go_live(page)
    for width, height in WINDOWS:
        page.set_viewport_size({"width": width, "height": height})
        wide, tall = page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        )
        assert wide == width
        if (width, height) in ((1280, 800), (1920, 1080)):
            assert tall == height


def test_nothing_moves_where_motion_is_unwanted(daemon: ScriptedDaemon, visit: Open) -> None:
    daemon.script.refuse_with = (503, "full")
    visited = visit(daemon.url, reduced_motion="reduce")
    visited.unanswered = True
    visited.page.click("#power")
    title(visited.page, "The daemon cannot take you yet")
    assert visited.page.evaluate("document.getAnimations().length") == 0


def test_the_obs_link_may_watch_this_session_and_stays_the_same(
    daemon: ScriptedDaemon, visit: Open
) -> None:
    visited = visit(daemon.url, permissions=["camera", "clipboard-read", "clipboard-write"])
    page = visited.page
    expect(page.locator("#obs")).to_be_disabled()
    go_live(page)
    page.click("#obs")
    expect(page.locator("#obs-guide")).to_be_visible()
    expect(page.locator("#obs-copied")).to_have_text("Copied.")
    name = daemon.script.name
    link = f"http://127.0.0.1:{daemon.port}/view/{name}#view.{name}"
    assert page.input_value("#obs-link") == link
    assert page.evaluate("navigator.clipboard.readText()") == link
    expect(page.locator("#obs-size")).to_have_text("640 and 480")
    page.keyboard.press("Escape")
    page.reload()
    go_live(page)
    assert daemon.script.name == name, "OBS finds the session again after a reload"
    daemon.script.refuse_tokens = "this token has scope publish"
    visited.unanswered = True
    page.click("#obs")
    expect(page.locator("#toast")).to_contain_text("has scope publish")


def test_the_desk_is_light_by_day_and_pictures_stay_on_dark_ground(
    daemon: ScriptedDaemon, visit: Open
) -> None:
    """That it can be read is looked at when the visit ends, as for every page."""
    page = visit(daemon.url, color_scheme="light").page
    go_live(page)

    def lightness(selector: str) -> float:
        colour = page.locator(selector).evaluate(
            "element => getComputedStyle(element).backgroundColor"
        )
        return sum(map(int, re.findall(r"\d+", colour)[:3])) / (3 * 255)

    assert lightness(".panel >> nth=0") > 0.9
    assert lightness(".self") < 0.1
    page.emulate_media(color_scheme="dark")
    assert lightness(".panel >> nth=0") < 0.15


def test_a_preset_brings_a_whole_look_back(daemon: ScriptedDaemon, visit: Open) -> None:
    page = visit(daemon.url).page
    go_live(page)
    preset = page.locator("#preset")
    expect(preset).to_be_disabled()
    expect(page.locator("#preset-drop")).to_be_hidden()
    page.locator("#slider-mouth").fill("1.5")
    page.locator("#background label", has_text="Colour").click()
    page.locator(".card", has_text="Coral").click()
    page.click("#preset-keep")
    page.fill("#preset-name", "  Talk show ")
    page.keyboard.press("Enter")
    expect(page.locator("#preset-form")).to_be_hidden()
    expect(preset).to_have_value("Talk show")
    page.click("#reset")
    page.locator(".card", has_text="Slate").click()
    expect(preset).to_have_value("")
    page.reload()
    title(page, "Ready when you are")
    go_live(page)
    daemon.script.heard.clear()
    preset.select_option("Talk show")
    expect(page.locator("#slider-mouth")).to_have_value("1.5")
    expect(page.locator("#background input[value=color]")).to_be_checked()
    expect(page.locator(".card", has_text="Coral").locator("input")).to_be_checked()
    heard = daemon.script.heard
    until(
        page,
        lambda: (
            any(m["type"] == "controls" and m["values"]["mouth"] == 1.5 for m in heard)
            and {"type": "identity", "id": "coral"} in heard
        ),
        "the daemon hears of it",
    )
    page.click("#preset-drop")
    expect(preset).to_be_disabled()
    expect(page.locator("#preset-keep")).to_be_focused()


def test_presets_of_a_name_replace_each_other_and_damage_is_none(
    daemon: ScriptedDaemon, visit: Open
) -> None:
    page = visit(daemon.url).page
    odd = {"name": "Odd", "values": {"mouth": "x"}, "identity": "gone"}
    damaged = json.dumps([1, None, {"name": 3}, odd])
    page.evaluate("(text) => localStorage.setItem('reenactd.presets', text)", damaged)
    page.reload()
    title(page, "Ready when you are")
    page.locator("#preset").select_option("Odd")
    expect(page.locator("#slider-mouth")).to_have_value("1")
    expect(page.locator("#preset")).to_have_value("")
    for value in ("0.5", "0.25"):
        page.locator("#slider-head").fill(value)
        page.click("#preset-keep")
        page.fill("#preset-name", "Odd")
        page.keyboard.press("Enter")
        expect(page.locator("#preset")).to_have_value("Odd")
    assert page.locator("#preset option:not([hidden])").count() == 1
    page.click("#reset")
    page.locator("#preset").select_option("Odd")
    expect(page.locator("#slider-head")).to_have_value("0.25")
    page.evaluate("localStorage.setItem('reenactd.presets', '[{\"name')")
    page.reload()
    title(page, "Ready when you are")
    expect(page.locator("#preset")).to_be_disabled()
    page.click("#preset-keep")
    page.keyboard.press("Escape")
    expect(page.locator("#preset-form")).to_be_hidden()
    page.click("#preset-keep")


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
