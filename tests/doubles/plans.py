"""The shipped network as plans for the pretended GPU, in the cache that the program looks into."""

from __future__ import annotations

from engines import plans, weights
from engines.specs import WARP_REFINE_LITE
from tests.doubles.tensorrt import MAGIC


def install_shipped() -> None:
    """The doubles are installed, and XDG_CACHE_HOME is the test's own."""
    from engines.backends.tensorrt import plan_key
    from engines.device import Device

    device = Device()
    for graph in WARP_REFINE_LITE.graphs:
        key = plan_key(WARP_REFINE_LITE, graph, "fp16", device.info)
        content = weights.locate(WARP_REFINE_LITE.name, f"{graph.name}.onnx").read_bytes()
        plans.install(key, MAGIC + content, plans.default_root())
    device.close()
