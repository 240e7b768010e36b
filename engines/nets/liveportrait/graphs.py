"""The table of LivePortrait's graphs: every tensor's name, shape and range.

W comes twice: in three parts, before the last of which a kernel of ours samples, and whole with
that sampling as gathers, for runtimes without the kernel. M and the perceptrons compute in float32
everywhere: their outputs are key points, and W samples in the precision of those. A graph has
weights in a file of its name, or of the graph that it is a part of.
"""

from __future__ import annotations

from engines.nets.liveportrait.sizes import PUBLISHED, Sizes
from engines.specs import GraphSpec, TensorSpec

_LOGIT = 20.0


def graphs(sizes: Sizes = PUBLISHED) -> dict[str, GraphSpec]:
    """Name -> graph; batch is 1."""
    points, side, depth = sizes.points, sizes.side, sizes.depth
    space = depth, side, side
    picture = TensorSpec("picture", (1, 3, sizes.picture, sizes.picture), 0.0, 1.0)
    rendered = TensorSpec("rendered", (1, 3, sizes.rendered, sizes.rendered), 0.0, 1.0)
    volume = TensorSpec("volume", (1, sizes.channels, *space), -8.0, 8.0)
    compressed = TensorSpec("compressed", (1, sizes.compressed, *space), 0.0, 8.0)
    kp_driving = TensorSpec("kp_driving", (1, points, 3), -1.0, 1.0)
    kp_source = TensorSpec("kp_source", (1, points, 3), -1.0, 1.0)
    deformation = TensorSpec("deformation", (1, *space, 3), -2.0, 2.0)
    occlusion = TensorSpec("occlusion", (1, 1, side, side), 0.0, 1.0)
    warped = TensorSpec("warped", volume.shape, -8.0, 8.0)
    features = TensorSpec("features", (1, sizes.features, side, side), -8.0, 8.0)
    found = (
        GraphSpec("appearance", (picture,), (volume,)),
        GraphSpec("motion", (picture,), _heads(sizes), precise=True),
        GraphSpec("warping", (volume, kp_driving, kp_source), (features,)),
        GraphSpec("warping_compress", (volume,), (compressed,), "warping"),
        GraphSpec(
            "warping_choose",
            (compressed, kp_driving, kp_source),
            (deformation, occlusion),
            "warping",
        ),
        GraphSpec("warping_flatten", (warped, occlusion), (features,), "warping"),
        GraphSpec("generator", (features,), (rendered,)),
        _perceptron("stitching", 6 * points, 3 * points + 2),
        _perceptron("lip_retargeting", 3 * points + 2, 3 * points),
        _perceptron("eye_retargeting", 3 * points + 3, 3 * points),
    )
    return {graph.name: graph for graph in found}


def whole(sizes: Sizes = PUBLISHED) -> tuple[GraphSpec, ...]:
    """Every network as one graph, for ONNX Runtime and PyTorch."""
    return tuple(graph for graph in graphs(sizes).values() if not graph.part_of)


def cut(sizes: Sizes = PUBLISHED) -> tuple[GraphSpec, ...]:
    """Every network as graphs that need no plugin, for TensorRT."""
    found = graphs(sizes)
    in_parts = {graph.part_of for graph in found.values()}
    return tuple(graph for graph in found.values() if graph.name not in in_parts)


def drive(sizes: Sizes = PUBLISHED) -> GraphSpec:
    """What a frame costs at least: W and then G, seen from outside. Not exported as one."""
    found = graphs(sizes)
    return GraphSpec("drive", found["warping"].inputs, found["generator"].outputs)


def _heads(sizes: Sizes) -> tuple[TensorSpec, ...]:
    angles = (TensorSpec(n, (1, sizes.bins), -_LOGIT, _LOGIT) for n in ("pitch", "yaw", "roll"))
    flat = 1, 3 * sizes.points
    return (
        *angles,
        TensorSpec("t", (1, 3), -1.0, 1.0),
        TensorSpec("exp", flat, -1.0, 1.0),
        TensorSpec("scale", (1, 1), 0.0, 4.0),
        TensorSpec("kp", flat, -1.0, 1.0),
    )


def _perceptron(name: str, inputs: int, outputs: int) -> GraphSpec:
    given = TensorSpec("asked", (1, inputs), -1.0, 1.0)
    delta = TensorSpec("delta", (1, outputs), -1.0, 1.0)
    return GraphSpec(name, (given,), (delta,), precise=True)
