"""The page in every state, against a stand-in for the daemon that can be put into each of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import DESKTOP, FAKE_DEVICE, Open
from tests.browser.scripted_daemon import TOKEN, ScriptedDaemon
from tests.browser.states import kept
from tests.browser.steering import go_live, title, until

pytestmark = pytest.mark.browser

WINDOWS = ((360, 640), (390, 844), (768, 1024), (1024, 700), (1280, 800), (1920, 1080))


def test_avatar_runs_and_the_address_bar_loses_the_token(
    daemon: ScriptedDaemon, visit: Open
) -> None:
    page = visit(daemon.url).page
    title(page, "Ready when you are")
    kept(page, "page_idle")
    assert TOKEN not in page.url
    go_live(page)
    expect(page.locator("#notice")).to_be_hidden()
    expect(page.locator("#lamp-word")).to_have_text("Live")
    expect(page.locator("#face")).to_have_text("face tracked")
    expect(page.locator("#avatar")).to_have_js_property("videoWidth", 640)
    kept(page, "page_live")
    page.reload()
    title(page, "Ready when you are")


def test_remembered_camera_that_is_gone_is_replaced_and_said(
    daemon: ScriptedDaemon, visit: Open
) -> None:
    page = visit(daemon.url).page
    page.evaluate("localStorage.setItem('reenactd.camera', 'no-such-device')")
    page.reload()
    go_live(page)
    expect(page.locator("#toast")).to_contain_text("The camera you chose last is not there")


def test_camera_is_changed_within_the_session_and_remembered(
    daemon: ScriptedDaemon, launch: Callable[..., Browser], visit: Open
) -> None:
    page = visit(daemon.url, browser=launch(f"{FAKE_DEVICE}=device-count=2")).page
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
    kept(page, "page_gone")
    daemon.script.heard.clear()
    daemon.restart()
    expect(page.locator("#stage[data-live=true]")).to_be_visible(timeout=20_000)
    assert page.evaluate("window.camera === document.getElementById('self').srcObject")
    assert daemon.script.heard[0]["values"]["mouth"] == 1.5


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
    kept(page, "page_help")
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
        if width == 390:
            kept(page, "page_narrow")
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
    allowed = ["camera", "clipboard-read", "clipboard-write"]
    visited = visit(daemon.url, permissions=allowed, locale="en-US", timezone_id="UTC")
    page = visited.page
    expect(page.locator("#obs")).to_be_disabled()
    go_live(page)
    daemon.script.token_days = 3
    page.click("#obs")
    expect(page.locator("#obs-guide")).to_be_visible()
    expect(page.locator("#obs-copied")).to_have_text("Copied.")
    name = daemon.script.name
    link = f"http://127.0.0.1:{daemon.port}/view/{name}#view.{name}"
    assert page.input_value("#obs-link") == link
    assert page.evaluate("navigator.clipboard.readText()") == link
    expect(page.locator("#obs-size")).to_have_text("640 and 480")
    ends = (datetime.now(timezone.utc) + timedelta(days=3)).strftime("%B %-d, %Y")
    expect(page.locator("#obs-until")).to_have_text(ends)
    for picture in page.locator("#obs-guide img").all():
        picture.evaluate("picture => picture.decode()")
    kept(page, "page_obs-guide")
    page.set_viewport_size({"width": 390, "height": 844})
    kept(page, "page_obs-guide-narrow")
    page.set_viewport_size(DESKTOP)
    page.keyboard.press("Escape")
    page.reload()
    go_live(page)
    assert daemon.script.name == name, "OBS finds the session again after a reload"
    warning = page.locator("#warnings")
    expect(warning).to_contain_text(f"An OBS link that you copied here ends on {ends}.")
    kept(page, "page_obs-link-ends")
    page.click("#warnings-close")
    expect(warning).to_be_hidden()
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
    kept(page, "page_preset-form")
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
