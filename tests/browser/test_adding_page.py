"""Adding a person in the page, against the real HTTP surface."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from realtime import server
from realtime.config import Identities
from realtime.enrolment import Enrolment
from realtime.identity import Identity, IdentityCard, IdentityStore
from tests.browser.conftest import Open
from tests.browser.states import kept
from tests.helpers import FakeStudio, config_with
from tests.portraits import one_face
from tests.running import Running, served

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parents[2]
PORTRAIT = ROOT / "realtime" / "identities" / "slate" / "portrait.png"


class RealCards(FakeStudio):
    """Fake pictures, real identities."""

    def list_identities(self) -> list[IdentityCard]:
        return IdentityStore(Identities()).list()

    def load_identity(self, identity_id: str, canvas_hw: tuple[int, int] | None = None) -> Identity:
        return super().load_identity("juniper", canvas_hw)


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(server, "Enrolment", lambda config: Enrolment(config, find_faces=one_face))
    with served(Running(monkeypatch, RealCards(), config_with(server={"port": 0}))) as url:
        yield url


def test_a_person_is_added_with_the_statement_that_was_read(
    url: str, visit: Open, tmp_path: Path
) -> None:
    page = visit(url).page
    page.click("#enrol-open")
    expect(page.locator("#enrol-add")).to_be_disabled()
    kept(page, "enrol_empty")
    page.set_input_files("#enrol-picture", PORTRAIT)
    expect(page.locator("#enrol-crop")).to_be_visible()
    expect(page.locator("#enrol-advice")).not_to_be_empty()
    page.fill("#enrol-name", "Ada L.")
    expect(page.locator("#enrol-statement")).to_contain_text("shows no real person")
    page.select_option("#enrol-kind", "third-party")
    expect(page.locator("#enrol-statement")).to_contain_text("has agreed")
    page.check("#enrol-agreed")
    expect(page.locator("#enrol-add")).to_be_disabled()
    release = tmp_path / "release.txt"
    release.write_text("I agree.")
    page.set_input_files("#enrol-release", release)
    kept(page, "enrol_filled")
    page.click("#enrol-add")
    expect(page.locator("#enrol")).to_be_hidden()
    expect(page.locator("#consent-name")).to_have_text("Ada L.")
    consent = IdentityStore(Identities()).consent("ada-l")
    assert consent.kind == "third-party"
    assert consent.release_sha256 == hashlib.sha256(b"I agree.").hexdigest()


def test_a_picture_that_cannot_be_used_is_said(url: str, visit: Open, tmp_path: Path) -> None:
    opened = visit(url)
    opened.unanswered = True  # the browser's console tells of the 400
    broken = tmp_path / "broken.png"
    broken.write_bytes(PORTRAIT.read_bytes()[:2000])
    opened.page.click("#enrol-open")
    opened.page.set_input_files("#enrol-picture", broken)
    expect(opened.page.locator("#enrol-says")).to_contain_text("damaged picture")
    expect(opened.page.locator("#enrol-add")).to_be_disabled()
    kept(opened.page, "enrol_refused")
    opened.page.keyboard.press("s")
    expect(opened.page.locator("#power-word")).to_have_text("Start camera")
