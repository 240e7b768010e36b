"""The command class of `reenactd verify`: every end without a verdict has an exit code of its own.

For other commands a usage error is exit code 2 and an unforeseen fault 1; of `verify` those say
"tampered with" and "marked".
"""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperCommand

from engines.errors import EngineError
from realtime.errors import ReenactdError
from realtime.findings import EXIT_NO_VERDICT


class Verdicts(TyperCommand):
    """Lets only the command itself exit with 0 to 3."""

    def make_context(self, *arguments: Any, **settings: Any) -> Any:
        try:
            return super().make_context(*arguments, **settings)
        except typer.Exit:  # of --help
            raise
        except Exception as error:
            error.exit_code = EXIT_NO_VERDICT  # type: ignore[attr-defined]  # a click.UsageError
            raise

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.Exit:
            raise
        except BrokenPipeError:  # who read the verdicts has gone; nor is stdout flushed at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except (ReenactdError, EngineError) as error:
            print(f"reenactd: {error}", file=sys.stderr)
        except Exception as error:  # noqa: BLE001 - the process's root
            said = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"reenactd: verify cannot go on: {said}", file=sys.stderr)
        raise typer.Exit(EXIT_NO_VERDICT)
