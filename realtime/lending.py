"""A portrait file for one run: the rules of an identity that is kept, without keeping the picture.

    reenactd render IN OUT --identity portrait.png --consent self

What stays is the signed consent, beside the record of the film that was made by it
(`records.keep_consent`): that record names its digest. It ends after a day, so that a copy of it
beside its picture makes no identity. Who asks the person is `cli_consent.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from realtime import picture_file
from realtime.consent import ConsentRecord
from realtime.enrolment import Enrolment, Picture, Wish, check_terms
from realtime.errors import IdentityError
from realtime.identity import Lent

SCOPE = "one rendered file, every picture marked as synthetic"
METHOD = "attested at the command line for one run, no live check"
UNASKED = "named at the command line for one run; nobody was there to confirm it, no live check"
"""of `fictional` in a script, which shows nobody who could be asked"""
LIFETIME = timedelta(days=1)
"""however long the film takes: the consent is looked at when it begins"""


def lend(
    path: Path, wish: Wish, enrolment: Enrolment, confirm: Callable[[Picture], bool]
) -> Lent | None:
    """The portrait in a file, with a signed consent; None where the person declines.

    Args:
        wish: of its terms the kind, the method and the release count.
        confirm: has the statement read and confirmed, with the face that was found.

    Raises:
        IdentityError: the terms break a rule, the file is no picture of one face, or a consent for
            it was revoked here.
        StartupError: the consent cannot be signed.
    """
    ends = (datetime.now(timezone.utc) + LIFETIME).replace(microsecond=0)
    wish = replace(wish, expires_at=ends, scope=SCOPE)
    check_terms(wish)
    data = picture_file.read_bytes(path)
    picture, sha256 = enrolment.look_at(data, str(path)), picture_file.sha256(data)
    if enrolment.is_revoked(picture, sha256):
        raise IdentityError(
            f"{path}: a consent for this picture was revoked here; if the person agrees again, "
            "add it with `reenactd identity add`, and render with the id that it gets"
        )
    if not confirm(picture):
        return None
    signed = enrolment.sign(wish, sha256)
    return Lent(path, picture.rgba, ConsentRecord.parse(signed, path), signed)
