"""What a worker was asked to open, until a look at it has it. Pure: moments in, a number out.

A look that was asked for before the answer came may not have what was opened; and one may come late
or not at all, where the machine is busy. Until then it counts here, or too much would be let in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Moments:
    """The order in which things happened, as numbers that grow."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        self._last += 1
        return self._last


class Pending:
    """Of one kind, in one worker."""

    def __init__(self, moments: Moments) -> None:
        self._moments = moments
        self._asked = 0
        self._answered: list[int] = []
        """when; each until it is seen"""

    def __len__(self) -> int:
        return self._asked + len(self._answered)

    @contextmanager
    def one(self) -> Iterator[None]:
        """While one more is asked for. Without an answer it may be there all the same."""
        self._asked += 1
        try:
            yield
        finally:
            self._asked -= 1
            self._answered.append(self._moments.next())

    def seen(self, asked_at: int) -> None:
        """A look that was asked for then has all that was answered before."""
        self._answered = [at for at in self._answered if at > asked_at]

    def forget(self) -> None:
        """The process has ended, and all that was opened there."""
        self._answered.clear()
