"""The page's dialogs about trust, against the real HTTP surface: a file's verdict, the people."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from realtime import server
from realtime.config import Identities
from realtime.consent import ConsentRecord
from realtime.enrolment import Enrolment, Wish
from realtime.identity import IdentityStore
from realtime.watermark import Payload, Watermark
from tests import performers
from tests.browser.conftest import Open
from tests.browser.states import kept
from tests.browser.steering import never
from tests.browser.test_adding_page import RealCards
from tests.helpers import config_with
from tests.portraits import one_face, picture_bytes
from tests.running import Running, served
from tests.test_verify_signed import flip
from tests.test_verify_signed import rendered as rendered  # noqa: PLC0414 - a fixture

pytestmark = pytest.mark.browser
VERDICT_MS = 60_000


@pytest.fixture
def own_installation(
    rendered: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its keys and records are those of the film."""
    shutil.copytree(rendered[1], tmp_path / "own")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "own"))


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(server, "Enrolment", lambda config: Enrolment(config, find_faces=one_face))
    with served(Running(monkeypatch, RealCards(), config_with(server={"port": 0}))) as url:
        yield url


def marked(path: Path) -> Path:
    rgb = performers.pictures("performer3")[0].copy()
    luma = np.ascontiguousarray(rgb[:, :, 1])
    Watermark(Payload(0x0DDBA115)).embed(luma)
    Image.fromarray(luma).save(path)
    return path


def unmarked(path: Path) -> Path:
    Image.fromarray(performers.pictures("performer3")[0]).save(path)
    return path


def drop(page: Page, path: Path) -> None:
    """Let a file fall on the page, as from a file manager."""
    page.set_input_files("#enrol-picture", path)  # the only way to make a File of one
    page.evaluate(
        """() => {
            const [file] = document.getElementById("enrol-picture").files;
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(file);
            const stage = document.getElementById("stage");
            for (const kind of ["dragover", "drop"]) {
                const how = { dataTransfer, bubbles: true, cancelable: true };
                stage.dispatchEvent(new DragEvent(kind, how));
            }
        }"""
    )


def verdict(page: Page, title: str) -> None:
    expect(page.locator("#verdict-title")).to_have_text(title, timeout=VERDICT_MS)
    expect(page.locator("#verify-progress")).to_be_hidden()


Make = Callable[[Path], Path]


@pytest.mark.parametrize(
    ("make", "title", "sure", "found"),
    [
        (marked, "Marked as synthetic", "Confidence: Certain.", "session 0ddba115"),
        (unmarked, "Nothing found", "Confidence: A guess at best.", "No invisible mark"),
    ],
)
def test_a_chosen_picture_gets_a_verdict(
    url: str, visit: Open, tmp_path: Path, make: Make, title: str, sure: str, found: str
) -> None:
    page = visit(url).page
    page.click("#verify-open")
    page.set_input_files("#verify-file", make(tmp_path / "picture.png"))
    verdict(page, title)
    expect(page.locator("#verdict-confidence")).to_have_text(sure)
    expect(page.locator("#verdict-findings")).to_contain_text(found)
    kept(page, "verify_marked" if make is marked else "verify_nothing")


@pytest.mark.usefixtures("own_installation")
@pytest.mark.parametrize("damaged", [False, True], ids=["intact", "damaged"])
def test_a_film_of_this_installation(
    rendered: tuple[Path, Path], url: str, visit: Open, tmp_path: Path, damaged: bool
) -> None:
    path = Path(shutil.copy(rendered[0], tmp_path / "film.mp4"))
    if damaged:
        flip(path, path.stat().st_size // 2)
    page = visit(url).page
    page.click("#verify-open")
    page.set_input_files("#verify-file", path)
    verdict(page, "Tampered with" if damaged else "Signed and intact")
    expect(page.locator("#verdict-findings")).to_contain_text("C2PA")
    kept(page, f"verify_{'tampered' if damaged else 'signed'}")


def test_a_picture_that_is_dropped_anywhere(url: str, visit: Open, tmp_path: Path) -> None:
    page = visit(url).page
    drop(page, marked(tmp_path / "picture.png"))
    expect(page.locator("#verify")).to_be_visible()
    verdict(page, "Marked as synthetic")


def test_a_file_that_is_none(url: str, visit: Open, tmp_path: Path) -> None:
    visited = visit(url)
    visited.unanswered = True  # 503 until the file before is let go of
    page = visited.page
    path = tmp_path / "letter.txt"
    path.write_text("Dear Sir or Madam")
    page.click("#verify-open")
    kept(page, "verify_empty")
    page.route("**/api/verify?*", never)
    page.set_input_files("#verify-file", path)
    expect(page.locator("#verify-says")).to_have_text("Reading letter.txt…")
    kept(page, "verify_reading")
    page.unroute("**/api/verify?*")
    page.set_input_files("#verify-file", path)
    expect(page.locator("#verify-says")).to_contain_text(
        "This file cannot be checked", timeout=VERDICT_MS
    )
    expect(page.locator("#verdict")).to_be_hidden()
    kept(page, "verify_refused")


# The people who are kept


@pytest.fixture
def ada() -> str:
    made = Enrolment(Identities(), find_faces=one_face)
    wish = Wish("Ada L.", "fictional", "a test")
    return made.add(made.look_at(picture_bytes(), "x"), wish)


def test_a_consent_is_revoked_and_the_person_deleted(ada: str, url: str, visit: Open) -> None:
    page = visit(url).page
    expect(page.locator("#gallery")).to_contain_text("Ada L.")
    page.click("#people-open")
    expect(page.locator("#people-list")).to_contain_text("Fictional. Attested, not checked.")
    kept(page, "people_list")
    page.get_by_role("button", name="Revoke Ada L.").click()
    page.click("#people-cancel")
    expect(page.locator("#people-ask")).to_be_hidden()
    page.get_by_role("button", name="Revoke Ada L.").click()
    expect(page.locator("#people-question")).to_contain_text("Revoke the consent of Ada L.?")
    page.click("#people-do")
    expect(page.locator("#people-ask")).to_be_visible()  # a reason is asked for
    kept(page, "people_revoke")
    page.fill("#people-reason", "she asked me to")
    page.click("#people-do")
    expect(page.locator("#people-says")).to_have_text("Revoked: “Ada L.”")
    expect(page.locator("#people-list")).to_contain_text("Cannot be used: The consent was revoked")
    expect(page.locator("#gallery")).not_to_contain_text("Ada L.")
    record = ConsentRecord.read(IdentityStore(Identities()).folder(ada) / "consent.json")
    assert record.revoked_because == "she asked me to"
    page.get_by_role("button", name="Delete Ada L.").click()
    kept(page, "people_delete")
    page.click("#people-do")
    expect(page.locator("#people-says")).to_have_text("Deleted: “Ada L.”")
    expect(page.locator("#people-list")).to_contain_text("Nobody yet")
    kept(page, "people_none")


def test_a_person_travels(
    ada: str, url: str, visit: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visited = visit(url)
    visited.unanswered = True  # the browser's console tells of the 409
    page = visited.page
    page.click("#people-open")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export Ada L.").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.name == "ada-l.reenactd-identity"
    expect(page.locator("#people-says")).to_contain_text("Exported: Ada L.")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    there = Running(monkeypatch, RealCards(), config_with(server={"port": 0}))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(there.listening())).result()
    try:
        page.goto("about:blank")
        page.goto(there.url)
        visited.foreign.clear()  # the other daemon is another origin
        page.click("#people-open")
        page.set_input_files("#people-file", path)
        expect(page.locator("#people-question")).to_contain_text("Signed by a key that is unknown")
        kept(page, "people_trust")
        page.click("#people-do")
        expect(page.locator("#people-says")).to_have_text("Imported: “ada-l”")
        expect(page.locator("#people-list")).to_contain_text("Ada L.")
        visited.foreign.clear()
        page.goto("about:blank")
    finally:
        there.stop()
