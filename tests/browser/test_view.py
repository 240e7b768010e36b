"""The page for OBS: truly transparent, a clean edge after the codec, and back after every break."""

from __future__ import annotations

import io
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Playwright, expect

from realtime.frames import U8
from tests.browser.conftest import DRAWING_SWITCHES, FORGET_YOUNGER, find_chromium
from tests.browser.performed import CLEAR_OF_CODE, alpha_of, performance, shown
from tests.browser.stage import CANVAS, Stage, over, sent
from tests.browser.states import kept
from tests.helpers import TOKEN

pytestmark = pytest.mark.browser

SQUARE_PX = 16
CHECKS = (
    f"repeating-conic-gradient(#fff 0 25%, #000 0 50%) 0 0 / {2 * SQUARE_PX}px {2 * SQUARE_PX}px"
)
MAX_MATTE_ERROR = 3.0
"""of 255, the mean at the edge"""
WORST_MATTE_ERROR = 8.0
"""of one picture of many in motion: right after a key frame, or where the machine left some out"""
PHOTO = Path(__file__).resolve().parents[1] / "data" / "table.jpg"
"""a cup on a wooden table; by Rachel Michetti, CC0, as scikit-image brings it (`data.coffee`)"""
UNLUCKY = """
const Peer = window.RTCPeerConnection;
let attempts = 0;
window.RTCPeerConnection = class extends Peer {
  constructor(...given) {
    attempts += 1;
    if (attempts === 1) throw new DOMException("too many peer connections", "UnknownError");
    super(...given);
  }
  async setRemoteDescription(answer) {
    if (attempts === 3) throw new DOMException("this answer is not taken", "OperationError");
    return super.setRemoteDescription(answer);
  }
};
const fetched = window.fetch;
window.fetch = async (path, options) => {
  const response = await fetched(path, options);
  if (options?.method !== "POST" || attempts !== 2) return response;
  const broken = new ReadableStream({ pull: (to) => to.error(new TypeError("network error")) });
  return new Response(broken, response);
};
window.attempts = () => attempts;
"""
"""Attempt after attempt fails in another way: no peer, half an answer, one that is refused."""
OVER = "this token was good until 2026-12-23T00:00:00Z: ask the performer for a new link"
Figure = Callable[[str], None]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    started = Stage()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def drawing(playwright: Playwright) -> Iterator[Browser]:
    """A Chromium with WebGL, drawn by the processor."""
    browser = playwright.chromium.launch(
        executable_path=find_chromium(playwright),
        args=list(DRAWING_SWITCHES),
        chromium_sandbox=False,
    )
    yield browser
    browser.close()


@pytest.fixture
def page(drawing: Browser) -> Iterator[Page]:
    """As old as OBS's own Chromium, as far as its scripts could notice."""
    width, height = CANVAS
    context = drawing.new_context(viewport={"width": width, "height": height})
    context.add_init_script(FORGET_YOUNGER)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    context.close()
    assert faults == []


def state(page: Page, name: str) -> None:
    expect(page.locator("body")).to_have_attribute("data-state", name, timeout=20_000)


def shown_over(page: Page, background: str) -> U8:
    """A screenshot with that behind the page's own picture."""
    page.evaluate("css => { document.body.style.background = css; }", background)
    page.wait_for_timeout(150)
    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))


def shown_over_photo(page: Page) -> tuple[U8, U8]:
    """A screenshot with a photo behind the page's own picture, and the photo."""
    width, height = CANVAS
    with Image.open(PHOTO) as opened:
        photo = opened.convert("RGB").resize(CANVAS, Image.Resampling.LANCZOS)
    png = io.BytesIO()
    photo.save(png, "PNG")
    page.route("**/photo.png", lambda route: route.fulfill(body=png.getvalue()))
    page.evaluate("Object.assign(new Image(), { src: '/photo.png' }).decode()")
    shown = shown_over(page, f"url(/photo.png) 0 0 / {width}px {height}px")
    return shown, np.asarray(photo, np.uint8)


def checkerboard() -> U8:
    rows, columns = np.indices((CANVAS[1], CANVAS[0])) // SQUARE_PX
    board = np.where((rows + columns) % 2 == 0, np.uint8(0), np.uint8(255))
    return np.repeat(board[:, :, None], 3, axis=2)


def grown(mask: U8, by_px: int) -> U8:
    return np.asarray(cv2.dilate(mask, np.ones((2 * by_px + 1,) * 2, np.uint8)))


def test_the_edge_survives_the_codec_without_a_halo(
    stage: Stage, page: Page, figure: Figure
) -> None:
    stage.perform()
    page.goto(stage.address("/view/me"))
    state(page, "live")
    page.wait_for_timeout(1500)
    black, white = (shown_over(page, css).astype(int) for css in ("#000", "#fff"))
    board = shown_over(page, CHECKS)
    over_photo, photo = shown_over_photo(page)
    kept(page, "view_photo")
    stage.leave()

    cutout = sent(0)
    alpha = cutout.alpha.astype(int)
    covered = np.asarray(alpha > 0, np.uint8)
    edge = grown(np.asarray((alpha > 0) & (alpha < 255), np.uint8), 1) > 0
    matte = 255 - (white - black).mean(axis=2)
    matte_error = float(np.abs(matte - alpha)[edge].mean())
    expected = over(cutout, checkerboard()).astype(int)
    edge_error = float(np.abs(board.astype(int) - expected)[edge].mean())
    photo_error = float(
        np.abs(over_photo.astype(int) - over(cutout, photo).astype(int))[edge].mean()
    )
    outside = grown(covered, 1) == 0
    halo = np.abs(board.astype(int) - checkerboard())[outside]
    figure(
        f"recombined edge: matte {matte_error:.2f}, over the checkerboard {edge_error:.2f}, "
        f"a photo {photo_error:.2f} of 255 ({edge.sum()} pixels); more than 1 px outside: at most "
        f"{halo.max()}"
    )
    assert edge.sum() > 2000, "there is an edge to look at"
    assert matte_error <= MAX_MATTE_ERROR
    assert edge_error <= MAX_MATTE_ERROR
    assert photo_error <= MAX_MATTE_ERROR
    assert float(np.percentile(halo, 99.9)) <= 8 and float(halo.mean()) < 0.5
    top, right = slice(10, 40), slice(590, 632)
    assert np.abs(board[top, right].astype(int) - expected[top, right]).mean() < 12, "the mark"


@pytest.mark.slow
def test_the_edge_of_an_avatar_in_motion_survives_the_codec(
    stage: Stage, page: Page, figure: Figure
) -> None:
    """Each picture against the matte that was sent with it, found by the number in it."""
    clip = performance("performer2", 75)
    stage.play(clip)
    stage.perform()
    page.goto(stage.address("/view/me?size=full"))
    state(page, "live")
    page.wait_for_timeout(1500)
    seen = shown(page, 120)
    stage.leave()
    stage.play(())
    errors, moved = [], []
    for picture in seen:
        sent_alpha = alpha_of(clip[picture.number])
        before = alpha_of(clip[picture.number - 1])
        alpha = sent_alpha[:CLEAR_OF_CODE].astype(int)
        soft = np.asarray((alpha > 0) & (alpha < 255), np.uint8)
        edge = grown(soft, 1) > 0
        assert edge.sum() > 1500, "there is an edge to look at"
        errors.append(np.abs(picture.alpha[:CLEAR_OF_CODE].astype(int) - alpha)[edge].mean())
        moved.append(np.abs(before[:CLEAR_OF_CODE].astype(int) - alpha)[edge].mean())
    figure(
        f"edge of a moving avatar: matte {np.mean(errors):.2f} of 255 in the mean of {len(errors)} "
        f"pictures, 95th percentile {np.percentile(errors, 95):.2f}, worst {max(errors):.2f}; the "
        f"matte itself changes by {np.mean(moved):.1f} from picture to picture there"
    )
    assert len(errors) >= 40 and np.mean(moved) > 2 * MAX_MATTE_ERROR, "it moves"
    assert float(np.mean(errors)) <= MAX_MATTE_ERROR
    assert max(errors) <= WORST_MATTE_ERROR, "no picture falls apart"


def test_the_whole_picture_on_request(stage: Stage, page: Page) -> None:
    stage.perform()
    page.goto(stage.address("/view/me?background=scene"))
    state(page, "live")
    picture = shown_over(page, "#fff")
    corner = picture[400:470, 5:60].reshape(-1, 3).mean(axis=0)
    assert np.abs(corner - (40, 60, 90)).max() < 12, "the wall, not what is behind the page"
    stage.leave()


def test_the_picture_outlives_a_break_and_goes_when_nobody_comes_back(
    stage: Stage, page: Page
) -> None:
    page.goto(stage.address("/view/"))
    state(page, "waiting")
    assert (shown_over(page, "#fff") == 255).all(), "nothing at all before the first picture"
    kept(page, "view_nothing")
    stage.perform()
    state(page, "live")
    page.wait_for_timeout(500)
    stage.leave()
    page.wait_for_timeout(500)
    assert shown_over(page, "#fff")[200:300, 250:380].mean() < 230, "the last picture stays"
    stage.perform()
    page.wait_for_timeout(1500)
    state(page, "live")
    stage.leave()
    expect(page.locator("#avatar")).to_have_attribute("data-shown", "false", timeout=15_000)
    page.wait_for_timeout(500)
    assert (shown_over(page, "#fff") == 255).all()


def test_whatever_goes_wrong_is_tried_again(stage: Stage, page: Page) -> None:
    page.add_init_script(UNLUCKY)
    stage.perform()
    page.goto(stage.address("/view/me"))
    state(page, "live")
    assert page.evaluate("attempts()") == 4, "each of the three failed, and was tried again"
    stage.leave()


def test_once_it_was_seen_a_link_that_ends_leaves_no_mark_on_the_stream(
    stage: Stage, page: Page
) -> None:
    stage.perform()
    page.goto(stage.address("/view/me?size=full"))
    state(page, "live")
    kept(page, "view_live")
    page.route("**/whep/**", lambda route: route.fulfill(status=401, json={"error": OVER}))
    stage.leave()
    state(page, "waiting")
    expect(page).to_have_title(f"reenactd: {OVER}", timeout=10_000)
    assert page.locator("#problem").is_hidden()
    expect(page.locator("#avatar")).to_have_attribute("data-shown", "false", timeout=15_000)
    page.wait_for_timeout(500)
    assert (shown_over(page, "#fff") == 255).all()


@pytest.mark.parametrize(
    ("path", "token", "said", "name"),
    [
        ("/view/me", "", "lacks its token", "view_lacks-token"),
        ("/view/me", "wrong", "the access token is missing or wrong", "view_wrong-token"),
        ("/view/me?background=green", TOKEN, "background=green", "view_wrong-setting"),
        ("/view/me?sound=loud", TOKEN, "sound=loud in this address: must be on or off", ""),
        ("/view/me?size=tiny", TOKEN, "size=tiny in this address: must be auto, full, half", ""),
    ],
)
def test_what_cannot_work_is_said(
    stage: Stage, page: Page, path: str, token: str, said: str, name: str
) -> None:
    page.goto(stage.address(path, token))
    expect(page.locator("#problem")).to_contain_text(said)
    if name:
        kept(page, name)


def test_the_window_decides_the_size_unless_the_address_does(stage: Stage, page: Page) -> None:
    drawn = "[document.getElementById('avatar').width, document.getElementById('avatar').height]"
    stage.perform()
    page.goto(stage.address("/view/me"))
    expect(page.locator("#avatar")).to_have_attribute("data-size", "full", timeout=20_000)
    assert page.evaluate(drawn) == [640, 480]
    page.set_viewport_size({"width": 320, "height": 240})
    expect(page.locator("#avatar")).to_have_attribute("data-size", "half", timeout=20_000)
    assert page.evaluate(drawn) == [320, 240]
    assert stage.encodes() == [1], "nobody watches the whole size any more"
    page.set_viewport_size({"width": 640, "height": 480})
    expect(page.locator("#avatar")).to_have_attribute("data-size", "full", timeout=20_000)
    page.goto(stage.address("/view/me?size=half&background=scene"))
    page.reload()
    expect(page.locator("#avatar")).to_have_attribute("data-size", "half", timeout=20_000)
    assert page.evaluate(drawn) == [320, 240]
    stage.leave()


def test_a_view_token_is_all_that_the_page_needs(stage: Stage, page: Page) -> None:
    asked = urllib.request.Request(
        stage.address("/api/tokens").partition("#")[0],
        b'{"scope": "view", "session": "me"}',
        {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked) as answer:
        token = answer.read().decode().partition('"token":"')[2].partition('"')[0]
    stage.perform()
    page.goto(stage.address("/view/me", token))
    state(page, "live")
    stage.leave()
