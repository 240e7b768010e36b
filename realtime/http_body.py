"""What a client sends, within limits of size, kind and time."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from starlette.exceptions import HTTPException
from starlette.requests import Request

PATIENCE_S = 20.0
"""for the whole body: a client that trickles it holds a connection, and memory"""


async def read_body(request: Request, content_types: Collection[str], limit: int) -> bytes:
    """
    Raises:
        HTTPException: 415 another kind, 413 too large, 408 too slow.
    """
    given = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if given not in content_types:
        wanted = " or ".join(content_types)
        raise HTTPException(415, f"content type {given[:80]!r}: must be {wanted}")
    return await read_any_body(request, limit)


async def read_any_body(request: Request, limit: int) -> bytes:
    """
    Raises:
        HTTPException: 413 too large, 408 too slow.
    """
    try:
        return await asyncio.wait_for(_read(request, limit), PATIENCE_S)
    except asyncio.TimeoutError:
        raise HTTPException(408, f"the body did not come within {PATIENCE_S:g} s") from None


async def _read(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise HTTPException(413, f"the body is larger than {limit} bytes")
    return bytes(body)
