"""The GPU's context, streams and buffers."""

from __future__ import annotations

import numpy as np
import pytest

from engines.errors import BackendError, DeviceError
from tests.doubles.gpu import Gpu, installed


def test_a_device_says_what_it_is(gpu: Gpu) -> None:
    from engines.device import Device, DeviceInfo

    assert Device().info == DeviceInfo("NVIDIA L4", (8, 9), "12.8", 24 << 30)


def test_the_primary_context_is_retained_once_and_released(gpu: Gpu) -> None:
    from engines.device import Device

    device = Device()
    assert (gpu.retained, gpu.contexts) == (1, [])
    device.close()
    assert (gpu.retained, gpu.contexts) == (0, []), "and is not left current"


def test_the_context_is_current_inside_and_not_after_an_error(gpu: Gpu) -> None:
    from engines.device import Device

    device = Device()
    with pytest.raises(ZeroDivisionError), device.current():
        assert len(gpu.contexts) == 1
        _ = 1 / 0
    assert gpu.contexts == []


def test_a_failed_launch_that_shows_later_is_one_of_our_errors(gpu: Gpu) -> None:
    from engines.device import Device

    device = Device()
    gpu.refusals["synchronize"] = "cuStreamSynchronize failed: an illegal memory access"
    with pytest.raises(DeviceError, match="NVIDIA L4: .* illegal memory access; see"):
        with device.current():
            device.stream().synchronize()
    assert gpu.contexts == []


def test_another_index_than_there_are(gpu: Gpu) -> None:
    from engines.device import Device

    with pytest.raises(DeviceError, match="GPU 3: .* invalid device ordinal; see"):
        Device(3)


def test_a_buffer_brings_its_host_twin_to_the_gpu_and_back(gpu: Gpu) -> None:
    from engines.device import Buffer, Device

    device = Device()
    with device.current():
        stream, buffer = device.stream(), Buffer((2, 3))
        assert (buffer.host == 0).all()
        buffer.host[:] = 5
        buffer.upload(stream)
        assert (gpu.memory[buffer.address] == 5).all()
        gpu.memory[buffer.address][:] = np.arange(6)
        buffer.download(stream)
        buffer.free()
    np.testing.assert_array_equal(buffer.host, [[0, 1, 2], [3, 4, 5]])
    assert gpu.memory == {}


def test_a_full_gpu_is_one_line_with_figures(gpu: Gpu) -> None:
    from engines.device import Buffer, Device

    gpu.free_bytes = 1 << 20
    device = Device()
    with pytest.raises(DeviceError, match="4 MiB wanted, 1 MiB of 24576 MiB free; close what else"):
        with device.current():
            Buffer((1, 1024, 1024))


def test_streams_are_tied_by_events(gpu: Gpu) -> None:
    from engines.device import Device

    device = Device()
    with device.current():
        first, second, event = device.stream(), device.stream(), device.event()
        event.record(first)
        second.wait_for_event(event)
    assert first.handle != second.handle
    assert gpu.calls[-2:] == ["record event", "wait for event"]


@pytest.mark.parametrize("library", ["pycuda.driver", "tensorrt"])
def test_a_missing_library_is_one_line(library: str) -> None:
    from engines.backends import open_graph
    from engines.specs import WARP_REFINE_LITE

    with installed(Gpu(), without=library):
        with pytest.raises(BackendError, match=rf"TensorRT cannot be .*{library}.* pip install"):
            open_graph("tensorrt", WARP_REFINE_LITE, WARP_REFINE_LITE.drive, 1)
