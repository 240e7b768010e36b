"""Compiled loops: the types are a promise, and a cache is no condition."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from engines.compiled import compiled


def double(values: np.ndarray) -> None:
    for i in range(len(values)):
        values[i] *= 2


def test_other_types_and_layouts_are_refused() -> None:
    doubled = compiled("void(f4[::1])")(double)
    values = np.arange(4, dtype=np.float32)
    doubled(values)
    np.testing.assert_array_equal(values, [0, 2, 4, 6])
    for wrong in (values.astype(np.float64), values[::2], values[:, None]):
        with pytest.raises(TypeError):
            doubled(wrong)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("cannot cache function: no locator available"),
        OSError(28, "No space left on device"),
    ],
)
def test_without_a_place_for_the_cache_it_compiles_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    compile_for = numba.njit

    def without_cache(*args: Any, cache: bool = False, **kwargs: Any) -> Any:
        if cache:
            raise error
        return compile_for(*args, **kwargs)

    monkeypatch.setattr(numba, "njit", without_cache)
    values = np.ones(3, np.float32)
    compiled("void(f4[::1])")(double)(values)
    np.testing.assert_array_equal(values, 2)
    assert "compiling double at every start" in caplog.text
