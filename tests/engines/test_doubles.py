"""The doubles offer nothing that the recorded APIs do not."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path
from types import ModuleType

import pytest

from engines import driver
from engines.errors import DeviceError
from tests.doubles import pycuda, tensorrt
from tests.doubles.gpu import Gpu, Strict
from tests.stubs.record import KEPT, record

STUBS = Path(__file__).parents[1] / "stubs"
TENSORRT = ("tensorrt_10/tensorrt.pyi", "tensorrt_11/tensorrt.pyi")
PYCUDA = "pycuda_2026/pycuda"

Signatures = dict[str, list[list[str]]]
"""`Class.method` -> the arguments of each of its forms; of a constant or property, none"""


def recorded(stub: str) -> Signatures:
    return parsed((STUBS / stub).read_text())


def parsed(text: str) -> Signatures:
    found: Signatures = {}

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                found[prefix + node.name] = []
                visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.FunctionDef):
                args = node.args
                stars = [argument for argument in (args.vararg, args.kwarg) if argument]
                names = [argument.arg for argument in (*args.args, *stars)]
                found.setdefault(prefix + node.name, []).append(names)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found[prefix + node.target.id] = []

    visit(ast.parse(text).body, "")
    return found


def offered(module: ModuleType) -> Signatures:
    found: Signatures = {}

    def visit(members: dict[str, object], prefix: str) -> None:
        for name, member in members.items():
            if name.startswith("_") and not (prefix and name in ("__init__", "__getitem__")):
                continue
            if isinstance(member, staticmethod):
                member = member.__func__
            if inspect.isclass(member):
                found[prefix + name] = []
                inner = getattr(member, "__members__", None)
                visit(dict(vars(member) if inner is None else inner), f"{prefix}{name}.")
            elif inspect.isfunction(member):
                found[prefix + name] = [list(inspect.signature(member).parameters)]
            else:
                found[prefix + name] = []

    visit(dict(vars(module)), "")
    return found


def strange(double: Signatures, real: Signatures, made_by_us: set[str]) -> list[str]:
    """What the double has and the real one has not."""
    wrong = []
    for name, forms in double.items():
        if name in made_by_us:
            continue
        if name not in real:
            wrong.append(name)
        for form in forms:
            if not any(form == real_form[: len(form)] for real_form in real.get(name, [])):
                wrong.append(f"{name}{form}")
    return wrong


BEGUN_BY_ANOTHER = {
    f"{name}.__init__"
    for name in ("INetworkDefinition", "IBuilderConfig", "IExecutionContext", "ICudaEngine")
} | {f"{name}.__init__" for name in ("DeviceAllocation", "Function", "Module")}
"""objects that only another makes: how is the double's own affair"""


@pytest.mark.parametrize("stub", TENSORRT)
def test_the_tensorrt_double_offers_only_what_bindings_do(stub: str) -> None:
    double = offered(tensorrt.module(Gpu()))
    assert len(double) > 50
    assert strange(double, recorded(stub), BEGUN_BY_ANOTHER) == []


def test_the_pycuda_double_offers_only_what_pycuda_does() -> None:
    double = offered(pycuda.driver(Gpu()))
    assert len(double) > 20
    assert strange(double, recorded(f"{PYCUDA}/driver.pyi"), BEGUN_BY_ANOTHER) == []
    compiler = offered(pycuda.compiler(Gpu()))
    assert len(compiler) == 2
    assert strange(compiler, recorded(f"{PYCUDA}/compiler.pyi"), set()) == []


def test_a_strange_name_or_argument_is_found() -> None:
    real = {"Builder": [], "Builder.reset": [["self"]]}
    assert strange({"Builder.build_engine": [["self"]]}, real, set()) != []
    assert strange({"Builder.reset": [["self", "hard"]]}, real, set()) != []
    assert strange({"Builder.reset": [["self"]]}, real, set()) == []


def test_the_doubles_refuse_other_attributes() -> None:
    module = tensorrt.module(Gpu())
    config = module.IBuilderConfig()
    with pytest.raises(AttributeError):
        module.BuilderFlag.FP16  # noqa: B018 - gone in TensorRT 11
    with pytest.raises(AttributeError):
        config.max_workspace_size = 1
    with pytest.raises(AttributeError):
        config.build_engine()


def test_what_derives_from_a_double_may_have_attributes() -> None:
    class Ours(Strict):
        pass

    ours = Ours()
    ours.bars = 1
    assert vars(ours) == {"bars": 1}


@pytest.mark.parametrize("module", sorted(KEPT))
def test_the_doubles_offer_only_what_is_installed(module: str) -> None:
    """On a machine with a GPU: as the bindings are there, not as they were recorded."""
    try:
        driver.require()
    except DeviceError as error:
        pytest.skip(f"{module} loads the libraries of a GPU: {error}")
    importlib.import_module(module)
    make = {
        "pycuda.compiler": pycuda.compiler,
        "pycuda.driver": pycuda.driver,
        "tensorrt": tensorrt.module,
    }[module]
    here = parsed("\n".join(record(module)))
    assert strange(offered(make(Gpu())), here, BEGUN_BY_ANOTHER) == []
