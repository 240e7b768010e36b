"""The settings as one TOML file in which each is explained, written from `config.py` itself.

What a setting means stands there once, below its field; here it becomes a comment. Defaults are
commented out, so that the file says what was chosen, and a later release may choose better ones.
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from realtime import config as settings
from realtime.config import MASK, Config, is_secret

_WIDTH = 98
_HEADER = """\
# The settings of reenactd. Give this file with `reenactd serve --config FILE`.
# A line without # is set; one with # shows the default. `reenactd config check --config FILE`
# says whether all is right. SIGHUP applies log.* and what server lets in; it logs what it does not.
"""


def as_toml(config: Config, is_set: Callable[[str, str], bool]) -> str:
    """Every setting with its meaning and range.

    Args:
        is_set: whether somebody chose this value: section and key.
    """
    lines = [_HEADER]
    for section, values in config.model_dump(mode="json").items():
        model = type(getattr(config, section))
        lines.append(f"[{section}]")
        for key, value in values.items():
            comment = f"{meaning(model, key)}{_range(model, key)}"
            lines += textwrap.wrap(comment, _WIDTH, initial_indent="# ", subsequent_indent="# ")
            if value == MASK and is_secret(model.model_fields[key]):
                lines += ["# (it is set, and not shown here)", f"#{key} ="]
            else:
                lines += _assignment(key, value, is_set(section, key))
        lines.append("")
    return "\n".join(lines)


def meaning(model: type[BaseModel], key: str) -> str:
    """The text below a field in `config.py`, in one line; empty where there is none."""
    return " ".join(_meanings(model).get(key, "").split())


def _assignment(key: str, value: Any, is_set: bool) -> list[str]:
    if value is None:
        return [f"#{key} ="]
    return [f"{'' if is_set else '#'}{key} = {json.dumps(value, ensure_ascii=False)}"]


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    for node in ast.parse(inspect.getsource(settings)).body:
        if isinstance(node, ast.ClassDef) and node.name == model.__name__:
            return dict(_documented(node))
    return {}


def _documented(section: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in zip(section.body, section.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            yield field.target.id, str(below.value.value)


def _range(model: type[BaseModel], key: str) -> str:
    """What is allowed, as " (0 to 65535)"."""
    field = model.model_fields[key]
    if get_origin(field.annotation) is Literal:
        return f" ({', '.join(str(choice) for choice in get_args(field.annotation))})"
    bounds = {
        name: getattr(rule, name)
        for rule in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if getattr(rule, name, None) is not None
    }
    low = next((f"{words} {bounds[name]}" for name, words in _LOW if name in bounds), "")
    high = next((f"{words} {bounds[name]}" for name, words in _HIGH if name in bounds), "")
    both = ", ".join(part for part in (low, high) if part)
    return f" ({both})" if both else ""


_LOW = (("ge", "at least"), ("gt", "more than"))
_HIGH = (("le", "at most"), ("lt", "less than"))
