"""Revoke, delete, export and import over HTTP: with the daemon's own token only."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from realtime import server
from realtime.enrolment import Enrolment, Wish
from realtime.identity import IdentityStore
from realtime.identity_archive import MAX_BYTES
from tests.helpers import Stand, config_with, standing
from tests.portraits import enrolment, one_face, picture_bytes

ZIP = {"Content-Type": "application/zip"}
PATH = "/api/own-identities"


@pytest.fixture
async def stand(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stand]:
    monkeypatch.setattr(server, "Enrolment", lambda config: Enrolment(config, find_faces=one_face))
    async with standing() as stand:
        yield stand


@pytest.fixture
def ada() -> str:
    made = enrolment()
    return made.add(made.look_at(picture_bytes(), "x"), Wish("Ada", "fictional", "a test"))


def known() -> list[str]:
    return [card.id for card in IdentityStore(config_with().identities).list()]


async def test_all_own_ones_are_listed_and_no_shipped_one(stand: Stand, ada: str) -> None:
    (own,) = (await stand.http.get(PATH)).json()
    assert own == {
        "id": ada, "name": "Ada", "kind": "fictional", "proof": "attested", "problem": "",
    }  # fmt: skip


async def test_a_consent_is_revoked_with_a_reason(stand: Stand, ada: str) -> None:
    answer = await stand.http.post(f"{PATH}/{ada}/revocation", json={"reason": "she asked me to"})
    assert (answer.status_code, answer.json()) == (200, {"id": ada})
    assert ada not in known()
    (own,) = (await stand.http.get(PATH)).json()
    assert "revoked on" in own["problem"]
    again = await stand.http.post(f"{PATH}/{ada}/revocation", json={"reason": "x"})
    assert again.status_code == 400 and "was revoked on" in again.json()["error"]


async def test_it_is_deleted(stand: Stand, ada: str) -> None:
    answer = await stand.http.delete(f"{PATH}/{ada}")
    assert answer.status_code == 200 and answer.json()["files"] >= 4
    assert (await stand.http.get(PATH)).json() == []
    assert (await stand.http.delete(f"{PATH}/{ada}")).status_code == 400


async def test_it_travels_to_an_installation_that_asks_for_trust(
    stand: Stand, ada: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    exported = await stand.http.get(f"{PATH}/{ada}/export")
    assert exported.headers["Content-Type"] == "application/zip"
    assert 'filename="ada.reenactd-identity"' in exported.headers["Content-Disposition"]
    signer = exported.headers["Reenactd-Signer"]
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    async with standing() as there:
        asked = await there.http.post(PATH, content=exported.content, headers=ZIP)
        assert (asked.status_code, asked.json()["fingerprint"]) == (409, signer)
        wrong = await there.http.post(
            PATH, params={"trust": "0000"}, content=exported.content, headers=ZIP
        )
        assert wrong.status_code == 409 and ada not in known()
        taken = await there.http.post(
            PATH, params={"trust": signer, "id": "ada-2"}, content=exported.content, headers=ZIP
        )
        assert (taken.status_code, taken.json()) == (201, {"id": "ada-2"})
        assert "ada-2" in known()


@pytest.mark.parametrize(
    ("content", "headers", "status", "said"),
    [
        (b"", ZIP, 400, "is no exported identity"),
        (b"PK\x05\x06" + bytes(18), ZIP, 400, "must hold portrait.png"),
        (b"x", {"Content-Type": "text/plain"}, 415, "must be application/zip"),
        (bytes(MAX_BYTES + 1), ZIP, 413, "larger than"),
    ],
)
async def test_what_is_none_is_refused(
    stand: Stand, content: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    answer = await stand.http.post(PATH, content=content, headers=headers)
    assert answer.status_code == status and said in answer.json()["error"]
    assert len(known()) == 4


async def test_a_table_of_a_million_entries_is_not_read(stand: Stand) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(2000):
            archive.writestr(f"{number}", b"")
    answer = await stand.http.post(PATH, content=buffer.getvalue(), headers=ZIP)
    assert answer.status_code == 400 and "and nothing else" in answer.json()["error"]


@pytest.mark.parametrize("identity", ["coral", "nobody", "..%2f..%2fetc", "a b"])
async def test_the_shipped_and_the_absent_stay(stand: Stand, identity: str) -> None:
    for method, path in (
        ("POST", f"{PATH}/{identity}/revocation"),
        ("DELETE", f"{PATH}/{identity}"),
        ("GET", f"{PATH}/{identity}/export"),
    ):
        body = {"json": {"reason": "x"}} if method == "POST" else {}
        answer = await stand.http.request(method, path, **body)  # type: ignore[arg-type]
        assert answer.status_code in (400, 404, 405), (method, path, answer.text)
    assert len(known()) == 4


@pytest.mark.parametrize("scope", ["publish", "view"])
async def test_others_have_no_say(stand: Stand, ada: str, scope: str) -> None:
    made = await stand.http.post("/api/tokens", json={"scope": scope})
    bearer = {"Authorization": f"Bearer {made.json()['token']}"}
    for method, path in (
        ("GET", PATH),
        ("POST", PATH),
        ("POST", f"{PATH}/{ada}/revocation"),
        ("DELETE", f"{PATH}/{ada}"),
        ("GET", f"{PATH}/{ada}/export"),
    ):
        answer = await stand.http.request(method, path, headers=bearer)
        assert answer.status_code == 403, (method, path)
    assert ada in known()
