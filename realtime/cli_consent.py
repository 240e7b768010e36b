"""What a person at the command line is shown and asked before somebody's face is used."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from realtime.errors import ConfigError, IdentityError

if TYPE_CHECKING:
    from realtime.config import Config
    from realtime.consent import ConsentKind
    from realtime.enrolment import Picture
    from realtime.identity import Lent

EXIT_DECLINED = 1


def someone_is_there() -> bool:
    return sys.stdin.isatty()


def confirmed(picture: Picture, kind: ConsentKind, preview: Path | None, ask: bool) -> bool:
    """Show the face that was found, what could be better, and the statement; and ask, if so.

    Args:
        preview: where the picture of the face stays; else it goes again.
    """
    from realtime.consent import STATEMENTS

    for line in picture.examined.advice:
        print(f"advice: {line}")
    print(f"statement ({kind}): {STATEMENTS[kind]}")
    if not ask:
        if preview is not None:
            _write_crop(picture, preview)
        return True
    with tempfile.TemporaryDirectory(prefix="reenactd-") as folder:
        path = preview or Path(folder) / "face.png"
        _write_crop(picture, path)
        print(f"the face that was found: {path}")
        return typer.confirm("Is that the face, and is the statement true?", default=False)


def lent(path: Path, consent: str | None, release: Path | None, yes: bool, config: Config) -> Lent:
    """A portrait file for one run.

    Raises:
        IdentityError: nobody says why it may be used, or as of `lending.lend`.
        ConfigError: nobody is there to confirm it.
        Exit: the person declines.
    """
    if consent is None:
        raise IdentityError(f"{path}: a portrait file needs --consent KIND: why may it be used?")
    from realtime.consent import STATEMENTS, consent_kind
    from realtime.enrolment import Enrolment, Wish, check_terms
    from realtime.lending import METHOD, UNASKED, lend

    kind = consent_kind(consent, "--consent")
    ask = not yes and someone_is_there()
    method = METHOD if yes or ask else UNASKED
    wish = Wish(path.stem, kind, method, release_sha256=sha256_of(release))
    check_terms(wish)
    # A drawn face is nobody's: a script that compares networks by one needs no person beside it.
    if not (yes or ask or kind == "fictional"):
        print(f"statement ({kind}): {STATEMENTS[kind]}")
        raise ConfigError("nobody is there to confirm the statement: read it, then give --yes")
    enrolment = Enrolment(config.identities)
    found = lend(path, wish, enrolment, lambda picture: confirmed(picture, kind, None, ask))
    if found is None:
        print("nothing was rendered")
        raise typer.Exit(EXIT_DECLINED)
    return found


def sha256_of(release: Path | None) -> str | None:
    """Of the document in which a third party agreed."""
    from realtime import picture_file

    return None if release is None else picture_file.sha256(picture_file.read_bytes(release))


def _write_crop(picture: Picture, path: Path) -> None:
    from PIL import Image

    try:
        Image.fromarray(picture.examined.crop_rgb).save(path, "PNG")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
