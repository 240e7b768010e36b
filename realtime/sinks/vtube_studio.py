"""VTube Studio out: tracking parameters by its plugin API (WebSocket, JSON).

https://github.com/DenchiSoft/VTubeStudio: a plugin asks for a token once, which its user grants in
a dialogue there; with it each connection authenticates, and then injects values, again within a
second, for they expire. ARKit's 52 are custom parameters, made anew at each connection, which
changes nothing where they are: a value for one that is not there has all values of its request
refused.

Nothing here waits: each motion moves the conversation on by what has been answered meanwhile.
Written by its documentation; it has not met the program itself.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from realtime.clock import NS_PER_S, Clock
from realtime.errors import ReenactdError, StartupError
from realtime.frames import Motion
from realtime.sinks.vtube_parameters import CUSTOM, description, parameters

logger = logging.getLogger(__name__)

PLUGIN = {"pluginName": "reenactd", "pluginDeveloper": "reenactd"}
REQUEST = "reenactd"
"""the id of all requests but those that make a parameter, which have its name"""
RETRY_NS = 5 * NS_PER_S
CONNECT_S = 2.0
LONGEST_TOKEN = 512

Step = Literal["apart", "asking", "authenticating", "refused", "ready"]


class VtubeStudioSink:
    """One connection, made again after it is lost.

    Raises:
        StartupError: the library for it is not installed.
    """

    def __init__(self, url: str, token_file: Path, clock: Clock) -> None:
        if importlib.util.find_spec("websockets") is None:
            raise StartupError(
                f"vtube_studio.url = {url} needs a library for WebSockets: "
                "`pip install 'reenactd[vtube-studio]'`"
            )
        self._url = url
        self._token_file = token_file
        self._clock = clock
        self._open = contextlib.ExitStack()
        """closes the connection"""
        self._socket: Any = None
        self._step: Step = "apart"
        self._tried_ns: int | None = None
        self._unmade: deque[str] = deque()
        """custom parameters that are still to be made, the one that is being made first"""
        self._made: list[str] = []
        """those that can be injected"""
        self._refusals = 0
        """of custom parameters; the first is told"""
        self._began_ns = 0
        """when they were last made"""

    def show(self, motion: Motion | None) -> None:
        """
        Raises:
            ReenactdError: it is not there, or refuses; it is asked again later.
        """
        if self._socket is None and not self._connect():
            return
        try:
            self._listen()
            if self._step == "ready":
                self._inject(motion)
        except OSError as exc:
            self._lost(str(exc))

    def close(self) -> None:
        self._open.close()

    def _connect(self) -> bool:
        """Whether there is a connection now; it is tried every few seconds."""
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect

        now_ns = self._clock.now_ns()
        if self._tried_ns is not None and now_ns - self._tried_ns < RETRY_NS:
            return False
        self._tried_ns = now_ns
        try:
            opened = connect(self._url, open_timeout=CONNECT_S, close_timeout=0.2, proxy=None)
            self._socket = self._open.enter_context(opened)
        except (OSError, WebSocketException) as exc:
            reason = str(exc) or type(exc).__name__
            raise ReenactdError(
                f"vtube_studio.url = {self._url}: {reason}; is VTube Studio running, and "
                '"Allow Plugin API access" on in its settings?'
            ) from exc
        token = self._stored_token()
        if token:
            self._authenticate(token)
        else:
            self._ask_for_token()
        return True

    def _listen(self) -> None:
        """Take every answer that has come."""
        from websockets.exceptions import ConnectionClosed

        while self._socket is not None:
            try:
                text = self._socket.recv(timeout=0)
            except TimeoutError:
                return
            except ConnectionClosed:
                self._lost("VTube Studio closed the connection")
            else:
                self._answered(_parsed(text))

    def _answered(self, answer: Mapping[str, Any]) -> None:
        kind, data = answer.get("messageType"), answer.get("data")
        data = data if isinstance(data, dict) else {}
        if kind == "AuthenticationTokenResponse":
            token = data.get("authenticationToken")
            if not isinstance(token, str) or not 0 < len(token) <= LONGEST_TOKEN:
                self._lost("VTube Studio sent no usable token")
            else:
                self._authenticate(token)
                self._store(token)
        elif kind == "AuthenticationResponse":
            if data.get("authenticated") is True:
                self._step = "ready"
                self._make_all()
            else:  # the user took the permission back: ask anew
                self._forget_token()
                self._ask_for_token()
        elif kind == "ParameterCreationResponse" and self._unmade:
            self._made.append(self._unmade.popleft())
            self._make_next()
        elif kind == "APIError":
            said = f"VTube Studio refuses: {str(data.get('message', ''))[:200]}"
            if self._unmade and answer.get("requestID") == self._unmade[0]:
                self._pass_over(said)
                return
            if self._step == "ready" and self._made and not self._unmade and self._is_due():
                self._make_all()  # its user may have deleted some
            if self._step == "asking":
                self._step = "refused"
                said += "; restart reenactd to be asked again"
            raise ReenactdError(said)

    def _ask_for_token(self) -> None:
        self._step = "asking"
        self._send("AuthenticationTokenRequest", PLUGIN)

    def _authenticate(self, token: str) -> None:
        self._step = "authenticating"
        self._send("AuthenticationRequest", {**PLUGIN, "authenticationToken": token})

    def _make_all(self) -> None:
        self._unmade, self._made, self._refusals = deque(CUSTOM), [], 0
        self._began_ns = self._clock.now_ns()
        self._make_next()

    def _is_due(self) -> bool:
        return self._clock.now_ns() - self._began_ns > RETRY_NS

    def _make_next(self) -> None:
        """One after the other: who is asked 52 things at once may lose some."""
        if not self._unmade:
            return
        name = self._unmade[0]
        self._send("ParameterCreationRequest", description(name), name)

    def _pass_over(self, said: str) -> None:
        """Go on without that parameter.

        Raises:
            ReenactdError: it is the first of this connection: others will have the same cause.
        """
        name = self._unmade.popleft()
        self._refusals += 1
        self._make_next()
        if self._refusals == 1:
            raise ReenactdError(f"{said}; without {name}, and others as far as they are refused")

    def _inject(self, motion: Motion | None) -> None:
        values = {} if motion is None else parameters(motion, self._made)
        injected = [{"id": name, "value": round(value, 4)} for name, value in values.items()]
        if injected:
            data = {"faceFound": True, "mode": "set", "parameterValues": injected}
            self._send("InjectParameterDataRequest", data)

    def _send(self, kind: str, data: Mapping[str, Any], request: str = REQUEST) -> None:
        from websockets.exceptions import ConnectionClosed

        message = {
            "apiName": "VTubeStudioPublicAPI",
            "apiVersion": "1.0",
            "requestID": request,
            "messageType": kind,
            "data": data,
        }
        try:
            self._socket.send(json.dumps(message))
        except ConnectionClosed:
            self._lost("VTube Studio closed the connection")

    def _lost(self, why: str) -> None:
        self._open.close()
        self._socket, self._step = None, "apart"
        self._tried_ns = self._clock.now_ns()
        raise ReenactdError(f"{why}; connecting to {self._url} again in {RETRY_NS // NS_PER_S} s")

    def _stored_token(self) -> str:
        try:
            return self._token_file.read_text("ascii").strip()[:LONGEST_TOKEN]
        except (OSError, UnicodeDecodeError):
            return ""  # asked for anew, which VTube Studio's user sees

    def _store(self, token: str) -> None:
        try:
            _write_private(self._token_file, token)
        except OSError as exc:
            logger.warning(
                "the token of VTube Studio cannot be kept in %s (%s): it works now, and will be "
                "asked for again after the next connection",
                *(self._token_file, exc.strerror or exc),
            )

    def _forget_token(self) -> None:
        try:
            self._token_file.unlink(missing_ok=True)
        except OSError as exc:
            logger.warning(
                "the token of VTube Studio in %s, which it does not know any more, cannot be "
                "deleted: %s",
                *(self._token_file, exc.strerror or exc),
            )


def _parsed(text: str | bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise ReenactdError("VTube Studio sent what is no JSON object; it was passed over")
    return answer


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(fresh, flags, 0o600), "w", encoding="ascii") as file:
        file.write(text + "\n")
    fresh.replace(path)
