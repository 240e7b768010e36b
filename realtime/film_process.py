"""A film is signed in a process of its own, so that no session waits for it.

    python -m realtime.film_process NOTE

To hash a film of an hour takes a minute of a processor. Here that is nobody's minute but that of
who has nothing else to do (nice 19), it ends with no session, and a fault of the library ends this
process alone. Says `signed`, or `unsigned` and why, on its standard output.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from realtime.c2pa_manifest import seal, unfinished
from realtime.drafts import read_note
from realtime.errors import StartupError

NICE = 19


def main(note: Path) -> str:
    """Sign the film of a note, and remove the note. What became of it, on one line."""
    try:
        film, claim = read_note(note)
        if not film.is_file():
            unfinished(film).unlink(missing_ok=True)
            note.unlink(missing_ok=True)
            return f"unsigned {film}: is no longer there"
        seal(film, claim, film.name)
        note.unlink(missing_ok=True)
    except (OSError, StartupError) as error:
        return f"unsigned {error}"
    return "signed"


if __name__ == "__main__":
    os.nice(NICE)
    sys.stdout.write(" ".join(main(Path(sys.argv[1])).split()) + "\n")
