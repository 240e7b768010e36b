from __future__ import annotations

import base64
import json

import pytest

from realtime.tokens import Grant, TokenRefused, Tokens

OWN = "a-token-of-the-tests-with-enough-characters"
NOW_S = 1_800_000_000.0


def tokens(own: str = OWN, now_s: float = NOW_S) -> Tokens:
    return Tokens(own, lambda: now_s)


def test_the_daemons_own_token_grants_everything_for_ever() -> None:
    assert tokens(now_s=4e9).read(OWN) == Grant("admin")


def test_a_made_token_grants_what_was_asked_for() -> None:
    token, grant = tokens().make("view", "left", 3600)
    assert grant == Grant("view", "left", int(NOW_S) + 3600)
    assert grant.expires == "2027-01-15T09:00:00Z"
    assert tokens().read(token) == grant
    assert set(token) <= set(OWN) | set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopqrstuvwxyz_."
    )


def test_it_outlives_the_daemon_but_not_the_token_file() -> None:
    token, grant = tokens().make("publish", None, 60)
    assert tokens().read(token) == grant, "another process with the same file"
    with pytest.raises(TokenRefused, match="missing or wrong"):
        tokens(own=OWN.upper()).read(token)


def test_it_ends() -> None:
    token, _ = tokens().make("view", None, 60)
    assert tokens(now_s=NOW_S + 59).read(token).scope == "view"
    with pytest.raises(TokenRefused, match=r"good until 2027-01-15T08:01:00Z"):
        tokens(now_s=NOW_S + 60).read(token)


def test_nothing_in_it_can_be_changed() -> None:
    token, _ = tokens().make("view", "left", 60)
    body, _, signature = token.partition(".")
    fields = json.loads(base64.urlsafe_b64decode(body + "=="))
    wider = base64.urlsafe_b64encode(json.dumps({**fields, "scope": "admin"}).encode()).decode()
    forged = [f"{wider}.{signature}", body, f"{body}.", f".{signature}", "", ".", "\udcff.é"]
    forged += [f"{token}x", f"{token[:-1]}", f"{body}.{signature[::-1]}", "x" * 5000]
    forged += [f"{token[:i]}{'A' if token[i] != 'A' else 'B'}{token[i + 1 :]}" for i in range(60)]
    for given in forged:
        with pytest.raises(TokenRefused):
            tokens().read(given)


@pytest.mark.parametrize("fields", [[], {}, {"scope": "king", "session": None, "exp": 4e9}, "x"])
def test_one_of_another_version_is_refused_in_words(fields: object) -> None:
    maker = tokens()
    body = base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")
    with pytest.raises(TokenRefused):
        maker.read(f"{body}.{maker._signature(body)}")


@pytest.mark.parametrize(
    ("grant", "bound"),
    [
        (Grant("publish", "left"), True),
        (Grant("publish"), False),
        (Grant("view", "left"), False),
        (Grant("admin", "left"), False),
    ],
)
def test_a_publisher_of_one_session_is_bound_to_it(grant: Grant, bound: bool) -> None:
    assert grant.is_bound is bound
