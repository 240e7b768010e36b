"""Threads that encode: aiortc's own for performers, ours for viewers. Knows no sessions."""

from __future__ import annotations

import concurrent.futures
import functools
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from av import VideoFrame

from realtime.clock import MonotonicClock

T = TypeVar("T")


class _EncodePool(concurrent.futures.ThreadPoolExecutor):
    """Tells whoever made a picture when its encoding began and ended.

    A picture brings along whom to tell, for encoders belong to aiortc and know no sessions.
    """

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        tell: Any = args[0].opaque if args and isinstance(args[0], VideoFrame) else None
        if callable(tell):  # a received picture that is sent on carries a time instead
            fn = functools.partial(_timed, fn, tell)
        return super().submit(fn, *args, **kwargs)


def _timed(work: Callable[..., T], tell: Callable[[int, int], None], *args: Any) -> T:
    began_ns = MonotonicClock().now_ns()
    result = work(*args)
    tell(began_ns, MonotonicClock().now_ns())
    return result


def encode_pool(threads: int) -> concurrent.futures.ThreadPoolExecutor:
    """The loop's default executor, in which aiortc runs its encoders."""
    return _EncodePool(threads, thread_name_prefix="encode")


def viewers_pool() -> concurrent.futures.ThreadPoolExecutor:
    """Where pictures are encoded for viewers, so that no performer's encoder waits for theirs."""
    return concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="viewers")
