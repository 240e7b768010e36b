"""What somebody at the camera is asked to do: movements in an order that nobody can know before.

Three turns of the head, and a blink before, between or after them. Drawn anew for each check; the
page hears of one at a time.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Literal

Step = Literal["left", "right", "up", "down", "blink"]

TURNS: tuple[Step, ...] = ("left", "right", "up", "down")
"""left and right are the person's own"""
STEPS: tuple[Step, ...] = (*TURNS, "blink")
TURNS_ASKED = 3


def draw(below: Callable[[int], int] = secrets.randbelow) -> tuple[Step, ...]:
    """The steps of one check: 36 orders of turns, times 4 places of the blink.

    No turn is asked for twice in a row, for the second one could not be told from the first.

    Args:
        below: a whole number from 0 to below its argument, by chance.
    """
    steps: list[Step] = []
    for _ in range(TURNS_ASKED):
        others = [turn for turn in TURNS if turn not in steps[-1:]]
        steps.append(others[below(len(others))])
    place = below(TURNS_ASKED + 1)
    return (*steps[:place], "blink", *steps[place:])
