"""A pretended GPU for the tests of what needs one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.doubles.gpu import Gpu, installed


@pytest.fixture
def gpu() -> Iterator[Gpu]:
    made = Gpu()
    with installed(made):
        yield made
