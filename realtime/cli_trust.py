"""`reenactd trust` and `reenactd tls`: the keys that this installation signs with, believes, and
serves with.

Shows and asks; keys are made and kept in `realtime.trust`, certificates in `realtime.tls`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from realtime import cli_consent
from realtime.cli_bench import ConfigFile
from realtime.cli_consent import EXIT_DECLINED
from realtime.config import load
from realtime.errors import ConfigError

trust_app = typer.Typer(no_args_is_help=True, help="The keys that sign consents and records.")
tls_app = typer.Typer(no_args_is_help=True, help="A certificate for other machines' browsers.")


@trust_app.command("init")
def trust_init() -> None:
    """Make the keys now, instead of when they are first needed."""
    from realtime.trust import Keyring

    keyring = Keyring()
    for line in keyring.init() or ["every key is there already"]:
        print(line)
    print(f"in {keyring.directory}; whoever can read these files can sign in your name")


@trust_app.command("show")
def trust_show() -> None:
    """Show whose signatures are believed here: fingerprints, to be compared by people."""
    from realtime.trust import Keyring

    keyring = Keyring()
    keys = keyring.known()
    for key in keys:
        print(f"{key.origin:<9} {key.fingerprint}  since {key.since}")
    if not keys:
        print("no key yet; one is made when the first consent or session is signed")
    roots = keyring.media_roots().count(b"BEGIN CERTIFICATE")
    print(f"files (C2PA): {roots} local CAs, the newest signs")


@trust_app.command("rotate")
def trust_rotate(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Without a question.")] = False,
) -> None:
    """Sign with new keys from now on; what was signed before can still be checked."""
    from realtime.trust import Keyring

    if not yes and not cli_consent.someone_is_there():
        raise ConfigError("nobody is there to ask: give --yes")
    if not yes and not typer.confirm("Make new keys? The old ones are deleted.", default=False):
        print("nothing was changed")
        raise typer.Exit(EXIT_DECLINED)
    print(f"own key from now on: {Keyring().rotate()}")


@trust_app.command("forget")
def trust_forget(
    fingerprint: Annotated[
        list[str], typer.Argument(metavar="FINGERPRINT", help="As `reenactd trust show` has it.")
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Without a question.")] = False,
    config_file: ConfigFile = None,
) -> None:
    """Believe a key no longer: what it signed does not hold here, running sessions of it end.

    Of another installation whose identity was imported, or one that was used here before a
    rotation: then films and pictures that were signed before the last rotation are a stranger's,
    too. An import asks again whether to believe it.
    """
    from realtime.enrolment import Enrolment
    from realtime.trust import Keyring

    keyring, enrolment = Keyring(), Enrolment(load(config_file, {}).identities)
    given = " ".join(fingerprint)
    key = keyring.find(given)
    ended = enrolment.signed_by(key.public_key)
    print(f"identities that can then no longer be used: {', '.join(ended) or 'none'}")
    if not yes and not cli_consent.someone_is_there():
        raise ConfigError("nobody is there to ask: give --yes")
    if not yes and not typer.confirm(f"Forget the key {key.fingerprint}?", default=False):
        print("nothing was changed")
        raise typer.Exit(EXIT_DECLINED)
    keyring.forget(given)
    print(f"{key.fingerprint}: forgotten; a running daemon ends its sessions within a second")


@tls_app.command("init")
def tls_init(
    hosts: Annotated[
        list[str],
        typer.Argument(metavar="HOST...", help="Names and addresses under which it is reached."),
    ],
    directory: Annotated[
        Path | None, typer.Option(metavar="DIR", show_default="`tls` in the state directory")
    ] = None,
) -> None:
    """Make a local CA and a certificate for these hosts, and say what to do with them.

    The CA's key is thrown away, so that nobody can make another certificate with it. The next one,
    in 397 days, comes from a new CA.
    """
    from realtime import tls

    for line in tls.init(tuple(hosts), directory):
        print(line)
