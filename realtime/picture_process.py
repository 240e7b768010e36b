"""A picture from outside is decoded in a process of its own, with little memory and little time.

Decoders of pictures are where hostile files strike. Here one meets a process that has no secrets in
its environment, can write no file, and is gone afterwards:

    decode(data, name)                 asks
    python -m realtime.picture_process    answers: bytes of a file in, size and RGBA pixels out
"""

from __future__ import annotations

import math
import os
import resource
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from realtime.errors import IdentityError

if TYPE_CHECKING:
    from realtime.frames import U8

MEMORY_BYTES = 768 * 2**20
"""address space; the largest picture that is let in takes about half"""
CPU_S = 1.5
"""what is let in takes about one at most; a picture can be made so that it would take minutes"""
PATIENCE_S = 8.0
"""on a machine that has no time for it"""
_KEPT_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")


def decode(data: bytes, name: str) -> U8:
    """(H, W, 4) RGBA, upright, its longer edge at most 2048 px.

    Args:
        name: of the file, for messages.

    Raises:
        IdentityError: not one of the formats, too large, too small, damaged, or not to be decoded
            within the limits.
    """
    import numpy as np

    from realtime.picture_file import MAX_BYTES

    if len(data) > MAX_BYTES:
        raise IdentityError(f"{name}: more than {MAX_BYTES // 2**20} MiB; save it smaller")
    environment = {key: os.environ[key] for key in _KEPT_ENVIRONMENT if key in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "realtime.picture_process"],
            input=data,
            capture_output=True,
            env=environment,
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise IdentityError(f"{name}: takes too long to decode; save it anew, smaller") from None
    except OSError as error:
        said = error.strerror or error
        raise IdentityError(f"{name}: no process can be started to decode it: {said}") from error
    head, _, pixels = done.stdout.partition(b"\n")
    verdict, _, rest = head.decode("utf-8", "replace").partition(" ")
    if verdict == "refused":
        raise IdentityError(f"{name}: {rest}")
    if done.returncode != 0 or verdict != "rgba":
        raise IdentityError(
            f"{name}: cannot be decoded with {MEMORY_BYTES // 2**20} MiB of memory in {CPU_S:g} s; "
            "save it anew, smaller"
        )
    width, height = (int(size) for size in rest.split())
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 4).copy()


def _answer() -> None:
    for what, limit in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, math.ceil(CPU_S) + 1),  # should the timer below be got rid of
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))
    signal.setitimer(signal.ITIMER_PROF, CPU_S)  # nobody handles its signal, which then kills
    from realtime.picture_file import upright

    data = sys.stdin.buffer.read()
    try:
        image = upright(data, "")
    except IdentityError as error:
        sys.stdout.buffer.write(f"refused {str(error).removeprefix(': ')}\n".encode())
        return
    sys.stdout.buffer.write(f"rgba {image.width} {image.height}\n".encode())
    sys.stdout.buffer.write(image.tobytes())


if __name__ == "__main__":
    _answer()
