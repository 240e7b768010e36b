"""Every page state has its picture in the artefacts, and axe-core found nothing serious in it.

Runs after all other tests of this folder (conftest.py sees to that) and counts what these have kept
in this run; alone it fails.
"""

from __future__ import annotations

import pytest
from PIL import Image

from realtime import phone
from tests.browser.states import PICTURES, SCHEMES, missing, required

pytestmark = [pytest.mark.browser, pytest.mark.slow]  # some states are of slow tests


OF_PHONES = ("phone_", "panel_", "page_phone")


def test_every_state_was_kept_in_this_run() -> None:
    alone = not phone.own_addresses()
    wanted = {name for name in required() if not (alone and name.startswith(OF_PHONES))}
    assert sorted(wanted.intersection(missing())) == [], "no test of this run has kept these"
    for name in wanted:
        for scheme in SCHEMES:
            with Image.open(PICTURES / f"{name}_{scheme}.png") as picture:
                assert min(picture.size) >= 200
    if alone:
        pytest.skip("this machine is in no network: no phone could come, all else was kept")
