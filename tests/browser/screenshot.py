"""Make the README's picture of the page: the real daemon, a performer clip as the camera.

python -m tests.browser.screenshot docs/images/page.png [seconds live before the shot]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.clips import write_fake_camera
from tests.browser.conftest import DESKTOP, FAKE_DEVICE, PERFORMER, SWITCHES, find_chromium
from tests.browser.live_daemon import LiveDaemon


def main(target: str, seconds: float = 30.0) -> None:
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        camera = Path(directory) / "Webcam.y4m"
        write_fake_camera(PERFORMER, camera)
        daemon = LiveDaemon(Path(directory))
        browser = playwright.chromium.launch(
            executable_path=find_chromium(playwright),
            args=[*SWITCHES, FAKE_DEVICE, f"--use-file-for-fake-video-capture={camera}"],
        )
        page = browser.new_page(viewport=DESKTOP, color_scheme="dark", permissions=["camera"])
        page.goto(daemon.url)
        page.click("#power")
        page.wait_for_selector("#lamp[data-state=LIVE]", timeout=60_000)
        page.evaluate("document.querySelector('#device').selectedOptions[0].text = 'Webcam'")
        page.mouse.move(0, 0)
        page.wait_for_timeout(seconds * 1000)
        page.screenshot(path=target)
        browser.close()
        daemon.stop()


if __name__ == "__main__":
    main(sys.argv[1], *map(float, sys.argv[2:3]))
