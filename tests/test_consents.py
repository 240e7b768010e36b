"""A consent that is taken back ends what is shown by it; and every session leaves its record."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from realtime import records
from realtime.config import Identities
from realtime.enrolment import Wish
from realtime.identity import Identity, IdentityStore
from realtime.records import RecordCheck, check_record, find_record, records_directory
from realtime.session import Session
from realtime.signing import fingerprint
from realtime.trust import Keyring
from tests import helpers
from tests.helpers import Camera, FakeIdentity, FakeStudio, Performer, Stand, standing, until
from tests.portraits import enrolment, picture_bytes


class Adding(FakeStudio):
    """Fake pictures, real consents: `me` is an identity of this installation."""

    def __init__(self) -> None:
        super().__init__()
        self.store = IdentityStore(Identities())

    def load_identity(self, identity_id: str, canvas_hw: tuple[int, int] | None = None) -> Identity:
        self.loads.append(identity_id)
        fake = FakeIdentity(identity_id, consent=self.store.consent(identity_id))
        return cast(Identity, fake)

    def check_identity(self, identity_id: str) -> object:
        return self.store.consent(identity_id)


@pytest.fixture
def me(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(helpers.FACE_LUMA, "me", 200)
    made = enrolment()
    made.add(made.look_at(picture_bytes(), "x"), Wish("Me", "fictional", "a test"))


def is_live(performer: Performer) -> bool:
    return bool(performer.seen) and not performer.seen[-1].is_card


async def performing(stand: Stand, identity: str) -> tuple[Performer, Session]:
    performer = Performer(stand.http, Camera())
    await performer.connect(identity)
    await until(lambda: is_live(performer))
    return performer, next(session for session in stand.daemon.sessions)


def forget(identity_id: str) -> None:
    """Believe the key no longer that signed its consent."""
    signer = IdentityStore(Identities()).consent(identity_id).signed_by
    assert signer is not None
    Keyring().rotate()
    Keyring().forget(fingerprint(signer))


@pytest.mark.parametrize("how", ["revoke", "delete", "break", "forget"])
async def test_a_consent_that_ends_ends_its_session(
    me: None, how: str, figure: Callable[[str], None]
) -> None:
    studio = Adding()
    async with standing(studio=studio) as stand:
        performer, session = await performing(stand, "me")
        began_s = time.monotonic()
        if how == "break":
            (studio.store.folder("me") / "consent.json").write_text("{}")
        elif how == "forget":
            forget("me")
        else:
            getattr(enrolment(), how)("me")
        await until(lambda: bool(performer.heard("closed")))
        took_s = time.monotonic() - began_s
        figure(f"from {how} to the end of the session: {took_s:.2f} s, of 1 s allowed")
        assert "consent" in performer.heard("closed")[0]["reason"]
        await until(lambda: len(stand.daemon.sessions) == 0)
        assert not stand.daemon.services.wardrobe.is_ready("me"), "its encoded form is let go"
        again = await stand.http.post(
            "/whip",
            params={"identity": "me"},
            content=performer.peer.localDescription.sdp,
            headers={"Content-Type": "application/sdp"},
        )
        assert again.status_code == 400
        await performer.close()
    check = record_of(session)
    assert check.intact and check.complete
    assert check.origin == (None if how == "forget" else "own")


async def test_who_wears_another_goes_on(me: None) -> None:
    async with standing(studio=Adding()) as stand:
        performer, session = await performing(stand, "coral")
        enrolment().revoke("me")
        await until(lambda: not stand.daemon.services.wardrobe.is_ready("me"))
        seen = len(performer.seen)
        await until(lambda: len(performer.seen) > seen + 5)
        assert session.phase == "live"
        await performer.close()


async def test_a_switch_to_one_that_may_not_be_worn_is_refused(me: None) -> None:
    enrolment().revoke("me")
    async with standing(studio=Adding()) as stand:
        performer, session = await performing(stand, "coral")
        performer.say(type="identity", id="me")
        await until(lambda: bool(performer.heard("error")))
        assert "revoked" in performer.heard("error")[0]["message"]
        assert session.identity_id == "coral"
        await performer.close()


def record_of(session: Session) -> RecordCheck:
    path = find_record(str(session.marks.payload))
    assert path is not None
    return check_record(path)


async def test_a_session_leaves_a_record_of_what_it_showed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "INTERVAL_S", 0.3)
    monkeypatch.setattr("realtime.logbook.INTERVAL_S", 0.3)
    async with standing(studio=Adding()) as stand:
        performer, session = await performing(stand, "juniper")
        path = records_directory() / f"{str(session.marks.payload)}.jsonl"
        await until(lambda: b'"still"' in path.read_bytes())
        performer.say(type="identity", id="coral")
        await until(lambda: session.identity_id == "coral")
        cast(Any, stand.daemon.services.studio).script.fault = "no_face"
        await until(lambda: b'"state":"CARD"' in path.read_bytes())
        running = check_record(path)
        assert running.intact and not running.complete
        await stand.http.delete(performer.location)
        await performer.close()
    check = record_of(session)
    assert check.intact and check.complete and check.origin == "own"
    store = IdentityStore(Identities())
    worn = [store.consent(name) for name in ("juniper", "coral")]
    assert check.identities == tuple(consent.portrait_sha256 for consent in worn)
    assert check.consents == tuple(consent.digest for consent in worn)
    text = path.read_text()
    assert "juniper" not in text and session.id not in text, "no names, no secrets"
    assert '"state":"LIVE"' in text and '"reason":"none"' in text
    assert '"label":{"height_permille":50,"text":"AI"}' in text


@pytest.mark.parametrize("mended", [True, False])
async def test_a_full_disk_is_told_to_the_performer_and_the_session_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mended: bool
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("realtime.logbook.INTERVAL_S", 0.2)
    async with standing(studio=Adding()) as stand:
        performer, session = await performing(stand, "juniper")
        await until(lambda: performer.stat("unrecorded") is None)
        with monkeypatch.context() as patch:
            patch.setattr(records.RecordWriter, "write", full)
            performer.say(type="identity", id="coral")
            await until(lambda: performer.stat("unrecorded") == "No space left on device")
            assert session.identity_id == "coral" and is_live(performer)
            counted = (await stand.http.get("/metrics")).text
            assert "reenactd_record_failures_total 0.0" not in counted
            if not mended:
                await performer.close()
                await until(lambda: len(stand.daemon.sessions) == 0)
                await stand.daemon.services.records.run(lambda: None)
        if mended:
            await until(lambda: performer.stat("unrecorded") is None)
            await performer.close()
            await until(lambda: len(stand.daemon.sessions) == 0)
    assert caplog.text.count("No space left") == 1
    assert caplog.text.count("can be written again") == mended
    check = record_of(session)
    assert check.intact and check.complete is mended
    assert (check.missing > 0) is mended
    coral = IdentityStore(Identities()).consent("coral")
    assert (coral.digest in check.consents) is mended, "as whom, although that line is missing"


async def test_a_place_that_cannot_be_written_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state" / "reenactd").mkdir(parents=True)
    (tmp_path / "state" / "reenactd" / "records").write_text("in the way")
    async with standing() as stand:
        performer, _ = await performing(stand, "coral")
        await until(lambda: bool(performer.stat("unrecorded")))
        await performer.close()
    assert caplog.text.count("record cannot be written") == 1


async def test_a_record_that_could_not_begin_begins_later(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("realtime.logbook.INTERVAL_S", 0.2)
    place = tmp_path / "state" / "reenactd" / "records"
    place.parent.mkdir(parents=True)
    place.write_text("in the way")
    async with standing(studio=Adding()) as stand:
        performer, session = await performing(stand, "coral")
        await until(lambda: bool(performer.stat("unrecorded")))
        place.unlink()
        await until(lambda: performer.stat("unrecorded") is None)
        await performer.close()
        await until(lambda: len(stand.daemon.sessions) == 0)
    check = record_of(session)
    assert check.intact and check.complete
    assert check.consents == (IdentityStore(Identities()).consent("coral").digest,)
