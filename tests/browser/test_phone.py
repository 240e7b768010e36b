"""A phone as the camera, over TLS with this project's own CA: both pages, from the code to the end.

The phone is Chromium with a phone's screen and touch, and two fake cameras. It comes by the
machine's address in its network, as a phone would.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import zxingcpp
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from playwright.sync_api import Browser, Page, Playwright, ViewportSize, expect

from realtime import phone, tls, tokens
from realtime.config import Config, Quality, Server
from tests.browser.conftest import FAKE_DEVICE, SWITCHES, Open, Visit, find_chromium
from tests.browser.stage import Stage
from tests.browser.states import kept
from tests.helpers import TOKEN

pytestmark = pytest.mark.browser

DEVICE = "Pixel 7"
NARROW: ViewportSize = {"width": 390, "height": 844}
TURNED: ViewportSize = {"width": 863, "height": 360}
TWO_SIDES = """
const all = navigator.mediaDevices.enumerateDevices.bind(navigator.mediaDevices);
navigator.mediaDevices.enumerateDevices = async () =>
  (await all()).filter(({ label }) => label !== "fake_device_1");
"""
"""the second of Chromium's fake cameras sends 16 bit grey, which no encoder of it takes"""
TURNING_CAMERA = """
const canvas = document.createElement("canvas");
window.turn = (width, height) => { [canvas.width, canvas.height] = [width, height]; };
window.turn(480, 640);
setInterval(() => {
  const context = canvas.getContext("2d");
  context.fillStyle = `hsl(${performance.now() / 20 % 360} 60% 50%)`;
  context.fillRect(0, 0, canvas.width, canvas.height);
}, 40);
navigator.mediaDevices.getUserMedia = async () => canvas.captureStream(25);
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def stage(folder: Path) -> Iterator[Stage]:
    """A daemon with TLS on every address; certified for this machine's, and for a name."""
    own = phone.own_addresses()
    if not own:
        pytest.skip("this machine is in no network: no phone could come")
    tls.init((own[0], "studio.example"), folder)
    server = Server(
        host="0.0.0.0",
        tls_cert=folder / "cert.pem",
        tls_key=folder / "key.pem",
        allowed_hosts=("127.0.0.1", own[0], "studio.example"),
        min_fps=0,
    )
    started = Stage(Config(server=server, quality=Quality(adapt=False)))
    yield started
    started.stop()


@pytest.fixture(scope="module")
def trusting(playwright: Playwright, stage: Stage, folder: Path) -> Iterator[Browser]:
    """A Chromium that trusts this CA and no other mistake, with a camera on each side."""
    root = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes()).public_key()
    spki = root.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    trust = base64.b64encode(hashlib.sha256(spki).digest()).decode()
    browser = playwright.chromium.launch(
        executable_path=find_chromium(playwright),
        args=[
            *SWITCHES,
            f"{FAKE_DEVICE}=device-count=3",
            f"--ignore-certificate-errors-spki-list={trust}",
        ],
        chromium_sandbox=False,
    )
    yield browser
    browser.close()


@pytest.fixture(autouse=True)
def emptied(stage: Stage) -> Iterator[None]:
    """When its pages are closed, a test's sessions end."""
    yield
    deadline_s = time.monotonic() + 15
    while stage.sessions():
        assert time.monotonic() < deadline_s, "a session outlives its page by 15 s"
        time.sleep(0.1)


@pytest.fixture
def pages(
    visit: Open, stage: Stage, trusting: Browser, playwright: Playwright
) -> Callable[..., Visit]:
    """Open the computer's page, or with a code's address the phone's."""
    device = dict(playwright.devices[DEVICE])
    device.pop("default_browser_type", None)

    def opened(url: str = "", **options: Any) -> Visit:
        if not url:
            computer = visit(stage.address("/", f"token={TOKEN}"), browser=trusting, **options)
            computer.unanswered = True  # it may ask for a session that the phone has just ended
            return computer
        allowed = {"permissions": ["camera", "microphone", "screen-wake-lock"]}
        return visit(url, browser=trusting, **{**device, **allowed, **options})

    return opened


def invited(page: Page) -> str:
    """Press *Use phone*; the address in the code."""
    expect(page.locator("#notice-title")).to_have_text("Ready when you are", timeout=15_000)
    page.click("#phone-open")
    expect(page.locator("#phone")).to_be_visible()
    return page.input_value("#phone-url")


def said(page: Page, words: str) -> None:
    expect(page.locator("#title")).to_have_text(words, timeout=15_000)


def go_live(page: Page) -> None:
    page.tap("#power")
    expect(page.locator("#lamp-word")).to_have_text("Live", timeout=20_000)


def test_a_phone_becomes_the_camera_and_the_computer_shows_and_steers_it(
    stage: Stage, pages: Callable[..., Visit]
) -> None:
    computer = pages()
    url = invited(computer.page)
    assert url.startswith(f"https://{phone.own_addresses()[0]}:{stage.port}/phone#once=once.")
    page = computer.page
    page.evaluate("document.getElementById('phone-qr').decode()")  # waits until it is drawn
    picture = np.frombuffer(computer.page.locator("#phone-qr").screenshot(), np.uint8)
    codes = zxingcpp.read_barcodes(cv2.imdecode(picture, cv2.IMREAD_COLOR))
    assert [code.text for code in codes] == [url], "what a camera reads"
    kept(page, "panel_code")

    hand = pages(url)
    hand.unanswered = True  # the daemon may see its connection's end before its goodbye comes
    said(hand.page, "Ready when you are")
    assert "once" not in hand.page.url
    kept(hand.page, "phone_idle")
    go_live(hand.page)
    expect(hand.page.locator("#said")).to_be_hidden()
    expect(hand.page.locator("#face")).to_have_text("face tracked")
    assert hand.page.evaluate("isSecureContext")

    expect(page.locator("#phone")).to_be_hidden(timeout=10_000)
    expect(page.locator("#stage[data-live=true]")).to_be_visible(timeout=15_000)
    expect(page.locator("#self-hint")).to_contain_text("The phone’s camera, 640 × 480")
    expect(page.locator("#avatar")).to_have_js_property("videoWidth", 640)
    kept(page, "phone_computer-live")
    kept(hand.page, "phone_live")
    page.locator("#slider-mouth").fill("1.5")
    until(page, lambda: stage.controls()[0].mouth == 1.5, "the slider reaches the phone's session")
    page.keyboard.press("2")
    until(page, lambda: stage.sessions()[0]["identity"] == "coral", "another identity is worn")
    page.keyboard.press("c")
    expect(page.locator("#toast")).to_have_text("Neutral face taken")
    assert stage.sessions()[0]["calibrated"], "said only when it is so"

    hand.page.tap("#power")
    said(hand.page, "Ready when you are")
    expect(page.locator("#notice-title")).to_have_text("Waiting for the phone", timeout=10_000)
    kept(page, "page_phone")
    go_live(hand.page)
    expect(page.locator("#lamp-word")).to_have_text("Live", timeout=20_000)
    hand.page.reload()
    said(hand.page, "Ready when you are")

    page.click("#power")
    expect(page.locator("#toast")).to_contain_text("The phone goes on sending")
    expect(page.locator("#notice-title")).to_have_text("Ready when you are")


def until(page: Page, condition: Callable[[], bool], what: str) -> None:
    for _ in range(200):
        if condition():
            return
        page.wait_for_timeout(50)
    pytest.fail(f"did not happen within 10 s: {what}", pytrace=False)


def test_a_code_that_was_used_is_dead(pages: Callable[..., Visit]) -> None:
    url = invited(pages().page)
    first = pages(url)
    said(first.page, "Ready when you are")
    second = pages(url)
    second.unanswered = True
    said(second.page, "This code is used up")
    expect(second.page.locator("#power")).to_be_disabled()
    kept(second.page, "phone_code")
    bare = pages(url.partition("#")[0])
    said(bare.page, "This page needs a code")
    kept(bare.page, "phone_token-missing")


def test_the_camera_is_turned_over_and_the_voice_is_off_until_it_is_wanted(
    stage: Stage, pages: Callable[..., Visit]
) -> None:
    hand = pages(invited(pages().page), init_script=TWO_SIDES).page
    expect(hand.locator("#voice")).to_have_attribute("aria-pressed", "false")
    go_live(hand)
    facing = "document.getElementById('self').srcObject?.getVideoTracks()[0].label"
    front = hand.evaluate(facing)
    expect(hand.locator("#flip")).to_have_text("Front camera")
    hand.tap("#flip")
    expect(hand.locator("#flip")).to_have_text("Rear camera")
    until(hand, lambda: hand.evaluate(facing) not in (None, front), "the other camera is on")
    expect(hand.locator("#self")).to_have_attribute("data-mirrored", "false")
    expect(hand.locator("#lamp-word")).to_have_text("Live", timeout=20_000)
    hand.tap("#voice")
    expect(hand.locator("#voice")).to_have_attribute("aria-pressed", "true")
    expect(hand.locator("#voice-word")).to_have_text("Voice on")
    expect(hand.locator("body")).to_have_attribute("data-awake", "true")
    hand.tap("#power")
    expect(hand.locator("body")).to_have_attribute("data-awake", "false")


def test_a_phone_that_is_turned_goes_on_with_the_other_shape(
    stage: Stage, pages: Callable[..., Visit]
) -> None:
    visited = pages(invited(pages().page), init_script=TURNING_CAMERA)
    hand = visited.page
    go_live(hand)

    def camera() -> object:
        return stage.sessions()[0]["camera"]

    until(hand, lambda: camera() == {"width": 480, "height": 640}, "upright")
    hand.set_viewport_size(TURNED)
    hand.evaluate("turn(640, 480)")
    until(hand, lambda: camera() == {"width": 640, "height": 480}, "on its side")
    expect(hand.locator("#lamp-word")).to_have_text("Live", timeout=20_000)
    for button in ("#power", "#voice"):
        box = hand.locator(button).bounding_box()
        assert box is not None and box["y"] >= 0
        assert box["y"] + box["height"] <= TURNED["height"]
    kept(hand, "phone_turned")


def test_one_of_several_addresses_is_chosen_and_a_late_code_is_made_anew(
    pages: Callable[..., Visit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "CODE_LIFETIME_S", 2)
    page = pages().page
    first = invited(page)
    page.select_option("#phone-hosts", "studio.example")
    expect(page.locator("#phone-url")).not_to_have_value(first)
    assert page.input_value("#phone-url").startswith("https://studio.example:")
    expect(page.locator("#phone-says")).to_have_text("The code’s time is over.", timeout=10_000)
    expect(page.locator("#phone-qr")).to_be_hidden()
    kept(page, "panel_late")
    page.click("#phone-again")
    expect(page.locator("#phone-qr")).to_be_visible()
    page.set_viewport_size(NARROW)
    kept(page, "panel_narrow")


def test_without_tls_the_panel_says_what_to_type(visit: Open) -> None:
    plain = Stage()
    try:
        visited = visit(plain.address("/", f"token={TOKEN}"))
        page = visited.page
        expect(page.locator("#notice-title")).to_have_text("Ready when you are", timeout=15_000)
        page.click("#phone-open")
        expect(page.locator("#phone-problem")).to_contain_text("over HTTPS only")
        commands = page.locator("#phone-commands li")
        expect(commands).to_have_count(2)
        expect(commands.nth(0)).to_have_text(
            " ".join(["reenactd tls init", *phone.own_addresses()[: phone.MOST_ADDRESSES]])
        )
        expect(commands.nth(1)).to_contain_text("reenactd serve")
        expect(page.locator("#phone-qr")).to_be_hidden()
        kept(page, "panel_without-tls")
    finally:
        plain.stop()
