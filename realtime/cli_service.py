"""`reenactd service`, `man`, `completion`: what a machine is told about reenactd. Prints only."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from realtime.cli_bench import ConfigFile

PROGRAM = "reenactd"
COMPLETE_VARIABLE = "_REENACTD_COMPLETE"


def service(config_file: ConfigFile = None) -> None:
    """Print a systemd unit that runs this very reenactd as a service of its user.

    It says itself where to keep it. The daemon tells systemd when it is ready and that it is alive,
    ends in peace on SIGTERM, and reads the token, the certificate and some settings again on
    SIGHUP.
    """
    from realtime.service import unit

    print(unit(_program(), config_file), end="")


def man(context: typer.Context) -> None:
    """Print the man page: `reenactd man > ~/.local/share/man/man1/reenactd.1`."""
    from realtime.service import man_page

    print(man_page(context.find_root().command), end="")


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="Which one.")],
) -> None:
    """Print what makes a shell complete reenactd's commands and options.

    For bash: `reenactd completion bash > ~/.local/share/bash-completion/completions/reenactd`.
    """
    from typer._completion_shared import get_completion_script

    print(get_completion_script(prog_name=PROGRAM, complete_var=COMPLETE_VARIABLE, shell=shell))


def prepare_completion() -> None:
    """Let typer answer a shell that asks what comes next, as scripts of `completion` do."""
    if COMPLETE_VARIABLE in os.environ:
        from typer._completion_classes import completion_init

        completion_init()


def _program() -> Path:
    """The `reenactd` that runs now, whatever it was called by."""
    beside = Path(sys.executable).with_name(PROGRAM)
    found = beside if beside.is_file() else shutil.which(PROGRAM)
    return Path(found or sys.argv[0]).absolute()
