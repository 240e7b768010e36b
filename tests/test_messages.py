"""The controls channel's words: what is understood, and that every mistake is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from realtime.frames import Controls
from realtime.messages import Calibrate, MessageError, Ping, SetControls, SwitchIdentity, parse

GOOD: list[tuple[dict[str, Any], Any]] = [
    ({"type": "calibrate"}, Calibrate()),
    ({"type": "identity", "id": "coral"}, SwitchIdentity("coral")),
    ({"type": "ping", "t": [1, "x"]}, Ping([1, "x"])),
    ({"type": "controls", "values": {}}, SetControls(Controls())),
    ({"type": "controls", "values": {"mouth": 2}}, SetControls(Controls(mouth=2))),
    ({"type": "controls", "values": {"smoothing": 0.0}}, SetControls(Controls(smoothing=0.0))),
    (
        {"type": "controls", "values": {"background": "blur", "mirror": True}},
        SetControls(Controls(background="blur", mirror=True)),
    ),
    ({"type": "controls", "values": {"color": "#A0b1C2"}}, SetControls(Controls(color="#A0b1C2"))),
]


@pytest.mark.parametrize(("message", "command"), GOOD)
def test_understood(message: dict[str, Any], command: Any) -> None:
    assert parse(json.dumps(message), Controls()) == command


def test_partial_controls_keep_the_others() -> None:
    command = parse('{"type": "controls", "values": {"blink": 0.5}}', Controls(mouth=1.5))
    assert command == SetControls(Controls(mouth=1.5, blink=0.5))


BAD = [
    ("", "not JSON"),
    ("nonsense", "not JSON"),
    ("[" * 4000, "not JSON"),
    ("[]", "not a JSON object"),
    ("null", "not a JSON object"),
    ("{}", "None is not known"),
    ('{"type": 5}', "5 is not known"),
    ('{"type": "dance"}', "'dance' is not known: it is controls, calibrate, identity or ping"),
    ('{"type": "calibrate", "now": 1}', "unknown field 'now'"),
    ('{"type": "identity"}', "lacks its field 'id'"),
    ('{"type": "identity", "id": 7}', "must be a string"),
    ('{"type": "ping"}', "lacks its field 't'"),
    ('{"type": "controls"}', "lacks its field 'values'"),
    ('{"type": "controls", "values": []}', "must be an object"),
    ('{"type": "controls", "values": {"nose": 1}}', "control 'nose' is not known: it is express"),
    ('{"type": "controls", "values": {"mouth": 2.1}}', "mouth = 2.1: must be a number from 0 to 2"),
    ('{"type": "controls", "values": {"mouth": -0.1}}', "from 0 to 2"),
    ('{"type": "controls", "values": {"mouth": NaN}}', "from 0 to 2"),
    ('{"type": "controls", "values": {"mouth": Infinity}}', "from 0 to 2"),
    ('{"type": "controls", "values": {"mouth": true}}', "from 0 to 2"),
    ('{"type": "controls", "values": {"mouth": "1"}}', "from 0 to 2"),
    ('{"type": "controls", "values": {"mouth": null}}', "from 0 to 2"),
    ('{"type": "controls", "values": {"smoothing": 1.5}}', "from 0 to 1"),
    ('{"type": "controls", "values": {"mirror": 1}}', "true or false"),
    ('{"type": "controls", "values": {"background": "beach"}}', "one of identity, color, blur"),
    ('{"type": "controls", "values": {"background": {}}}', "one of identity, color, blur"),
    ('{"type": "controls", "values": {"color": "green"}}', "#rrggbb"),
    ('{"type": "controls", "values": {"color": "#00b14g"}}', "#rrggbb"),
    ('{"type": "controls", "values": {"color": 7}}', "#rrggbb"),
    (b"\x00\x01", "binary message"),
    (json.dumps({"type": "ping", "t": "x" * 5000}), "at most 4096"),
]


@pytest.mark.parametrize(("message", "complaint"), BAD)
def test_every_mistake_is_named(message: str | bytes, complaint: str) -> None:
    with pytest.raises(MessageError, match=".") as caught:
        parse(message, Controls())
    assert complaint in str(caught.value)
    assert len(str(caught.value)) < 400
