"""What the daemon's endpoints answer when they refuse, for the OpenAPI document.

Every refusal has the same body. Which statuses an endpoint may give stands beside it (`refusals`);
those of `access.py`, which stands before all of them, are added to the whole document. Knows no
endpoint.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, Field

MEANINGS = {
    400: "Something that was sent breaks a rule; the text says what, and the rule.",
    401: "There is no token, or it is wrong or has ended.",
    403: "The token, or the page's origin, does not allow this.",
    404: "There is no such thing, or not now.",
    408: "The body did not come in time.",
    409: "Not as things stand now.",
    412: "The If-Match header is not this resource's ETag.",
    413: "The body is too large.",
    415: "The body is of another content type than is taken here.",
    421: "This host name is not served.",
    422: "Candidates of another ICE session than the offer's: ICE is not restarted here.",
    429: "Too many requests; ask again after Retry-After seconds.",
    503: "No room, or not ready; ask again after Retry-After seconds.",
    507: "The disk, or what is kept on it, cannot be used.",
}
RETRIED = (429, 503)
"""with a Retry-After header"""
BODY = (408, 413, 415)
"""what `http_body.read_body` refuses"""


class Refusal(BaseModel):
    """The body of every refusal."""

    error: str = Field(description="one sentence: the value, the rule, and what to do about it")


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the `responses` of an endpoint."""
    return {status: _refusal(status) for status in statuses}


def add_refusals(operation: dict[str, Any], statuses: Iterable[int]) -> None:
    """Into a finished OpenAPI document, whose components hold `Refusal`."""
    for status in statuses:
        operation["responses"].setdefault(str(status), _refusal(status))


def _refusal(status: int) -> dict[str, Any]:
    """Not by a model: FastAPI would give it the content type of the endpoint's good answer."""
    reference = {"schema": {"$ref": "#/components/schemas/Refusal"}}
    return {"description": MEANINGS[status], "content": {"application/json": reference}}


def tell_when_to_retry(operation: dict[str, Any]) -> None:
    """The header of those that may be asked again."""
    seconds = {"description": "seconds", "schema": {"type": "integer"}}
    for status in RETRIED:
        if str(status) in operation["responses"]:
            operation["responses"][str(status)]["headers"] = {"Retry-After": seconds}
