"""Recorded from pycuda.compiler 2026.1 by tests/stubs/record.py."""

# mypy: disable-error-code="overload-cannot-match"
from typing import Any

def compile(
    source: Any,
    nvcc: Any = ...,
    options: Any = ...,
    keep: Any = ...,
    no_extern_c: Any = ...,
    arch: Any = ...,
    code: Any = ...,
    cache_dir: Any = ...,
    include_dirs: Any = ...,
    target: Any = ...,
) -> Any: ...
def get_nvcc_version(nvcc: Any) -> Any: ...
