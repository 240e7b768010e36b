"""Make the pictures of the documents: the real daemon, a performer clip as the camera.

python -m tests.browser.screenshot docs/images/page.png [seconds live before the shot]

Beside the page: `obs-link.png`, the panel that *Copy OBS link* opens, and what OBS then shows,
`web_client/obs-view.png`: the page behind that link, over a checkerboard.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, Playwright, expect, sync_playwright

from tests.browser.clips import write_fake_camera
from tests.browser.conftest import (
    DESKTOP,
    DRAWING_SWITCHES,
    FAKE_DEVICE,
    PERFORMER,
    SWITCHES,
    find_chromium,
)
from tests.browser.live_daemon import ROOT, LiveDaemon

CHECKS = "repeating-conic-gradient(#fff 0 25%, #c8c8c8 0 50%) 0 0 / 32px 32px"
PERMISSIONS = ["camera", "clipboard-read", "clipboard-write"]
COLOURS = 128
"""of a picture of the guide, so that it stays small"""


def main(target: str, seconds: float = 30.0) -> None:
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        camera = Path(directory) / "Webcam.y4m"
        write_fake_camera(PERFORMER, camera)
        daemon = LiveDaemon(Path(directory))
        browser = playwright.chromium.launch(
            executable_path=find_chromium(playwright),
            args=[*SWITCHES, FAKE_DEVICE, f"--use-file-for-fake-video-capture={camera}"],
        )
        page = browser.new_page(viewport=DESKTOP, color_scheme="dark", permissions=PERMISSIONS)
        page.goto(daemon.url)
        page.click("#power")
        page.wait_for_selector("#lamp[data-state=LIVE]", timeout=60_000)
        page.evaluate("document.querySelector('#device').selectedOptions[0].text = 'Webcam'")
        page.mouse.move(0, 0)
        page.wait_for_timeout(seconds * 1000)
        page.screenshot(path=target)
        guide(page, playwright, Path(target).parent)
        browser.close()
        daemon.stop()


def guide(page: Page, playwright: Playwright, folder: Path) -> None:
    """The link's panel, and what is seen where the link is opened."""
    view = ROOT / "web_client" / "obs-view.png"
    page.click("#obs")
    expect(page.locator("#obs-link")).not_to_have_value("")
    link = page.input_value("#obs-link")
    browser = playwright.chromium.launch(
        executable_path=find_chromium(playwright), args=list(DRAWING_SWITCHES)
    )
    viewer = browser.new_page(viewport={"width": 640, "height": 480})
    viewer.goto(link)
    viewer.wait_for_selector("body[data-state=live]", timeout=60_000)
    viewer.evaluate("css => { document.body.style.background = css; }", CHECKS)
    viewer.wait_for_timeout(2000)
    viewer.screenshot(path=view)
    browser.close()
    shrink(view)
    page.evaluate("document.querySelector('#obs-guide li:last-child img').src += '?new'")
    page.evaluate("document.querySelector('#obs-link').value = 'http://127.0.0.1:8700/view/…#…'")
    expect(page.locator("#obs-guide li:last-child img")).to_have_js_property("complete", True)
    page.locator("#obs-guide").screenshot(path=folder / "obs-link.png")
    shrink(folder / "obs-link.png")


def shrink(path: Path) -> None:
    picture = Image.open(path).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(float, sys.argv[2:3]))
