"""The words of the `controls` data channel: text in, a command or a complaint out.

Pure. A message is one JSON object; whatever is wrong with it is named together with the rule, and
changes nothing. Knows no channels and no sessions.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from realtime.errors import ReenactdError
from realtime.frames import Controls

MAX_MESSAGE_CHARS = 4096
MAX_GAIN = 2.0
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_FIELDS = {item.name: item for item in dataclasses.fields(Controls)}
_BACKGROUNDS: tuple[str, ...] = get_args(get_type_hints(Controls)["background"])
_UPPER = {"smoothing": 1.0}


class MessageError(ReenactdError):
    """A client's message that is not understood; its text is sent back."""


@dataclass(frozen=True, slots=True)
class SetControls:
    controls: Controls


@dataclass(frozen=True, slots=True)
class Calibrate:
    pass


@dataclass(frozen=True, slots=True)
class SwitchIdentity:
    id: str


@dataclass(frozen=True, slots=True)
class Ping:
    t: Any
    """sent back as it came"""


Command = SetControls | Calibrate | SwitchIdentity | Ping


def parse(message: str | bytes, controls: Controls) -> Command:
    """What a client's message asks for; `controls` are those that it changes.

    Raises:
        MessageError: it is not understood.
    """
    words = _read_object(message)
    kind = words.pop("type", None)
    if kind == "controls":
        values = _only(words, kind, "values")
        return SetControls(changed(controls, values))
    if kind == "calibrate":
        _only(words, kind)
        return Calibrate()
    if kind == "identity":
        identity_id = _only(words, kind, "id")
        if not isinstance(identity_id, str):
            raise MessageError(f"identity id {_shown(identity_id)}: must be a string")
        return SwitchIdentity(identity_id)
    if kind == "ping":
        return Ping(_only(words, kind, "t"))
    raise MessageError(
        f"message type {_shown(kind)} is not known: it is controls, calibrate, identity or ping"
    )


def changed(controls: Controls, values: Any) -> Controls:
    """New controls with some fields replaced, each within its bounds.

    Raises:
        MessageError: a field is unknown, of the wrong type or out of its range.
    """
    if not isinstance(values, dict):
        raise MessageError(f"controls values {_shown(values)}: must be an object")
    for name, value in values.items():
        if name not in _FIELDS:
            raise MessageError(f"control {_shown(name)} is not known: it is {', '.join(_FIELDS)}")
        _check_control(name, value)
    return dataclasses.replace(controls, **values)


def _check_control(name: str, value: Any) -> None:
    if name == "background":
        good, rule = value in _BACKGROUNDS, f"one of {', '.join(_BACKGROUNDS)}"
    elif name == "color":
        good, rule = isinstance(value, str) and bool(_COLOR.fullmatch(value)), "#rrggbb"
    elif name == "mirror":
        good, rule = isinstance(value, bool), "true or false"
    else:
        upper = _UPPER.get(name, MAX_GAIN)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        good, rule = number and 0 <= value <= upper, f"a number from 0 to {upper:g}"
    if not good:
        raise MessageError(f"control {name} = {_shown(value)}: must be {rule}")


def _read_object(message: str | bytes) -> dict[str, Any]:
    if not isinstance(message, str):
        raise MessageError(f"a binary message of {len(message)} bytes: send JSON text")
    if len(message) > MAX_MESSAGE_CHARS:
        raise MessageError(
            f"a message of {len(message)} characters: at most {MAX_MESSAGE_CHARS} are read"
        )
    try:
        words = json.loads(message)
    except (ValueError, RecursionError) as exc:
        raise MessageError(f"the message {_shown(message)} is not JSON: {exc}") from exc
    if not isinstance(words, dict):
        raise MessageError(f"the message {_shown(words)} is not a JSON object")
    return words


def _only(words: dict[str, Any], kind: str, name: str | None = None) -> Any:
    """The one field that a message has besides its type."""
    allowed = set() if name is None else {name}
    if extra := sorted(set(words) - allowed):
        raise MessageError(f"message {kind} has the unknown field {_shown(extra[0])}")
    if name is not None and name not in words:
        raise MessageError(f"message {kind} lacks its field {name!r}")
    return words.get(name) if name else None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
