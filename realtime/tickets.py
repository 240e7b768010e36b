"""HTTP: tokens for others, and the page that they are for.

POST /api/tokens       a token of one scope, with an end, perhaps for one session
GET /view/SESSION      the avatar and nothing else, for OBS; its token is in the fragment
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field

from realtime.access import PROTECTED, SAFE_METHODS, needed_scope
from realtime.answers import Refusal, add_refusals, refusals, tell_when_to_retry
from realtime.tokens import Scope, Tokens

DAY_S = 24 * 3600


class TokenWish(BaseModel):
    """What a new token shall grant."""

    model_config = ConfigDict(extra="forbid")

    scope: Scope = "view"
    """publish: a camera may come in; view: the avatar may be watched; admin: everything"""
    session: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")] | None = None
    """the name of the only session that it is for; none: all"""
    lifetime_s: int = Field(30 * DAY_S, ge=60, le=366 * DAY_S)


class Token(BaseModel):
    """A token, and what it grants."""

    token: str
    scope: Scope
    session: str | None
    expires: str
    """RFC 3339"""


def add_tokens(app: FastAPI, tokens: Tokens) -> None:
    @app.post("/api/tokens", status_code=201, responses=refusals(400))
    async def make(wish: TokenWish) -> Token:
        """A token that grants less than the daemon's own; another token file ends them all."""
        token, grant = tokens.make(wish.scope, wish.session, wish.lifetime_s)
        assert grant.expires is not None
        return Token(token=token, scope=wish.scope, session=wish.session, expires=grant.expires)


def add_view(app: FastAPI, web_client: Path) -> None:
    @app.get("/view", include_in_schema=False)
    async def latest() -> Response:
        return RedirectResponse("/view/")

    @app.get("/view/", include_in_schema=False)
    @app.get("/view/{session}", include_in_schema=False)
    async def page(session: str = "") -> Response:
        return FileResponse(web_client / "view.html")


def openapi_with_tokens(app: FastAPI) -> dict[str, Any]:
    """The description of all routes, with the scope that each needs."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schema.setdefault("components", {})["securitySchemes"] = {
            "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "The daemon's own token, or one of POST /api/tokens.",
            }
        }
        schema["components"]["schemas"].setdefault("Refusal", Refusal.model_json_schema())
        for path, methods in schema["paths"].items():
            for method, operation in methods.items():
                _describe_guard(path, method, operation)
        app.openapi_schema = schema
    return app.openapi_schema


def _describe_guard(path: str, method: str, operation: dict[str, Any]) -> None:
    """What is asked of every call before its endpoint sees it, and what that may answer."""
    if "HTTPValidationError" in str(operation["responses"].get("422")):
        del operation["responses"]["422"]  # FastAPI's own; here it is 400
    statuses = {421}
    if path.startswith(PROTECTED) and method != "options":
        needed = needed_scope(path, method.upper())
        scopes = ["admin"] if needed == "admin" else [needed, "admin"]
        operation["security"] = [{"token": scopes}]
        statuses |= {401, 403, 429}
    if method.upper() not in SAFE_METHODS:
        statuses |= {403}
    if method == "post":
        statuses |= {429}
    add_refusals(operation, sorted(statuses))
    tell_when_to_retry(operation)
