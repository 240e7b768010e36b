"""The kernels on a GPU: compiled once, kept beside the plans, launched on the stream that is given.

    with device.current():
        program = Program(device.info, plans.default_root())
        program.launch(BLEND, stream, width, height, front, back, 0, picture)

Compiled by nvcc: pycuda has no wheels, so where it could be installed, there is one. Products and
sums are not joined (`-fmad=false`): the GPU then rounds as the CPU does, and what the tests compare
without a GPU is what runs on one. Like `engines/device.py`, to be imported where a GPU is asked
for, not before. Knows no networks and no buffers.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from pathlib import Path

import pycuda.driver as cuda
from pycuda import compiler

from engines import kernels
from engines.device import DeviceInfo
from engines.errors import BackendError
from engines.kernels import Kernel

logger = logging.getLogger(__name__)

OPTIONS = ("-fmad=false",)
_COMPILER = "nvcc"
_DIGEST_BYTES = hashlib.sha256().digest_size


class Program:
    """Every kernel, ready to launch. The device's context is current, here and for each call.

    Raises:
        BackendError: there is no compiler, or it refuses the kernels.
    """

    def __init__(self, info: DeviceInfo, root: Path) -> None:
        module = cuda.module_from_buffer(load_or_compile(info.compute_capability, root))
        self._functions: dict[str, cuda.Function] = {
            kernel.name: module.get_function(kernel.name).prepare("ii" + kernel.arguments)
            for kernel in kernels.EVERY
        }

    def launch(
        self, kernel: Kernel, stream: cuda.Stream, columns: int, rows: int, *arguments: float
    ) -> None:
        """Put it on the stream and return at once. Allocates nothing on the GPU.

        Args:
            columns, rows: of items, as the kernel's comment says; of none, nothing is launched.
            arguments: the others, in the order of the table.
        """
        if columns <= 0 or rows <= 0:
            return
        grid, block = kernels.geometry(columns, rows)
        function = self._functions[kernel.name]
        function.prepared_async_call(grid, block, stream, columns, rows, *arguments)

    def close(self) -> None:
        """Unload the kernels; before the device is closed."""
        self._functions.clear()


def load_or_compile(compute_capability: tuple[int, int], root: Path) -> bytes:
    """The kernels' machine code for one kind of GPU, from the cache if it is there and whole.

    Raises:
        BackendError: as of `Program`.
    """
    source, architecture = kernels.source(), "sm_{}{}".format(*compute_capability)
    key = "\n".join((source, architecture, _compiler_version(), *OPTIONS))
    path = root / f"kernels.{hashlib.sha256(key.encode()).hexdigest()[:12]}.cubin"
    kept = _read(path)
    if kept is not None:
        return kept
    logger.info("compiling the kernels for %s into %s", architecture, path)
    code = _compile(source, architecture)
    _install(path, code)
    return code


def _compiler_version() -> str:
    try:
        return str(compiler.get_nvcc_version(_COMPILER))
    except OSError as error:
        raise BackendError(
            f"no CUDA compiler ({error}); install the CUDA toolkit and put its bin folder on PATH"
        ) from None


def _compile(source: str, architecture: str) -> bytes:
    try:
        code: bytes = compiler.compile(
            source,
            nvcc=_COMPILER,
            options=list(OPTIONS),
            no_extern_c=True,
            arch=architecture,
            cache_dir=False,
        )
    except cuda.CompileError as error:
        raise BackendError(
            f"{_COMPILER} refuses the kernels for {architecture} ({_gist(str(error))}); "
            "install a CUDA toolkit that knows this GPU"
        ) from None
    return code


def _gist(said: str) -> str:
    """The line of a compiler's many that says what is wrong."""
    lines = said.splitlines()
    return next((line for line in lines if "error" in line or "fatal" in line), lines[0])


def _read(path: Path) -> bytes | None:
    """What `_install` put there; None if it is not there or damaged."""
    if not path.is_file():
        return None
    content = path.read_bytes()
    digest, code = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(code).digest() == digest:
        return code
    logger.warning("%s is damaged; the kernels are compiled again", path)
    return None


def _install(path: Path, code: bytes) -> None:
    """Code behind its sha256, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix="unfinished.", delete=False) as made:
        made.write(hashlib.sha256(code).digest() + code)
    os.replace(made.name, path)
