"""Every state that a page can be in: its picture for the artefacts, and what axe-core finds there.

A test that has brought a page into a state calls `kept`. Which states there must be is said here,
and by the pages' own words; test_page_states.py looks whether all were kept, after all other tests.
"""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal
from weakref import WeakSet

from axe_playwright_python.sync_playwright import Axe
from playwright._impl._driver import compute_driver_executable
from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "build" / "page-states"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
OTHERS = frozenset(
    {
        *("page_live", "page_narrow", "page_help", "page_preset-form", "page_lower-quality"),
        *("page_obs-guide", "page_obs-guide-narrow", "page_obs-link-ends", "page_too-old"),
        *("page_recording", "page_film-kept", "page_film-failed"),
        *("page_film-resumed", "page_film-lost"),
        *("enrol_empty", "enrol_filled", "enrol_refused"),
        *("check_runs", "check_passed", "check_failed", "check_given-up"),
        *("verify_empty", "verify_reading", "verify_refused"),
        *("verify_signed", "verify_tampered", "verify_marked", "verify_nothing"),
        *("people_none", "people_list", "people_revoke", "people_delete", "people_trust"),
        *("panel_code", "panel_late", "panel_narrow", "panel_without-tls"),
        *("phone_live", "phone_turned", "phone_computer-live"),
        *("view_live", "view_photo", "view_nothing", "view_lacks-token"),
        *("view_wrong-token", "view_wrong-setting"),
    }
)
"""beside one for each entry of WORDS (page_…) and of PHONE_WORDS (phone_…)"""
_KEPT: set[str] = set()
_PAGES: WeakSet[Page] = WeakSet()
_SAID = """
import { WORDS, PHONE_WORDS } from "./web_client/words.js";
console.log(JSON.stringify([Object.keys(WORDS), Object.keys(PHONE_WORDS)]));
"""


@functools.cache
def required() -> frozenset[str]:
    """The names of all states."""
    node, _ = compute_driver_executable()
    command = [str(node), "--input-type=module", "--eval", _SAID]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    page, phone = json.loads(said.stdout)
    return OTHERS | {f"page_{code}" for code in page} | {f"phone_{code}" for code in phone}


def missing() -> frozenset[str]:
    """Those that this run has not kept."""
    return required() - _KEPT


def was_kept(page: Page) -> bool:
    """Whether any state of it was."""
    return page in _PAGES


def kept(page: Page, name: str, *, listed: bool = True) -> None:
    """Take the page's picture, light and dark, and hold it against axe-core.

    Args:
        name: of the state.
        listed: whether it is one of `required`.
    """
    assert not listed or name in required(), f"{name} is no state that is known"
    _PAGES.add(page)
    barriers: list[str] = []
    # what is just changing its colour would be looked at half-way
    page.emulate_media(reduced_motion="reduce")
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        only = {} if scheme == SCHEMES[0] else {"runOnly": ["color-contrast"]}
        barriers += found_barriers(page, only)
        path = PICTURES / f"{name}_{scheme}.png"
        path.unlink(missing_ok=True)
        page.screenshot(path=path)
    page.emulate_media(reduced_motion="null", color_scheme="null")
    assert barriers == [], f"{name}: {barriers}"
    _KEPT.add(name)


def found_barriers(page: Page, options: Mapping[str, object] = MappingProxyType({})) -> list[str]:
    """What axe-core finds on a page that keeps somebody from using it: serious and worse."""
    axe = Axe("0") if page.evaluate("'axe' in window") else Axe()
    result = axe.run(page, options={"resultTypes": ["violations"], **options})
    return [
        f"{found['impact']}: {found['help']}: {node['html']}"
        for found in result.response["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]
