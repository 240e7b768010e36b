"""At the published sizes: parameters, names, shapes and multiplications are the papers'."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from engines.nets.liveportrait.checkpoint import NETWORKS, published_shapes
from engines.nets.liveportrait.graphs import graphs
from engines.nets.liveportrait.sizes import PUBLISHED

pytestmark = pytest.mark.train

Shapes = dict[str, tuple[int, ...]]

PARAMETERS = {
    "appearance": 836_224,
    "motion": 28_118_728,
    "warping": 45_529_829,
    "generator": 55_365_388,
    "stitching": 45_249,
    "lip_retargeting": 37_311,
    "eye_retargeting": 144_703,
}
MULTIPLICATIONS = {"appearance": 32.1e9, "motion": 5.82e9, "warping": 171.9e9, "generator": 445.8e9}
"""W's are 171.0e9 and 0.8e9 more for candidates that are read by matrices"""


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_are_as_many_as_published(name: str) -> None:
    with torch.device("meta"):
        module = NETWORKS[name].make(PUBLISHED)
    assert sum(p.numel() for p in module.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_have_the_shapes_of_the_table(name: str) -> None:
    spec = graphs()[name]
    with torch.device("meta"):
        module = NETWORKS[name].make(PUBLISHED).eval()
        inputs = [torch.zeros(tensor.shape) for tensor in spec.inputs]
    with FlopCounterMode(display=False) as counter:
        outputs = module(*inputs)
    shapes = [tuple(o.shape) for o in ((outputs,) if torch.is_tensor(outputs) else outputs)]
    assert shapes == [tensor.shape for tensor in spec.outputs]
    if name in MULTIPLICATIONS:
        assert counter.get_total_flops() / 2 == pytest.approx(MULTIPLICATIONS[name], rel=2e-3)


def conv(
    name: str, outputs: int, inputs: int, *kernel: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (outputs, inputs, *kernel)
    yield f"{name}.bias", (outputs,)


def norm(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (channels,)


def appearance() -> Iterator[tuple[str, tuple[int, ...]]]:
    for name, outputs, inputs in (
        ("first", 64, 3),
        ("down_blocks.0", 128, 64),
        ("down_blocks.1", 256, 128),
    ):
        yield from conv(f"{name}.conv", outputs, inputs, 3, 3)
        yield from norm(f"{name}.norm", outputs)
    yield from conv("second", 512, 256, 1, 1)
    for i in range(6):
        for j in (1, 2):
            yield from conv(f"resblocks_3d.3dr{i}.conv{j}", 32, 32, 3, 3, 3)
            yield from norm(f"resblocks_3d.3dr{i}.norm{j}", 32)


def motion() -> Iterator[tuple[str, tuple[int, ...]]]:
    before = 3
    for i, (width, blocks) in enumerate(((96, 3), (192, 3), (384, 9), (768, 3))):
        kernel, norms = (4, 96) if i == 0 else (2, before)
        yield from conv(f"downsample_layers.{i}.{int(i > 0)}", width, before, kernel, kernel)
        yield f"downsample_layers.{i}.{int(i == 0)}.weight", (norms,)
        yield f"downsample_layers.{i}.{int(i == 0)}.bias", (norms,)
        for j in range(blocks):
            block = f"stages.{i}.{j}"
            yield from conv(f"{block}.dwconv", width, 1, 7, 7)
            yield f"{block}.norm.weight", (width,)
            yield f"{block}.norm.bias", (width,)
            yield from conv(f"{block}.pwconv1", 4 * width, width)
            yield f"{block}.grn.gamma", (1, 1, 1, 4 * width)
            yield f"{block}.grn.beta", (1, 1, 1, 4 * width)
            yield from conv(f"{block}.pwconv2", width, 4 * width)
        before = width
    yield "norm.weight", (768,)
    yield "norm.bias", (768,)
    heads = {"kp": 63, "scale": 1, "pitch": 66, "yaw": 66, "roll": 66, "t": 3, "exp": 63}
    for head, outputs in heads.items():
        yield from conv(f"fc_{head}", outputs, 768)


def warping() -> Iterator[tuple[str, tuple[int, ...]]]:
    dense = "dense_motion_network"
    ways = {
        "encoder.down_blocks": (110, 64, 128, 256, 512, 1024),
        "decoder.up_blocks": (1024, 512, 256, 128, 64, 32),
    }
    for way, widths in ways.items():
        for i, outputs in enumerate(widths[1:]):
            skip = 2 if i and "up" in way else 1
            block = f"{dense}.hourglass.{way}.{i}"
            yield from conv(f"{block}.conv", outputs, skip * widths[i], 3, 3, 3)
            yield from norm(f"{block}.norm", outputs)
    yield from conv(f"{dense}.hourglass.decoder.conv", 142, 142, 3, 3, 3)
    yield from norm(f"{dense}.hourglass.decoder.norm", 142)
    yield from conv(f"{dense}.mask", 22, 142, 7, 7, 7)
    yield from conv(f"{dense}.compress", 4, 32, 1, 1, 1)
    yield from norm(f"{dense}.norm", 4)
    yield from conv(f"{dense}.occlusion", 1, 2272, 7, 7)
    yield from conv("third.conv", 256, 512, 3, 3)
    yield from norm("third.norm", 256)
    yield from conv("fourth", 256, 256, 1, 1)


def generator() -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from conv("fc", 512, 256, 3, 3)
    blocks = {
        **{f"G_middle_{i}": (512, 512) for i in range(6)},
        "up_0": (512, 256),
        "up_1": (256, 64),
    }
    for block, (inputs, outputs) in blocks.items():
        middle = min(inputs, outputs)
        parts = {"0": (inputs, middle, 3), "1": (middle, outputs, 3)}
        if inputs != outputs:
            parts["s"] = (inputs, outputs, 1)
        for part, (before, after, kernel) in parts.items():
            yield f"{block}.conv_{part}.weight_orig", (after, before, kernel, kernel)
            yield f"{block}.conv_{part}.weight_u", (after,)
            yield f"{block}.conv_{part}.weight_v", (before * kernel * kernel,)
            if part != "s":
                yield f"{block}.conv_{part}.bias", (after,)
            yield from conv(f"{block}.norm_{part}.mlp_shared.0", 128, 256, 3, 3)
            yield from conv(f"{block}.norm_{part}.mlp_gamma", before, 128, 3, 3)
            yield from conv(f"{block}.norm_{part}.mlp_beta", before, 128, 3, 3)
    yield from conv("conv_img.0", 12, 64, 3, 3)


def perceptron(*widths: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for i, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
        yield from conv(f"mlp.{2 * i}", after, before)


EXPECTED = {
    "appearance": dict(appearance()),
    "motion": {f"detector.{name}": shape for name, shape in motion()},
    "warping": dict(warping()),
    "generator": dict(generator()),
    "stitching": dict(perceptron(126, 128, 128, 64, 65)),
    "lip_retargeting": dict(perceptron(65, 128, 128, 64, 63)),
    "eye_retargeting": dict(perceptron(66, 256, 256, 128, 128, 64, 63)),
}
"""what the published files hold, counters of batch norms aside"""


@pytest.mark.parametrize("name", NETWORKS)
def test_every_published_name_is_known_and_no_other(name: str) -> None:
    assert published_shapes(name) == EXPECTED[name]
