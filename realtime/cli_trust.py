"""`reenactd trust` and `reenactd tls`: the keys that this installation signs with, and serves with.

Shows and asks; keys are made and kept in `realtime.trust`, certificates in `realtime.tls`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from realtime.errors import ConfigError

EXIT_DECLINED = 1

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

    if not yes and not sys.stdin.isatty():
        raise ConfigError("nobody is there to ask: give --yes")
    if not yes and not typer.confirm("Make new keys? The old ones are deleted.", default=False):
        print("nothing was changed")
        raise typer.Exit(EXIT_DECLINED)
    print(f"own key from now on: {Keyring().rotate()}")


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
