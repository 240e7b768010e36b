"""PyTorch: the reference that every other backend is held against.

On the CPU float32, as the network was trained. On CUDA float16, channels last, each launch
replayed from a CUDA graph that is recorded once; tensors stay float32 at the door. Also writes
typed ONNX, which TensorRT builds plans from: it takes each tensor's precision from there.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.utils.flop_counter import FlopCounterMode

from engines import tensorrt_operators, weights
from engines.backends.base import Stream
from engines.ceilings import Ceilings, Work, quickest
from engines.errors import BackendError, DeviceError, WeightsError
from engines.sources import AnyNetwork, Source
from engines.specs import GraphSpec, NetworkSpec

F32 = NDArray[np.float32]

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16}
COORDINATES = frozenset({"grid", "view", "kp_driving", "kp_source", "deformation"})
"""inputs that are places or hold some, by name"""
_WARM_UP = 3
"""launches before the recording, in which cuDNN chooses its kernels and takes its memory"""


class Typed(torch.nn.Module):
    """A graph that computes in one precision and is float32 at the door.

    Coordinates stay float32 inside too: they say where, and a network samples in their precision.
    """

    def __init__(self, spec: GraphSpec, graph: torch.nn.Module, precision: str) -> None:
        super().__init__()
        dtype = PRECISIONS[precision]
        self._dtypes = [torch.float32 if t.name in COORDINATES else dtype for t in spec.inputs]
        self.graph = graph.to(dtype)

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        typed = (tensor.to(d) for tensor, d in zip(inputs, self._dtypes, strict=True))
        return tuple(result.float() for result in results(self.graph(*typed)))


def results(found: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """What a graph gave, one tensor or several, in the order of its table."""
    return found if isinstance(found, tuple) else (found,)


class TorchEngine:
    """The reference: one graph on the CPU."""

    def __init__(self, spec: GraphSpec, graph: torch.nn.Module, threads: int) -> None:
        torch.set_num_threads(threads)
        self.spec = spec
        self.description = f"PyTorch {torch.__version__}, CPU, fp32"
        self._graph = graph

    @torch.inference_mode()
    def run(self, inputs: Mapping[str, F32]) -> dict[str, F32]:
        tensors = (torch.from_numpy(inputs[tensor.name]) for tensor in self.spec.inputs)
        found = results(self._graph(*tensors))
        return {t.name: r.numpy() for t, r in zip(self.spec.outputs, found, strict=True)}


class TorchCudaEngine:
    """One graph on the current CUDA device. A `StreamEngine`.

    Raises:
        DeviceError: here and when it runs: no memory is left, or a CUDA call failed.
    """

    @torch.inference_mode()
    def __init__(self, spec: GraphSpec, graph: torch.nn.Module, precision: str = "fp16") -> None:
        self.spec, self.precision = spec, precision
        with _cuda_errors():
            self._open(spec, graph)

    def _open(self, spec: GraphSpec, graph: torch.nn.Module) -> None:
        device = torch.cuda.get_device_name()
        self.description = f"PyTorch {torch.__version__}, {device}, {self.precision}"
        self._typed = channels_last(Typed(spec, graph, self.precision).to("cuda"))
        self._inputs = {t.name: torch.zeros(t.shape, device="cuda") for t in spec.inputs}
        self._staged = {t.name: torch.zeros(t.shape, pin_memory=True) for t in spec.inputs}
        self._outputs = {t.name: torch.zeros(t.shape, device="cuda") for t in spec.outputs}
        self._fetched = {t.name: torch.zeros(t.shape, pin_memory=True) for t in spec.outputs}
        self._results = {name: tensor.numpy() for name, tensor in self._fetched.items()}
        both = self._inputs | self._outputs
        self.addresses = {name: tensor.data_ptr() for name, tensor in both.items()}
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        torch.backends.cudnn.benchmark = True  # times its kernels once for these shapes
        self._recorded = torch.cuda.CUDAGraph()
        with torch.cuda.stream(self._stream):
            for _ in range(_WARM_UP):
                self._launch()
        self._stream.synchronize()
        with torch.cuda.graph(
            self._recorded, stream=self._stream, capture_error_mode="thread_local"
        ):
            self._launch()

    def enqueue(self, stream: Stream) -> None:
        """As of `StreamEngine`."""
        outer = torch.cuda.ExternalStream(stream.handle)  # type: ignore[no-untyped-call]
        with _cuda_errors(), torch.cuda.stream(outer):
            self._recorded.replay()

    @torch.inference_mode()
    def run(self, inputs: Mapping[str, F32]) -> dict[str, F32]:
        """Run once and wait. The returned arrays are overwritten by the next run."""
        with _cuda_errors():
            with torch.cuda.stream(self._stream):
                for name, tensor in self._inputs.items():
                    assert inputs[name].shape == tuple(tensor.shape), name  # copy_ would repeat it
                    self._staged[name].copy_(torch.from_numpy(inputs[name]))
                    tensor.copy_(self._staged[name], non_blocking=True)
                self._recorded.replay()
                for name, tensor in self._outputs.items():
                    self._fetched[name].copy_(tensor, non_blocking=True)
            self._stream.synchronize()
        return self._results

    def _launch(self) -> None:
        pictures = (
            tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
            for tensor in self._inputs.values()
        )
        for tensor, found in zip(self._outputs.values(), self._typed(*pictures), strict=True):
            tensor.copy_(found)


@contextmanager
def _cuda_errors() -> Iterator[None]:
    """What PyTorch raises about the GPU, as ours."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise DeviceError(
            f"out of GPU memory: {_first_line(error)}; close what else uses the GPU "
            "(nvidia-smi lists it)"
        ) from None
    except RuntimeError as error:
        raise DeviceError(
            f"PyTorch on CUDA: {_first_line(error)}; see what nvidia-smi says"
        ) from None


def _first_line(error: RuntimeError) -> str:
    return str(error).partition("\n")[0]


def channels_last(module: torch.nn.Module) -> torch.nn.Module:
    """The module with the kernels of its 2-D convolutions so; others have no such order."""
    for weight in module.parameters():
        if weight.dim() == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return module


def on_cuda() -> bool:
    """Whether `open_graph` takes a GPU."""
    return torch.cuda.is_available()


def require_cuda() -> None:
    """
    Raises:
        DeviceError: this PyTorch finds no GPU.
    """
    if not on_cuda():
        raise DeviceError(
            f"PyTorch {torch.__version__} finds no CUDA device; install a build for CUDA "
            "(pytorch.org), not the CPU's"
        )


def open_graph(
    network: AnyNetwork,
    graph: GraphSpec,
    threads: int,
    root: Path = weights.WEIGHTS_DIRECTORY,
    *,
    on_cuda: bool | None = None,
) -> TorchEngine | TorchCudaEngine:
    """
    Args:
        on_cuda: None takes CUDA where this PyTorch finds it.

    Raises:
        WeightsError: the weights are not the network's.
    """
    module = load_graph(network, graph, root)
    if torch.cuda.is_available() if on_cuda is None else on_cuda:
        return TorchCudaEngine(graph, module, precision_of(graph, "fp16"))
    return TorchEngine(graph, module, threads)


def precision_of(graph: GraphSpec, asked: str) -> str:
    """In which a graph computes where `asked` is asked for."""
    return "fp32" if graph.precise else asked


def load_graph(
    network: AnyNetwork, graph: GraphSpec, root: Path = weights.WEIGHTS_DIRECTORY
) -> torch.nn.Module:
    """The module of one graph, with the network's weights.

    Args:
        root: of weights that ship.

    Raises:
        WeightsError: they are missing, damaged, or of another network.
    """
    if isinstance(network, Source):
        return network.module(graph)
    path = weights.locate(network.name, "model.safetensors", root)
    module: torch.nn.Module = getattr(_module_of(network), graph.name)
    prefix = f"{graph.name}."
    try:
        named = {
            name.removeprefix(prefix): tensor
            for name, tensor in load_file(path).items()
            if name.startswith(prefix)
        }
        module.load_state_dict(named)
    except (SafetensorError, RuntimeError) as error:
        said = " ".join(str(error).split())[:200]
        raise WeightsError(
            f"{path}: not the weights of {network.name} {graph.name} ({said}); reinstall reenactd"
        ) from None
    return module.eval().requires_grad_(False)


def work_of(
    network: AnyNetwork,
    graph: GraphSpec,
    precision: str = "fp32",
    root: Path = weights.WEIGHTS_DIRECTORY,
) -> Work:
    """What one call of a graph takes, counted without running it.

    Args:
        precision: of the weights; tensors at the door are float32.

    Raises:
        WeightsError: as of `load_graph`.
    """
    module = load_graph(network, graph, root).to("meta")
    inputs = (torch.zeros(tensor.shape, device="meta") for tensor in graph.inputs)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module(*inputs)
    at_door = sum(math.prod(tensor.shape) for tensor in (*graph.inputs, *graph.outputs))
    weights_bytes = sum(p.numel() for p in module.parameters()) * PRECISIONS[precision].itemsize
    return Work(counter.get_total_flops(), weights_bytes + 4 * at_door)


def ceilings_of_cuda(precision: str) -> Ceilings:
    """Of the current CUDA device: a product of large matrices, and a large copy."""
    left = torch.ones((8192, 8192), dtype=PRECISIONS[precision], device="cuda")
    source = torch.ones(2**28, dtype=torch.float32, device="cuda")
    target = torch.empty_like(source)

    def done(work: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            work()
            torch.cuda.synchronize()

        return run

    product_s = quickest(done(lambda: left @ left))
    copy_s = quickest(done(lambda: target.copy_(source)))
    return Ceilings(2 * 8192**3 / product_s, 2 * source.nbytes / copy_s)


def write_onnx(spec: GraphSpec, graph: torch.nn.Module, precision: str, path: Path) -> None:
    """The graph as ONNX whose tensors are of this precision, float32 at the door."""
    inputs = tuple(torch.zeros(tensor.shape) for tensor in spec.inputs)
    trace_onnx(spec, Typed(spec, graph, precision), inputs, path)


def trace_onnx(
    spec: GraphSpec, graph: torch.nn.Module, inputs: tuple[torch.Tensor, ...], path: Path
) -> None:
    """The graph as ONNX, its tensors named as in the table."""
    with warnings.catch_warnings():
        # the TorchScript exporter is deprecated, but its successor needs an onnx that needs a
        # protobuf that MediaPipe cannot live with
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph,
            inputs,
            str(path),
            input_names=[t.name for t in spec.inputs],
            output_names=[t.name for t in spec.outputs],
            opset_version=tensorrt_operators.OPSET,
            dynamo=False,
        )


def _module_of(network: NetworkSpec) -> torch.nn.Module:
    """The network's modules, untrained, each under the name of its graph."""
    from engines.nets.warp_refine import WarpRefine

    if not network.name.startswith("warp-refine"):
        raise BackendError(f"no PyTorch module for the network {network.name}; use onnx")
    return WarpRefine(network.size)
