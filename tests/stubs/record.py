"""Records what the Python bindings of TensorRT and CUDA offer, as stubs without documentation.

    python -m tests.stubs.record tensorrt tests/stubs/tensorrt_11/tensorrt.pyi

Reads the signatures that pybind11 and Boost.Python leave in docstrings, and Python's own, so that
neither a GPU nor TensorRT's own libraries need to work, only the import. Kept are the classes of
`KEPT`; types of others become Any. mypy checks our code against these files, and the doubles in
`tests/doubles` may offer nothing that is not in them.

The recorded bindings were imported on a machine without a GPU: `pip download --no-deps
tensorrt_cu12_bindings`, with empty libraries in the place of libnvinfer and its like; pycuda was
built from source against a libcuda whose functions do nothing.
"""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

KEPT = {
    "tensorrt": (
        "BuilderFlag",
        "DataType",
        "NetworkDefinitionCreationFlag",
        "TensorIOMode",
        "Builder",
        "Dims",
        "IBuilderConfig",
        "ICudaEngine",
        "IExecutionContext",
        "IHostMemory",
        "ILogger",
        "INetworkDefinition",
        "IProgressMonitor",
        "ITimingCache",
        "OnnxParser",
        "ParserError",
        "Runtime",
    ),
    "pycuda.driver": (
        "Error",
        "LogicError",
        "MemoryError",
        "CompileError",
        "Context",
        "Device",
        "DeviceAllocation",
        "Event",
        "Function",
        "Module",
        "Stream",
    ),
    "pycuda.compiler": (),
}
"""module -> classes, in the order of the file"""

FUNCTIONS = {
    "tensorrt": (),
    "pycuda.driver": (
        "init",
        "get_version",
        "get_driver_version",
        "mem_alloc",
        "mem_get_info",
        "memcpy_dtod_async",
        "memcpy_dtoh_async",
        "memcpy_htod_async",
        "module_from_buffer",
        "pagelocked_empty",
    ),
    "pycuda.compiler": ("compile", "get_nvcc_version"),
}

TYPES = {
    **{name: name for name in ("bool", "bytes", "float", "int", "str", "None")},
    "typing.SupportsInt": "int",
    "buffer": "bytes",
    "typing_extensions.Buffer": "bytes",
}
"""as pybind11 writes them -> as a stub does"""

PYBIND = re.compile(r"^(?:\d+\. )?(\w*)\((.*)\) -> (.+)$", re.MULTILINE)
BOOST = re.compile(r"^(\w+)\((.*)\) -> (\w+) :", re.MULTILINE)
BOOST_ARGUMENT = re.compile(r"\((\w+)\)(\w+)")


def record(module: str) -> Iterator[str]:
    """The lines of the stub."""
    found = importlib.import_module(module)
    kept = KEPT[module]
    version = getattr(importlib.import_module(module.split(".")[0]), "__version__", None)
    yield f'"""Recorded from {module} {version or _pycuda_version()} by tests/stubs/record.py."""'
    # pybind11's overloads differ in types that are Any here
    yield '# mypy: disable-error-code="overload-cannot-match"'
    yield "from typing import Any, overload"
    if version:
        yield "__version__: str"
    for name in kept:
        yield from _class(getattr(found, name), kept)
    for name in FUNCTIONS[module]:
        yield from _callable(getattr(found, name), name, kept, indent="")


def _pycuda_version() -> str:
    return str(importlib.import_module("pycuda").VERSION_TEXT)


def _class(cls: type, kept: tuple[str, ...], indent: str = "") -> Iterator[str]:
    bases = [base.__name__ for base in cls.__bases__ if base.__name__ in kept]
    if issubclass(cls, Exception):
        bases = bases or ["Exception"]
    yield f"{indent}class {cls.__name__}{'(' + ', '.join(bases) + ')' if bases else ''}:"
    inner = indent + "    "
    yield from list(_members(cls, kept, inner)) or [f"{inner}..."]


def _members(cls: type, kept: tuple[str, ...], inner: str) -> Iterator[str]:
    members = getattr(cls, "__members__", None)
    if members is not None:
        yield from (f"{inner}{name}: {cls.__qualname__}" for name in sorted(members))
        yield f"{inner}def __int__(self) -> int: ..."
        return
    if "buffer protocol" in (cls.__doc__ or ""):
        yield f"{inner}def __buffer__(self, flags: int, /) -> memoryview: ..."
    for name, member in sorted(vars(cls).items()):
        if name.startswith("_") and name not in ("__init__", "__int__", "__len__", "__getitem__"):
            continue
        if inspect.isclass(member):
            yield from _class(member, kept, inner)
        elif isinstance(member, property):
            yield from _property(member, name, kept, inner)
        else:
            static = isinstance(member, staticmethod)
            yield from _callable(getattr(cls, name), name, kept, inner, static=static)


def _property(member: property, name: str, kept: tuple[str, ...], indent: str) -> Iterator[str]:
    match = PYBIND.search(getattr(member.fget, "__doc__", None) or "")
    returned = _type(match[3], kept) if match else "Any"
    yield f"{indent}@property"
    yield f"{indent}def {name}(self) -> {returned}: ..."
    if member.fset is not None:
        yield f"{indent}@{name}.setter"
        yield f"{indent}def {name}(self, value: {returned}) -> None: ..."


def _callable(
    member: object, name: str, kept: tuple[str, ...], indent: str, *, static: bool = False
) -> Iterator[str]:
    documentation = getattr(member, "__doc__", None) or ""
    boost = [m for m in BOOST.finditer(documentation) if m[1] == name]
    pybind = [m for m in PYBIND.finditer(documentation) if m[1] == name and "*args" not in m[2]]
    if inspect.isfunction(member):
        forms = [(_own_arguments(member), "Any")]
    elif boost:
        bare = static or not indent
        forms = [(_boost_arguments(m[2], kept, bare), _type(m[3], kept)) for m in boost]
    else:
        forms = [(_pybind_arguments(m[2], kept), _type(m[3], kept)) for m in pybind]
    for arguments, returned in forms:
        returned = "None" if name == "__init__" else returned
        if len(forms) > 1:
            yield f"{indent}@overload"
        if static:
            yield f"{indent}@staticmethod"
        yield f"{indent}def {name}({arguments}) -> {returned}: ..."


def _own_arguments(function: Callable[..., object]) -> str:
    """Of a function in Python: names, without their types and defaults."""
    made = []
    for argument in inspect.signature(function).parameters.values():
        stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(argument.kind.name, "")
        default = "" if argument.default is argument.empty else " = ..."
        kind = "" if argument.name == "self" else ": Any"
        made.append(f"{stars}{argument.name}{kind}{default}")
    return ", ".join(made)


def _pybind_arguments(text: str, kept: tuple[str, ...]) -> str:
    """`self: pkg.Builder, flags: int = 0` -> `self, flags: int = ...`."""
    made = ["self"]
    optional = False
    for argument in re.split(r", (?=\w+:)", text)[1:]:
        name, _, rest = argument.partition(": ")
        kind, _, default = rest.partition(" = ")
        optional = optional or bool(default)  # pybind11 lets others follow a default
        made.append(f"{name}: {_type(kind, kept)}{' = ...' if optional else ''}")
    return ", ".join(made)


def _boost_arguments(text: str, kept: tuple[str, ...], bare: bool) -> str:
    """`(Stream)arg1 [, (int)flags=0]` -> `self, flags: int = ...`; `bare` has no self."""
    optional = text.find("[") if "[" in text else len(text)
    found = [
        f"{m[2]}: {_type(m[1], kept)}{' = ...' if m.start() > optional else ''}"
        for m in BOOST_ARGUMENT.finditer(text)
    ]
    return ", ".join(found if bare else ["self", *found[1:]])


def _type(text: str, kept: tuple[str, ...]) -> str:
    text = text.strip()
    listed = re.fullmatch(r"[Ll]ist\[(.+)\]", text)
    if listed:
        return f"list[{_type(listed[1], kept)}]"
    bare = re.sub(r"^tensorrt(_bindings)?(\.tensorrt)?\.", "", text)
    return TYPES.get(text) or (bare if bare.split(".")[0] in kept else "Any")


if __name__ == "__main__":
    module, target = sys.argv[1:]
    path = Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(record(module)) + "\n")
    subprocess.run(["ruff", "format", "--quiet", target], check=True)
    subprocess.run(["ruff", "check", "--fix", "--quiet", target], check=True)
