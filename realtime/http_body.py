"""What a client sends, within limits of size, kind and time."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

PATIENCE_S = 20.0
"""for the whole body: a client that trickles it holds a connection, and memory"""
CLIENT_GONE = 499
"""nginx's status; it is never read"""
LONG_PATIENCE_S = 120.0
"""for a body that is written to a file"""
IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp")
PICTURE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}} for kind in IMAGE_TYPES
        },
    }
}
"""a picture, for the OpenAPI document"""


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
    except ClientDisconnect:
        raise HTTPException(CLIENT_GONE, "the client went away") from None
    except asyncio.TimeoutError:
        raise HTTPException(408, f"the body did not come within {PATIENCE_S:g} s") from None


async def save_body(request: Request, path: Path, limit: int) -> None:
    """Write it to a file as it comes, for what may be too large to be held.

    Raises:
        HTTPException: 413 too large, 408 too slow, 507 no room for it.
    """
    try:
        await asyncio.wait_for(_save(request, path, limit), LONG_PATIENCE_S)
    except ClientDisconnect:
        raise HTTPException(CLIENT_GONE, "the client went away") from None
    except asyncio.TimeoutError:
        raise HTTPException(408, f"the body did not come within {LONG_PATIENCE_S:g} s") from None
    except OSError as exc:
        raise HTTPException(507, f"the file cannot be kept to look at it: {exc.strerror}") from exc


async def _save(request: Request, path: Path, limit: int) -> None:
    written = 0
    with path.open("wb") as file:
        async for chunk in request.stream():
            written += len(chunk)
            if written > limit:
                raise HTTPException(413, f"the body is larger than {limit} bytes")
            await run_in_threadpool(file.write, chunk)


async def _read(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise HTTPException(413, f"the body is larger than {limit} bytes")
    return bytes(body)
