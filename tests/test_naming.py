"""What a session is called: one rule, with ids before names."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from realtime.errors import ConfigError
from realtime.naming import LATEST, check_called, pick, shown


@dataclass(frozen=True)
class Named:
    id: str
    name: str


OLD, NEW = Named("aaaaaa11111111", "stage"), Named("bbbbbb22222222", "stage")
IMPOSTOR = Named("cccccc33333333", "aaaaaa")
NEWEST_FIRST = (IMPOSTOR, NEW, OLD)


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        ("aaaaaa11111111", OLD),
        ("bbbbbb", NEW),
        ("stage", NEW),
        (LATEST, IMPOSTOR),
        ("aaaaaa1", None),
        ("", None),
    ],
)
def test_a_session_is_found_by_id_beginning_and_name(wanted: str, meant: Named | None) -> None:
    assert pick(NEWEST_FIRST, wanted) == meant


def test_nobody_gets_what_was_meant_for_another_by_choosing_its_id_as_a_name() -> None:
    assert pick(NEWEST_FIRST, "aaaaaa") == OLD
    assert pick((IMPOSTOR,), "aaaaaa") == IMPOSTOR, "who has it to themselves is found by it"


def test_both_are_shown_where_they_differ() -> None:
    assert shown("aaaaaa", "stage") == "aaaaaa (stage)"
    assert shown("aaaaaa", "aaaaaa") == "aaaaaa"


@pytest.mark.parametrize("text", ["", "a/b", "../api/tokens", "ä", "x" * 65, "a b"])
def test_what_no_session_can_be_called_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="must be letters, digits, - or _; `reenactd top` shows"):
        check_called(text)
    assert check_called("Stage-2_x") == "Stage-2_x"
