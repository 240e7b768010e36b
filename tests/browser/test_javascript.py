"""The web client's pure parts: the `node --test` files, with the Node.js that Playwright brings."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from playwright._impl._driver import compute_driver_executable

pytestmark = pytest.mark.browser


def test_pure_parts_hold() -> None:
    node, _ = compute_driver_executable()
    here = Path(__file__).parent
    tests = sorted(str(path) for path in here.glob("*.test.mjs"))
    command = [node, "--test", *tests]
    ran = subprocess.run(command, cwd=here.parents[1], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
