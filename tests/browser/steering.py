"""What many tests do with the performer's page."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

PATIENT = """
const later = window.setTimeout;
window.setTimeout = (act, ms, ...given) =>
  [6000, 65000].includes(ms) ? 0 : later(act, ms, ...given);
"""
"""a page that waits for each answer for ever"""


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


def never(route: Route) -> None:
    """Nobody answers."""
