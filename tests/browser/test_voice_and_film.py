"""The page's voice, record and picture buttons, against the stand-in for the daemon."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.scripted_daemon import ScriptedDaemon
from tests.browser.states import kept
from tests.browser.steering import go_live, until

pytestmark = pytest.mark.browser


def test_a_film_is_recorded_and_told_of(daemon: ScriptedDaemon, visit: Open) -> None:
    page = visit(daemon.url).page
    expect(page.locator("#record")).to_be_disabled()
    go_live(page)
    page.click("#record")
    expect(page.locator("#record-word")).to_have_text("1:15")
    expect(page.locator("#record")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#record")).to_have_attribute("aria-label", "Stop recording")
    film = page.locator("#film")
    expect(film).to_have_text("Recording to 2026-11-22_20-15-03_s1.mp4, 3.2 MiB")
    kept(page, "page_recording")
    page.keyboard.press("o")
    expect(page.locator("#record-word")).to_have_text("Record")
    expect(film).to_have_text("Kept: /films/2026-11-22_20-15-03_s1.mp4, 3.2 MiB.")
    kept(page, "page_film-kept")
    full = {"state": "failed", "problem": "a.mp4: No space left on device; the film ends here"}
    for told in daemon.films.values():
        told.update(full)
    expect(film).to_contain_text("The recording stopped. A.mp4: No space left on device")
    kept(page, "page_film-failed")


def test_a_recording_goes_on_after_a_break_and_a_reload_until_it_is_stopped(
    daemon: ScriptedDaemon, visit: Open
) -> None:
    visited = visit(daemon.url)
    visited.unanswered = True  # of the session that is gone
    page = visited.page
    go_live(page)
    page.click("#record")
    film = page.locator("#film")
    expect(film).to_contain_text("Recording to")
    daemon.drop()
    expect(page.locator("#toast")).to_contain_text(
        "the recording goes on in a new film", timeout=15_000
    )
    expect(film).to_contain_text("_s2.mp4, 3.2 MiB (")
    expect(film).to_contain_text("s are missing before it: the connection was lost)")
    kept(page, "page_film-resumed")
    page.reload()
    go_live(page)
    expect(film).to_contain_text("_s3.mp4")
    page.click("#power")
    page.click("#power")
    expect(page.locator("#stage[data-live=true]")).to_be_visible(timeout=15_000)
    page.wait_for_timeout(1200)
    assert len(daemon.films) == 3, "who stops the camera stops the film"
    expect(page.locator("#record-word")).to_have_text("Record")


def test_a_recording_that_cannot_go_on_is_warned_of_until_it_does(
    daemon: ScriptedDaemon, visit: Open
) -> None:
    visited = visit(daemon.url)
    visited.unanswered = True
    page = visited.page
    go_live(page)
    page.click("#record")
    expect(page.locator("#film")).to_contain_text("Recording to")
    daemon.script.refuse_film = "/films: No space left on device"
    daemon.drop()
    warning = page.locator("#warnings")
    expect(warning).to_contain_text("Not recording: the film ended", timeout=15_000)
    expect(warning).to_contain_text("No space left on device.")
    kept(page, "page_film-lost")
    daemon.script.refuse_film = ""
    page.click("#record")
    expect(warning).to_be_hidden()
    expect(page.locator("#film")).to_contain_text("Recording to")


def test_a_refused_film_is_said(daemon: ScriptedDaemon, visit: Open) -> None:
    daemon.script.refuse_film = "/films: Permission denied"
    visited = visit(daemon.url)
    visited.unanswered = True
    go_live(visited.page)
    visited.page.click("#record")
    expect(visited.page.locator("#toast")).to_have_text(
        "The daemon says: /films: Permission denied."
    )


def test_a_picture_is_saved(daemon: ScriptedDaemon, visit: Open) -> None:
    page = visit(daemon.url).page
    go_live(page)
    with page.expect_download() as saved:
        page.keyboard.press("p")
    assert saved.value.suggested_filename.startswith("reenactd_20")
    assert saved.value.path().read_bytes().startswith(b"\x89PNG")


def sound_sent(page: Page) -> int:
    """Packets of voice that this page has sent; its peer connection is kept by `KEEP_PEERS`."""
    return int(
        page.evaluate(
            """async () => {
              let sent = 0;
              for (const peer of window.peers) {
                for (const entry of (await peer.getStats()).values()) {
                  const voice = entry.type === "outbound-rtp" && entry.kind === "audio";
                  if (voice) sent += entry.packetsSent;
                }
              }
              return sent;
            }"""
        )
    )


KEEP_PEERS = """
window.peers = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...given) { super(...given); window.peers.push(this); }
};
"""


def test_the_voice_is_sent_only_while_it_is_switched_on(
    daemon: ScriptedDaemon, visit: Open
) -> None:
    allowed = ["camera", "microphone"]
    page = visit(daemon.url, permissions=allowed, init_script=KEEP_PEERS).page
    go_live(page)
    switch, said = page.locator("#voice"), page.locator("#toast")
    expect(switch).to_have_attribute("aria-pressed", "false")
    expect(switch).to_have_attribute("title", "Silent: nothing of your microphone is sent")
    assert sound_sent(page) == 0
    switch.click()
    expect(said).to_contain_text("Viewers hear your own voice, unchanged")
    until(page, lambda: sound_sent(page) > 20, "the voice is sent")
    page.reload()
    go_live(page)
    expect(switch).to_have_attribute("aria-pressed", "true")
    until(page, lambda: sound_sent(page) > 20, "the voice is sent after a reload as well")
    page.keyboard.press("v")
    expect(said).to_contain_text("Silent")
    page.wait_for_timeout(300)
    before = sound_sent(page)
    page.wait_for_timeout(300)
    assert sound_sent(page) == before


def test_a_microphone_that_is_not_allowed_is_said_and_the_picture_goes_on(
    daemon: ScriptedDaemon, visit: Open
) -> None:
    page = visit(daemon.url, permissions=["camera"]).page
    go_live(page)
    page.locator("#voice").click()
    expect(page.locator("#toast")).to_contain_text("The browser blocks the microphone")
    expect(page.locator("#voice")).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#lamp-word")).to_have_text("Live")
