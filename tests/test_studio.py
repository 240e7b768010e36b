"""What the studio tells of the GPU, on the pretended one: it has not run on a real one yet."""

from __future__ import annotations

import pytest

from engines.errors import DeviceError
from realtime.config import Config
from realtime.studio import LiveStudio
from realtime.telemetry import GpuMemory
from tests.doubles.gpu import Gpu, installed


def test_memory_is_told_while_a_backend_holds_the_gpu_and_none_before(gpu: Gpu) -> None:
    from engines.device import Device

    studio = LiveStudio(Config())
    assert studio.gpu_memory() is None
    assert gpu.retained == 0, "asking makes no context"
    backend = Device()
    assert studio.gpu_memory() == GpuMemory(20 << 30, 24 << 30)
    gpu.free_bytes = 1 << 30
    assert studio.gpu_memory() == GpuMemory(1 << 30, 24 << 30)
    assert gpu.retained == 2 and gpu.contexts == [], "held once more, however often it is asked"
    backend.close()


def test_without_pycuda_there_is_no_figure() -> None:
    gpu = Gpu()
    with installed(gpu, without="pycuda.driver"):
        gpu.retained = 1  # by PyTorch
        assert LiveStudio(Config()).gpu_memory() is None


def test_a_gpu_that_fails_is_an_error_and_no_figure(gpu: Gpu) -> None:
    gpu.retained = 1
    studio = LiveStudio(Config())
    gpu.count = 0
    assert studio.gpu_memory() is None
    gpu.count, gpu.driver_version = 1, 11000
    with pytest.raises(DeviceError, match="install a driver"):
        studio.gpu_memory()
