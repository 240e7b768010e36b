"""VTube Studio out, against a double that speaks its published protocol over a real WebSocket."""

from __future__ import annotations

import json
import logging
import queue
import re
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from realtime import arkit
from realtime.clock import FakeClock
from realtime.errors import ReenactdError
from realtime.frames import Motion
from realtime.sinks.vtube_parameters import CUSTOM, parameters
from realtime.sinks.vtube_studio import VtubeStudioSink
from realtime.stages.retarget import rotation_of
from tests.sinks.test_vmc import motion

TOKEN = "granted-by-its-user"
BUILT_IN = frozenset(
    ("FaceAngleX", "FaceAngleY", "FaceAngleZ", "MouthOpen", "MouthSmile", "MouthX", "Brows")
) | {
    name.format(side)
    for name in ("EyeOpen{}", "Eye{}X", "Eye{}Y", "Brow{}Y")
    for side in ("Left", "Right")
}


class Studio:
    """The plugin API as documented: a token on request, authentication, custom parameters and
    their limits, injection, errors."""

    def __init__(self) -> None:
        self.grants = True
        self.custom: set[str] = set()
        self.places = 100
        """for custom parameters of one plugin"""
        self.heard: queue.Queue[dict[str, Any]] = queue.Queue()
        self._server = serve(self._talk, "127.0.0.1", 0)
        self.port = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join(10)

    def _talk(self, connection: ServerConnection) -> None:
        authenticated = False
        try:
            for text in connection:
                asked = json.loads(text)
                assert asked["apiName"] == "VTubeStudioPublicAPI" and asked["apiVersion"] == "1.0"
                kind, data = asked["messageType"], asked.get("data", {})
                answer: tuple[str, dict[str, Any]]
                if kind == "AuthenticationTokenRequest" and self.grants:
                    answer = ("AuthenticationTokenResponse", {"authenticationToken": TOKEN})
                elif kind == "AuthenticationTokenRequest":
                    answer = ("APIError", {"errorID": 50, "message": "User has denied API access"})
                elif kind == "AuthenticationRequest":
                    authenticated = data["authenticationToken"] == TOKEN
                    answer = ("AuthenticationResponse", {"authenticated": authenticated})
                elif kind == "ParameterCreationRequest" and authenticated:
                    answer = self._make(data)
                elif kind == "InjectParameterDataRequest" and authenticated:
                    answer = self._take(data)
                else:
                    answer = ("APIError", {"errorID": 8, "message": "not authenticated"})
                reply = {"messageType": answer[0], "requestID": asked["requestID"]}
                connection.send(json.dumps({**reply, "data": answer[1]}))
                self.heard.put(asked)
        except ConnectionClosed:
            return

    def _make(self, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        name = data["parameterName"]
        if len(self.custom) >= self.places:
            return "APIError", {"errorID": 355, "message": "too many custom parameters"}
        if not re.fullmatch(r"[A-Za-z0-9]{4,32}", name) or len(data["explanation"]) >= 256:
            return "APIError", {"errorID": 350, "message": f"{name} is no name"}
        assert (data["min"], data["max"], data["defaultValue"]) == (0, 1, 0)
        self.custom.add(name)
        return "ParameterCreationResponse", {"parameterName": name}

    def _take(self, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        given = {each["id"] for each in data["parameterValues"]}
        if unknown := given - BUILT_IN - self.custom:
            return "APIError", {"errorID": 453, "message": f"{min(unknown)} not found"}
        return "InjectParameterDataResponse", {}

    def next(self, kind: str) -> dict[str, Any]:
        while True:
            asked = self.heard.get(timeout=10)
            if asked["messageType"] == kind:
                data: dict[str, Any] = asked["data"]
                return data


@pytest.fixture
def studio() -> Iterator[Studio]:
    studio = Studio()
    yield studio
    studio.stop()


def sink_for(studio: Studio, token_file: Path) -> tuple[VtubeStudioSink, FakeClock]:
    clock = FakeClock()
    url = f"ws://127.0.0.1:{studio.port}"
    return VtubeStudioSink(url, token_file, clock), clock


def show_until(sink: VtubeStudioSink, studio: Studio, given: Motion, kind: str) -> dict[str, Any]:
    """Motions as they come, until the studio hears a message of that kind."""
    found: queue.Queue[dict[str, Any]] = queue.Queue()
    listener = threading.Thread(target=lambda: found.put(studio.next(kind)))
    listener.start()
    while listener.is_alive():
        sink.show(given)
        listener.join(0.01)
    return found.get_nowait()


def test_it_asks_once_authenticates_and_injects(studio: Studio, tmp_path: Path) -> None:
    token_file = tmp_path / "state" / "token"
    sink, _ = sink_for(studio, token_file)

    data = show_until(sink, studio, motion({"jawOpen": 0.5}), "InjectParameterDataRequest")

    assert data["faceFound"] is True and data["mode"] == "set"
    values = {each["id"]: each["value"] for each in data["parameterValues"]}
    assert values["MouthOpen"] == pytest.approx(0.5, abs=0.02)
    assert token_file.read_text().strip() == TOKEN
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    sink.close()

    again, _ = sink_for(studio, token_file)
    again.show(motion({}))
    assert studio.next("AuthenticationRequest")["authenticationToken"] == TOKEN
    again.close()


def values_until(
    sink: VtubeStudioSink, studio: Studio, given: Motion, count: int, problems: list[str]
) -> dict[str, float]:
    """The first values that are so many; what is told meanwhile goes to `problems`."""
    for _ in range(2000):
        try:
            sink.show(given)
        except ReenactdError as exc:
            problems.append(str(exc))
        time.sleep(0.003)
        while not studio.heard.empty():
            asked = studio.heard.get_nowait()
            values = asked["data"].get("parameterValues", [])
            if len(values) >= count:
                return {each["id"]: each["value"] for each in values}
    raise AssertionError(f"never {count} values: {problems}")


def test_all_52_of_arkit_leave_by_name(studio: Studio, tmp_path: Path) -> None:
    sink, _ = sink_for(studio, tmp_path / "token")
    given, problems = motion({"jawOpen": 0.5, "browInnerUp": 0.8}), list[str]()
    values = values_until(sink, studio, given, len(BUILT_IN) + 52, problems)
    sink.close()
    assert len(CUSTOM) == 52 and studio.custom == set(CUSTOM) and problems == []
    assert set(values) == BUILT_IN | set(CUSTOM)
    seen = arkit.measure(given)
    assert {CUSTOM[name]: values[name] for name in CUSTOM} == pytest.approx(seen, abs=1e-4)
    assert values["ReenactdJawOpen"] > 0.4 < values["ReenactdBrowInnerUp"]
    assert values["ReenactdTongueOut"] == 0


def test_parameters_that_are_refused_are_told_once_and_the_others_sent(
    studio: Studio, tmp_path: Path
) -> None:
    studio.places = 20
    sink, _ = sink_for(studio, tmp_path / "token")
    problems = list[str]()
    values_until(sink, studio, motion({}), len(BUILT_IN) + 20, problems)
    for _ in range(500):
        if not sink._unmade:
            break
        values_until(sink, studio, motion({}), len(BUILT_IN) + 20, problems)
    values = values_until(sink, studio, motion({}), len(BUILT_IN), problems)
    assert set(values) == BUILT_IN | studio.custom and len(studio.custom) == 20
    (told,) = problems
    assert "too many custom parameters; without ReenactdEyeWideLeft" in told
    sink.close()


def test_parameters_that_its_user_deletes_are_made_again(studio: Studio, tmp_path: Path) -> None:
    sink, clock = sink_for(studio, tmp_path / "token")
    problems, whole = list[str](), len(BUILT_IN) + 52
    values_until(sink, studio, motion({}), whole, problems)
    clock.advance_ms(5001)
    studio.custom.clear()
    while not problems:
        values_until(sink, studio, motion({}), 1, problems)
    assert "not found" in problems[0]
    values_until(sink, studio, motion({}), whole, problems)
    assert studio.custom == set(CUSTOM)
    sink.close()


def test_a_token_that_cannot_be_kept_is_used_all_the_same(
    studio: Studio, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    caplog.set_level(logging.WARNING)
    sink, _ = sink_for(studio, tmp_path / "file" / "token")
    show_until(sink, studio, motion({}), "InjectParameterDataRequest")
    sink.close()
    (line,) = [record.getMessage() for record in caplog.records]
    assert "cannot be kept" in line and TOKEN not in line and "\n" not in line


def test_a_token_that_was_taken_back_is_asked_for_anew(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("of yesterday")
    sink, _ = sink_for(studio, tmp_path / "token")
    show_until(sink, studio, motion({}), "InjectParameterDataRequest")
    assert (tmp_path / "token").read_text().strip() == TOKEN
    sink.close()


def test_a_user_who_declines_is_not_asked_again_and_again(studio: Studio, tmp_path: Path) -> None:
    studio.grants = False
    sink, _ = sink_for(studio, tmp_path / "token")
    sink.show(motion({}))
    studio.next("AuthenticationTokenRequest")
    with pytest.raises(ReenactdError, match="User has denied API access; restart reenactd"):
        while True:
            sink.show(motion({}))
    sink.show(motion({}))
    sink.close()
    assert studio.heard.empty()


def test_a_lost_connection_is_made_again_after_a_while(studio: Studio, tmp_path: Path) -> None:
    sink, clock = sink_for(studio, tmp_path / "token")
    show_until(sink, studio, motion({}), "InjectParameterDataRequest")
    sink._socket.close()
    with pytest.raises(ReenactdError, match="closed the connection; connecting to ws://"):
        sink.show(motion({}))
    sink.show(motion({}))
    assert sink._socket is None
    clock.advance_ms(5001)
    show_until(sink, studio, motion({}), "InjectParameterDataRequest")
    sink.close()


def test_an_absent_program_is_one_line_every_few_seconds(tmp_path: Path) -> None:
    clock = FakeClock()
    url = "ws://127.0.0.1:9"
    sink = VtubeStudioSink(url, tmp_path / "token", clock)
    with pytest.raises(ReenactdError, match="is VTube Studio running"):
        sink.show(None)
    sink.show(None)
    clock.advance_ms(5001)
    with pytest.raises(ReenactdError, match="is VTube Studio running"):
        sink.show(None)


def test_parameters_have_their_documented_ranges() -> None:
    turned = rotation_of(np.radians([20, 10, 5]).astype(np.float32))
    values = parameters(motion({"eyeBlinkLeft": 1.0, "eyeLookOutLeft": 1.0}, turned))
    assert values["FaceAngleX"] == pytest.approx(-20, abs=0.1)
    assert values["FaceAngleY"] == pytest.approx(-10, abs=0.1)
    assert values["EyeOpenLeft"] == 0 and values["EyeOpenRight"] == 1
    assert values["EyeLeftX"] == pytest.approx(1.0)  # to the subject's left, as the right eye's
    assert values["EyeRightX"] == 0
