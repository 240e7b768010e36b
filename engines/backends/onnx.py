"""ONNX Runtime on the CPU: the backend of machines without a GPU. Only importer of onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from engines.backends.base import REINSTALL, check_signature
from engines.errors import BackendError, EngineError
from engines.specs import GraphSpec

F32 = NDArray[np.float32]

VERSION: str = onnxruntime.__version__


class OnnxEngine:
    """One graph in one session. Output buffers are bound once and overwritten by the next run."""

    def __init__(self, spec: GraphSpec, path: Path, threads: int, fix: str = REINSTALL) -> None:
        """
        Args:
            fix: of a file that is not what it must be.
        """
        self.spec = spec
        plural = "" if threads == 1 else "s"
        self.description = f"ONNX Runtime {VERSION}, CPU, {threads} thread{plural}"
        options = onnxruntime.SessionOptions()
        # it runs beside on one of the pool's threads, of which the caller's is none
        options.intra_op_num_threads = threads + 1 if spec.beside else threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # spinning workers would take the cores from tracking and encoding between two frames
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except (RuntimeError, ValueError) as error:  # onnxruntime's errors derive from these
            raise BackendError(
                f"{path}: ONNX Runtime {VERSION} cannot load it: {error}; {fix}"
            ) from error
        tensors = [*self._session.get_inputs(), *self._session.get_outputs()]
        check_signature(str(path), {t.name: tuple(t.shape) for t in tensors}, spec, fix)
        self._outputs = {t.name: np.empty(t.shape, np.float32) for t in spec.outputs}
        self._binding = self._session.io_binding()
        for name, buffer in self._outputs.items():
            self._binding.bind_output(name, "cpu", 0, np.float32, buffer.shape, buffer.ctypes.data)

    def run(self, inputs: Mapping[str, F32]) -> dict[str, F32]:
        """Run once. The returned arrays are this engine's own: copy what must outlive the next."""
        # the binding points into these arrays, copies or not: they must outlive the run
        bound = {name: np.ascontiguousarray(v, np.float32) for name, v in inputs.items()}
        for name, value in bound.items():
            self._binding.bind_cpu_input(name, value)
        self._session.run_with_iobinding(self._binding)
        return self._outputs


class OnnxBesideEngine(OnnxEngine):
    """For a graph that is run `beside`: on a thread of ONNX Runtime's own."""

    def start(self, inputs: Mapping[str, F32]) -> Callable[[], dict[str, F32]]:
        """Begin a run; what is returned waits for its outputs, which are the caller's own.

        Raises:
            EngineError: the run failed; raised where it is waited for.
        """
        bound = {name: np.ascontiguousarray(v, np.float32) for name, v in inputs.items()}
        names = list(self._outputs)
        run: Future[dict[str, F32]] = Future()

        def end(outputs: list[F32], held: Mapping[str, F32], error: str) -> None:
            if error:
                run.set_exception(EngineError(f"{self.spec.name}: ONNX Runtime failed: {error}"))
            else:
                run.set_result(dict(zip(names, outputs, strict=True)))

        self._session.run_async(names, bound, end, bound)  # which keeps them alive
        return run.result
