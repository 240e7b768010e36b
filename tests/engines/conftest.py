"""Where kernels are run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engines import driver
from engines.errors import DeviceError
from tests.engines.launching import Launch, on_the_gpu, on_this_processor


@pytest.fixture(scope="module", params=["host", pytest.param("gpu", marks=pytest.mark.gpu)])
def launch(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Launch]:
    if request.param == "gpu":
        try:
            driver.require()
        except DeviceError as error:
            pytest.skip(f"no GPU: {error}")
        with on_the_gpu(tmp_path_factory.mktemp("kernels")) as launch:
            yield launch
        return
    yield on_this_processor
