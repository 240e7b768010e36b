"""ONNX Runtime on the CPU: the backend of machines without a GPU. Only importer of onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from engines.backends.base import REINSTALL, check_signature
from engines.errors import BackendError
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
        options.intra_op_num_threads = threads
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
