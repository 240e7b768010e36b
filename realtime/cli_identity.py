"""`reenactd identity`: who an avatar can be: add somebody with consent, and take it back.

Shows, asks and prints; what is done is in `realtime.enrolment`.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engines.errors import EngineError
from realtime import cli_consent
from realtime.cli_bench import ConfigFile
from realtime.cli_consent import EXIT_DECLINED
from realtime.config import load
from realtime.errors import ConfigError, IdentityError, ReenactdError

if TYPE_CHECKING:
    from realtime.consent import ConsentRecord
    from realtime.enrolment import Enrolment

METHOD = "attested at the command line, no live check"

identity_app = typer.Typer(no_args_is_help=True, help="The people that an avatar can be.")

Id = Annotated[str, typer.Argument(metavar="ID", help="As in the list.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Without a question.")]


@identity_app.command("list")
def identity_list(config_file: ConfigFile = None) -> None:
    """Show the identities that ship with reenactd, and your own."""
    from realtime.identity import IdentityStore

    config = load(config_file, {})
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("id", "name", "kind", "proof", "consent"):
        table.add_column(column, overflow="fold")
    for card in IdentityStore(config.identities).list():
        default = " (default)" if card.id == config.identities.default else ""
        table.add_row(
            card.id + default, escape(card.name), card.kind, card.proof, escape(card.statement)
        )
    Console().print(table)


@identity_app.command("show")
def identity_show(
    identity: Annotated[str, typer.Argument(metavar="ID", help="As in the list.")],
    config_file: ConfigFile = None,
) -> None:
    """Show one identity: its portrait's place, its consent record, and what encoded it."""
    from realtime.signing import fingerprint
    from realtime.studio import open_store

    store = open_store(load(config_file, {}))
    record, folder = store.consent(identity), store.folder(identity)
    card = next((card for card in store.list() if card.id == identity), None)
    if card is None:
        raise IdentityError(f"identity {identity!r} has a flaw; `reenactd identity list` names it")
    signer = "pinned by this release" if store.is_shipped(folder) else "nobody"
    if record.signed_by is not None:
        signer = f"key {fingerprint(record.signed_by)}"
    expires = "never" if record.expires_at is None else record.expires_at.isoformat()
    for label, value in (
        ("id", card.id),
        ("name", card.name),
        ("kind", card.kind),
        ("statement", card.statement),
        ("method", record.method),
        ("proof", _proof(record)),
        ("scope", record.scope),
        ("release", record.release_sha256 or "none"),
        ("issued", record.issued_at.isoformat()),
        ("expires", expires),
        ("signed by", signer),
        ("portrait", str(card.portrait_path)),
        ("encoded", _encoded(store.encoded_folder(folder))),
    ):
        Console(highlight=False, soft_wrap=True).print(f"[bold]{label:<10}[/bold]{escape(value)}")


def _encoded(kept: Path | None) -> str:
    """By which networks, for which canvases."""
    from engines.shelf import names

    return ", ".join([] if kept is None else names(kept)) or "whenever it is loaded"


def _proof(record: ConsentRecord) -> str:
    check = record.live_check
    if check is None:
        return record.proof
    when = check.checked_at.isoformat()
    asked = f"{', '.join(check.steps)}; {check.score} apart, at most {check.threshold}"
    return f"{record.proof} on {when}: {asked}"


@identity_app.command("add")
def identity_add(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="PNG, JPEG or WebP: one face.")],
    name: Annotated[str, typer.Option(help="What the gallery shows.")],
    consent: Annotated[
        str,
        typer.Option(metavar="KIND", help="self, third-party, fictional or public-domain."),
    ],
    identity: Annotated[
        str | None, typer.Option("--id", metavar="ID", show_default="made of the name")
    ] = None,
    release: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For third-party: the document in which they agreed."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="DATE", help="YYYY-MM-DD, the last day it holds.")
    ] = None,
    preview: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the picture of the face here.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="I have read the statement, and it is true.")
    ] = False,
    config_file: ConfigFile = None,
) -> None:
    """Add a picture that an avatar can be made of, with the consent for it.

    Shows the face that was found, what could be better about the picture, and the statement that
    goes into the signed record. The record is your word, not a proof: no person is checked here.
    The configured network encodes it at once, so that the daemon need not.
    """
    config = load(config_file, {})
    from realtime import picture_file
    from realtime.consent import consent_kind
    from realtime.enrolment import Enrolment, Wish
    from realtime.studio import encode_identity

    kind = consent_kind(consent, "--consent")
    wish = Wish(
        name,
        kind,
        METHOD,
        identity,
        cli_consent.sha256_of(release),
        None if expires is None else _end_of(expires),
    )
    enrolment = Enrolment(config.identities)
    identity_id = enrolment.check(wish)
    if not yes and not cli_consent.someone_is_there():
        raise ConfigError("nobody is there to confirm the statement: read it, then give --yes")
    picture = enrolment.look_at(picture_file.read_bytes(photo), str(photo))
    if not cli_consent.confirmed(picture, kind, preview, ask=not yes):
        print("nothing was added")
        raise typer.Exit(EXIT_DECLINED)
    enrolment.add(picture, wish)
    print(f"added {identity_id}: {kind}, {METHOD}")
    if kind == "self":
        print("no live check was made, and the record says so; the page can make one")
    try:
        encode_identity(config, identity_id)
    except (EngineError, ReenactdError) as error:  # it is added all the same
        print(f"not encoded yet, the daemon will try it again: {error}")


def _end_of(day: str) -> datetime:
    try:
        date = datetime.strptime(day, "%Y-%m-%d")
    except ValueError:
        raise ConfigError(f"--expires {day}: must be a date as 2027-12-31") from None
    return date.replace(hour=23, minute=59, second=59, tzinfo=timezone.utc)


@identity_app.command("revoke")
def identity_revoke(
    identity: Id,
    reason: Annotated[str, typer.Option(help="What the record is to say of it.")] = "",
    yes: Yes = False,
    config_file: ConfigFile = None,
) -> None:
    """Take a consent back: the identity can no longer be used, running sessions of it end."""
    enrolment = _enrolment(config_file)
    _agree(yes, f"Revoke {identity}? It cannot be taken back; the person would have to agree anew.")
    enrolment.revoke(identity, reason)
    print(f"{identity}: revoked; a running daemon ends its sessions within a second")


@identity_app.command("delete")
def identity_delete(identity: Id, yes: Yes = False, config_file: ConfigFile = None) -> None:
    """Delete an identity and every file that was made of it. Exports elsewhere are not found."""
    enrolment = _enrolment(config_file)
    _agree(yes, f"Delete {identity}, its portrait, its consent record and what was encoded?")
    print(f"{identity}: deleted, {enrolment.delete(identity)} files")


@identity_app.command("export")
def identity_export(
    identity: Id,
    target: Annotated[
        Path | None, typer.Argument(metavar="OUT", show_default="ID.reenactd-identity")
    ] = None,
    config_file: ConfigFile = None,
) -> None:
    """Write an identity as one file for another installation; its consent stays as signed."""
    from realtime.identity_archive import SUFFIX

    target = target or Path(f"{identity}{SUFFIX}")
    if target.exists():
        raise ConfigError(f"{target}: is there already; name another file")
    from realtime.signing import fingerprint

    signer = _enrolment(config_file).export(identity, target)
    print(f"{target}: written; who imports it is asked whether to believe the key that signed it:")
    print(fingerprint(signer))


@identity_app.command("import")
def identity_import(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="As `export` wrote it.")],
    identity: Annotated[
        str | None, typer.Option("--id", metavar="ID", show_default="made of the name")
    ] = None,
    trust: Annotated[
        str | None,
        typer.Option(metavar="FINGERPRINT", help="Believe this key, without a question."),
    ] = None,
    config_file: ConfigFile = None,
) -> None:
    """Take in an identity from another installation, if you believe who signed its consent.

    Compare the fingerprint with what `reenactd trust show` says there, on a way that you trust.
    """
    from realtime import identity_archive
    from realtime.signing import fingerprint

    def believe(public_key: str) -> bool:
        found = fingerprint(public_key)
        if trust is not None:
            return trust.replace(" ", "").lower() == found.replace(" ", "")
        print(f"signed by an unknown key: {found}")
        if not cli_consent.someone_is_there():
            raise ConfigError("nobody is there to compare it: then give it with --trust")
        return typer.confirm("Is that the fingerprint you were told?", default=False)

    enrolment, data = _enrolment(config_file), identity_archive.read(source)
    print(f"imported {enrolment.take_in(data, str(source), identity, believe)}")


def _enrolment(config_file: Path | None) -> Enrolment:
    config = load(config_file, {})
    from realtime.enrolment import Enrolment

    return Enrolment(config.identities)


def _agree(yes: bool, question: str) -> None:
    if yes:
        return
    if not cli_consent.someone_is_there():
        raise ConfigError("nobody is there to ask: give --yes")
    if not typer.confirm(question, default=False):
        print("nothing was changed")
        raise typer.Exit(EXIT_DECLINED)
