"""The main job, end to end: a real browser, the real daemon, a performer before a fake camera.

What the page receives is recorded there and measured apart from the daemon: is it another picture
than the camera's, does it hold a face, and do mouth and lids follow the performer's?
The figures stand at the end of the test run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.browser import faces
from tests.browser.capture import Recording, record, time_switch
from tests.browser.conftest import PERFORMER, Open, Visit, watched
from tests.browser.live_daemon import LiveDaemon

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Figure = Callable[[str], None]
RECORD_S = 12.0
SMALL: ViewportSize = {"width": 400, "height": 640}
"""drawing a large page in software would take the daemon's processor time"""
START_MS = 60_000
SETTLE_MS = 5000
"""after its start the daemon prepares the other identities, which takes processor time"""
TAKES = 3
"""The lips' likeness to the performer's is lost when delays vary by half a syllable (60 ms), as
they do while others have this machine's processor. That can hide a likeness and never feign one, so
a take in which it is too low is repeated, and the best one counts."""
MOUTH_ALIKE, LIDS_ALIKE = 0.8, 0.6

LATE_CANDIDATES = """
const listen = RTCPeerConnection.prototype.addEventListener;
RTCPeerConnection.prototype.addEventListener = function (kind, heed) {
  const late = (event) => setTimeout(() => heed(event), 800);
  listen.call(this, kind, kind === "icecandidate" ? late : heed);
};
"""


@dataclass(frozen=True)
class Performance:
    recording: Recording
    avatar: faces.Faces
    truth: faces.Truth
    clip_times_s: faces.F64
    """where in the clip the camera was at each avatar frame"""
    visit: Visit

    def mouth(self) -> tuple[float, float]:
        """Correlation with what the performer did, at the best lag; that lag in seconds."""
        return self._follow(self.truth.jaw_at, self.avatar.mouth)

    def lids(self) -> tuple[float, float]:
        return self._follow(self.truth.blink_at, -self.avatar.eyes)

    @property
    def margin(self) -> float:
        """By how much mouth and lids are more alike than they must be."""
        return min(self.mouth()[0] - MOUTH_ALIKE, self.lids()[0] - LIDS_ALIKE)

    def _follow(
        self, course: Callable[[faces.F64], faces.F64], values: faces.F64
    ) -> tuple[float, float]:
        return faces.best_lag(course, self.recording.times_s, self.clip_times_s, values)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    started = LiveDaemon(tmp_path_factory.mktemp("daemon"))
    yield started
    started.stop()


@pytest.fixture(scope="module")
def takes(daemon: LiveDaemon, chromium: Browser) -> list[Performance]:
    """Twelve seconds of the avatar, recorded for all tests; several times where that is needed."""
    context = chromium.new_context(viewport=SMALL, permissions=["camera"])
    visited = watched(context.new_page(), daemon.url)
    visited.page.goto(daemon.url)
    go_live(visited.page)
    visited.page.wait_for_timeout(SETTLE_MS)
    made = [perform(visited)]
    while len(made) < TAKES and made[-1].margin < 0:
        made.append(perform(visited))
    context.close()
    return made


@pytest.fixture(scope="module")
def best(takes: list[Performance]) -> Performance:
    return max(takes, key=lambda take: take.margin)


def perform(visited: Visit) -> Performance:
    recording = record(visited.page, RECORD_S)
    truth = faces.Truth.of(PERFORMER.with_suffix(".json"))
    where = faces.clip_times(PERFORMER, recording.camera, truth.duration_s)
    return Performance(recording, faces.measure(recording.avatar), truth, where, visited)


def go_live(page: Page) -> None:
    page.click("#power")
    expect(page.locator("#lamp[data-state=LIVE]")).to_be_visible(timeout=START_MS)


def test_frames_come_back_at_a_usable_rate(takes: list[Performance], figure: Figure) -> None:
    for take in takes:
        intervals_ms = np.diff(take.recording.times_s) * 1000
        rate = 1000 / intervals_ms.mean()
        figure(f"returned: {rate:.1f} fps, interval p95 {np.percentile(intervals_ms, 95):.0f} ms")
        assert len(take.recording.avatar) > 5 * RECORD_S
        assert take.visit.faults == []
        assert take.visit.foreign == []


def test_returned_frames_are_not_the_cameras(takes: list[Performance], figure: Figure) -> None:
    """Against each camera picture of the second before, so that no delay can hide a leak."""
    alike = [
        faces.likeness(picture, take.recording.camera[before])
        for take in takes
        for at, picture in enumerate(take.recording.avatar)
        for before in range(max(0, at - 30), at + 1, 3)
    ]
    figure(f"likeness of avatar and camera: at most {max(alike):.2f}")
    assert max(alike) < 0.8


def test_returned_frames_hold_a_face(takes: list[Performance], figure: Figure) -> None:
    for take in takes:
        figure(f"face found in {take.avatar.found:.1%} of {len(take.avatar.mouth)}")
        assert take.avatar.found >= 0.95


def test_mouth_follows_the_performer(best: Performance, figure: Figure) -> None:
    alike, lag_s = best.mouth()
    figure(f"mouth opening: correlation {alike:.2f} at a lag of {lag_s * 1000:.0f} ms")
    assert alike >= MOUTH_ALIKE


def test_blinks_follow_the_performer(best: Performance, figure: Figure) -> None:
    alike, lag_s = best.lids()
    figure(f"lids: correlation {alike:.2f} at a lag of {lag_s * 1000:.0f} ms")
    assert alike >= LIDS_ALIKE


def test_candidates_found_late_are_trickled(daemon: LiveDaemon, visit: Open) -> None:
    visited = visit(daemon.url, init_script=LATE_CANDIDATES)
    with visited.page.expect_response(lambda answer: answer.request.method == "PATCH") as answer:
        go_live(visited.page)
    assert answer.value.status == 204


def test_identity_switches_live_without_a_new_connection(
    daemon: LiveDaemon, visit: Open, figure: Figure
) -> None:
    page = visit(daemon.url).page
    go_live(page)
    page.wait_for_timeout(1000)
    page.evaluate("window.firstStream = document.getElementById('avatar').srcObject")
    switches = [time_switch(page, name) for name in ("coral", "cobalt", "slate", "juniper")]
    took_ms = [switch.took_ms for switch in switches]
    figure(f"from the click to the new face: {', '.join(f'{ms:.0f}' for ms in took_ms)} ms")
    assert page.evaluate("window.firstStream === document.getElementById('avatar').srcObject")
    # Where frames themselves come late, because the processor is taken, so does the new face.
    assert np.median(took_ms) <= max(300, 5 * np.mean([switch.frame_ms for switch in switches]))


def test_page_comes_back_after_the_daemon_was_killed(daemon: LiveDaemon, visit: Open) -> None:
    visited = visit(daemon.url)
    visited.unanswered = True
    page = visited.page
    go_live(page)
    page.evaluate("window.camera = document.getElementById('self').srcObject")
    daemon.kill()
    expect(page.locator("#notice-title")).to_have_text("The daemon does not answer", timeout=15_000)
    assert page.evaluate("window.camera.getVideoTracks()[0].readyState") == "live"
    daemon.start()
    expect(page.locator("#lamp[data-state=LIVE]")).to_be_visible(timeout=START_MS)
    assert page.evaluate("window.camera === document.getElementById('self').srcObject")


def test_wrong_token_is_said(daemon: LiveDaemon, visit: Open) -> None:
    visited = visit(f"http://127.0.0.1:{daemon.port}/#token=not-the-right-one-at-all")
    visited.unanswered = True
    expect(visited.page.locator("#notice-title")).to_have_text(
        "The access token is not the right one"
    )
