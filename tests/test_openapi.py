"""Any request that the OpenAPI document allows, and many that it does not: never a 5xx, no hang,
and no answer that the document does not tell of."""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from realtime.access import PROTECTED
from realtime.answers import BODY
from realtime.client import Address, find
from realtime.config import Config
from realtime.daemon import Daemon, build_services
from realtime.server import create_app
from realtime.tokens import Tokens
from tests.helpers import TOKEN, FakeStudio, config_with
from tests.running import Running

EXAMPLES = 25
"""per operation and kind, right and wrong"""
SLOWEST_S = 2.0
ALLOWED_5XX = {503, 507}
"""no room for one more, of sessions or on the disk: what the caller may ask again"""
CONFORMANCE = [status_code_conformance, content_type_conformance, response_schema_conformance]
LASTING = {"/api/trace"}
"""answers when the time that was asked for is over; its own test is in test_tracing.py"""


@schemathesis.serializer("application/sdp", "application/trickle-ice-sdpfrag")
def as_text(context: Any, value: Any) -> bytes:
    return str(value).encode("utf-8", "replace")


@schemathesis.serializer("application/zip")
def as_bytes(context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    with pytest.MonkeyPatch.context() as patch:
        settings = {"port": 0, "post_rate_per_s": 1000, "max_sessions": 2}
        running = Running(patch, FakeStudio(), config_with(server=settings))
        deadline_s = time.monotonic() + 20
        while len(running.lines) < 2:
            assert time.monotonic() < deadline_s, "the daemon does not listen after 20 s"
            time.sleep(0.01)
        yield find(Config(), running.url)
        running.stop()


def operations(address: Address) -> Iterator[Any]:
    document = httpx.get(
        f"{address.url}/api/openapi.json", headers={"Authorization": f"Bearer {address.token}"}
    ).json()
    schema: Any = schemathesis.openapi.from_dict(document)
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path not in LASTING:
            yield operation


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_request_is_too_much(address: Address, mode: GenerationMode) -> None:
    tried = 0
    descriptors = len(os.listdir("/proc/self/fd"))
    with httpx.Client(base_url=address.url, timeout=10) as client:
        for operation in operations(address):
            tried += hammer(client, address.token, operation, mode)
        assert tried > 5 * EXAMPLES, "the document lists what there is"
        status = client.get("/api/status", headers={"Authorization": f"Bearer {address.token}"})
        assert status.status_code == 200 and status.json()["sessions"] == 0
    deadline_s = time.monotonic() + 10
    while len(os.listdir("/proc/self/fd")) > descriptors + 4 and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 4


def hammer(client: httpx.Client, token: str, operation: Any, mode: GenerationMode) -> int:
    """Many requests to one operation; how many."""
    tried = 0

    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def one(case: Any) -> None:
        nonlocal tried
        tried += 1
        sent = case.as_transport_kwargs(base_url=str(client.base_url))
        sent["headers"] = {**dict(sent.get("headers") or {}), "Authorization": f"Bearer {token}"}
        sent.pop("cookies", None)
        began_s = time.monotonic()
        try:
            request = client.build_request(**sent_by_httpx(sent))
        except (ValueError, TypeError, httpx.InvalidURL):
            hypothesis.reject()  # no client would send that
        try:
            answer = client.send(request)
        except httpx.LocalProtocolError:
            hypothesis.reject()
        took_s = time.monotonic() - began_s
        where = f"{request.method} {request.url}: {answer.status_code} {answer.text[:200]}"
        assert answer.status_code < 500 or answer.status_code in ALLOWED_5XX, where
        assert took_s < SLOWEST_S, f"{took_s:.1f} s for {where}"
        if answer.status_code >= 400:
            assert answer.json()["error"], where
        if found_by(operation, request):
            case.validate_response(answer, checks=CONFORMANCE)

    with contextlib.suppress(hypothesis.errors.Unsatisfiable):  # one without input has no wrong one
        one()
    return tried


def sent_by_httpx(sent: dict[str, Any]) -> dict[str, Any]:
    """What schemathesis says for requests, for httpx."""
    known = {name: sent[name] for name in ("method", "url", "headers", "params") if sent.get(name)}
    if isinstance(sent.get("data"), (bytes, str)):
        known["content"] = sent["data"]
    elif sent.get("json") is not None:
        known["json"] = sent["json"]
    elif sent.get("data"):
        known["data"] = sent["data"]
    if sent.get("files"):
        known["files"] = sent["files"]
    return known


def found_by(operation: Any, request: httpx.Request) -> bool:
    """Whether a request reaches it: an odd method or a slash in a name leads elsewhere."""
    pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(operation.path))
    same_path = re.fullmatch(pattern, request.url.raw_path.decode().partition("?")[0])
    return bool(same_path) and request.method == operation.method.upper()


@pytest.fixture
def document() -> dict[str, Any]:
    said: dict[str, Any] = whole_app().openapi()
    return said


def whole_app() -> Any:
    daemon = Daemon(build_services(config_with(), FakeStudio()))
    return create_app(daemon, Tokens(TOKEN), "test loop")


def described(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_operation_says_what_it_does_and_how_it_refuses(document: dict[str, Any]) -> None:
    told = 0
    for path, method, operation in described(document):
        where = f"{method} {path}"
        assert operation.get("description"), f"{where}: what does it do?"
        answers = operation["responses"]
        assert ("422" in answers) == (method == "patch"), (
            f"{where}: what breaks a rule is answered 400 here; only ICE restarts are 422"
        )
        needed = {421}
        if path.startswith(PROTECTED) and method != "options":
            needed |= {401, 403, 429}
        if operation.get("parameters") and any(
            parameter["in"] == "query" for parameter in operation["parameters"]
        ):
            needed |= {400}
        assert needed <= {int(status) for status in answers}, where
        for status, answer in answers.items():
            if int(status) >= 400 and not (int(status) == 503 and not path.startswith(PROTECTED)):
                schema = answer["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Refusal"}, (where, status)
                assert answer["description"], (where, status)
                told += 1
            if status in ("429", "503") and path.startswith(PROTECTED):
                assert "Retry-After" in answer["headers"], (where, status)
    assert told > 100
    assert document["components"]["schemas"]["Refusal"]["properties"]["error"]["description"]


def test_what_a_module_raises_is_declared_by_its_operations(document: dict[str, Any]) -> None:
    """By its source: each status of an HTTPException, and those of the body where one is read."""
    declared: dict[str, set[int]] = {}
    for route in whole_app().routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            module = declared.setdefault(route.endpoint.__module__, set())
            for method in route.methods or ():
                answers = document["paths"][route.path_format][method.lower()]["responses"]
                module |= {int(status) for status in answers}
    assert len(declared) >= 5
    for name, statuses in declared.items():
        source = inspect.getsource(sys.modules[name])
        raised = {int(status) for status in re.findall(r"HTTPException\(\s*(\d{3})", source)}
        raised |= set(BODY) if re.search(r"\b(read|save)_(body|text)\(", source) else set()
        assert raised <= statuses, f"{name}: not declared: {sorted(raised - statuses)}"
