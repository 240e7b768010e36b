"""Kill a recording process at random moments, and see how much of each film plays.

    python -m realtime.bench.crash [--times 20] [--seconds 6] [--seed 7]

The victim is a process of its own with the daemon's recorder in it, fed at 30 fps with pictures and
a voice; it tells how far its film is. SIGKILL leaves it no time for anything. A film is good if it
plays without damage up to the fragment that was being written, and to within a second of what was
handed to the recorder: that counts what still waited in its queue, which on a machine that is short
of time is more than the fragment, and is shown.

Then the films that were left are signed, as the daemon's next start does it (needs the `c2pa`
extra), and looked at once more: signed here, and playing as before.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np

from realtime.bench.report import Report, finish, print_table
from realtime.c2pa_manifest import check_c2pa, is_installed
from realtime.capture_times import CaptureTimes
from realtime.clock import NS_PER_S, VIDEO_CLOCK_HZ, MonotonicClock
from realtime.config import Output, Recording
from realtime.consent import ConsentRecord
from realtime.drafts import Credit
from realtime.errors import ReenactdError
from realtime.frames import Composited, Timings, Voice
from realtime.opus import silence
from realtime.records import Subject
from realtime.sealing import Sealer, Sealing
from realtime.sinks.film import FRAGMENT, SOUND_PATIENCE
from realtime.sinks.recorder import Recorder
from realtime.stages.emit import Emit
from realtime.stages.mark import Mark
from realtime.trust import Keyring
from realtime.watermark import Payload

FPS = 30
WIDTH, HEIGHT = 640, 480
UNWRITTEN_S = (FRAGMENT + SOUND_PATIENCE) / VIDEO_CLOCK_HZ + 2 / FPS
"""of what the recorder took: the fragment, and the pictures that waited for their voice"""
LOST_S = 1.0
"""of what was handed to it"""


@dataclass(frozen=True, slots=True)
class Told:
    """The victim's last words."""

    handed_s: float
    """from the first picture handed to the recorder to the last"""
    written_s: float
    """how much of it the recorder had written"""


@dataclass(frozen=True, slots=True)
class Remains:
    """What one killed process left."""

    told: Told
    plays_s: float
    """from the first to the last that can be decoded"""
    pictures: int
    damaged: bool
    """a decoder complained, or a picture is missing between two"""
    signed: bool | None = None
    """afterwards, and plays as before; None without the `c2pa` extra"""

    @property
    def whole(self) -> bool:
        """Nothing is lost but what no fragment held yet."""
        plays = self.plays_s >= self.told.written_s - UNWRITTEN_S
        return self.pictures > 0 and plays and not self.damaged and self.signed is not False

    @property
    def good(self) -> bool:
        return self.whole and self.lost_s <= LOST_S

    @property
    def lost_s(self) -> float:
        """Of what was handed to the recorder."""
        return self.told.handed_s - self.plays_s


async def record(directory: Path) -> None:
    """The victim: until it is killed."""
    clock, payload = MonotonicClock(), Payload.random()
    today = datetime.datetime.now(datetime.timezone.utc)
    credit = Credit(ConsentRecord("fictional", "noise", "0" * 64, "drawn", today), room=False)
    subject = Subject(str(payload), "none", "0" * 64, {})
    sealing = Sealing(Sealer(), lambda: subject, lambda: credit)
    recorder = Recorder(Recording(directory=directory), "victim", clock, CaptureTimes(0), sealing)
    await asyncio.wrap_future(recorder.start())
    noise = np.random.default_rng(1).integers(90, 160, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    mark, emit = Mark(Output(), payload), Emit()
    began_ns = clock.now_ns()
    count = 0
    while True:
        await asyncio.sleep(max(0.0, (began_ns - clock.now_ns()) / NS_PER_S + count / FPS))
        marked = mark(Composited(np.roll(noise, count, axis=1)))
        pts, now_ns = count * VIDEO_CLOCK_HZ // FPS, clock.now_ns()
        recorder.see(emit(marked, count, pts, "LIVE", Timings(now_ns)))
        recorder.hear(Voice(silence(960), count * 960, pts, now_ns))
        count += 1
        print((count - 1) / FPS, recorder.progress.seconds, flush=True)


def kill_once(directory: Path, after_s: float, *, then_sign: bool = True) -> Remains:
    """
    Args:
        after_s: from when there is a film.
        then_sign: as the daemon's next start does, where the `c2pa` extra is there.

    Raises:
        ReenactdError: the victim ended by itself, or left no film.
    """
    command = [sys.executable, "-m", "realtime.bench.crash", "--victim", str(directory)]
    own_state = {**os.environ, "XDG_STATE_HOME": str(directory)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=own_state) as victim:
        assert victim.stdout is not None
        line = victim.stdout.readline()
        while line and _told(line).written_s <= 2 * UNWRITTEN_S:  # before there is a film
            line = victim.stdout.readline()
        time.sleep(after_s)
        victim.kill()
        told = [_told(each) for each in (line, *victim.stdout) if each.endswith("\n")]
    films = list(directory.glob("*.mp4"))
    if len(films) != 1 or victim.returncode != -9:
        raise ReenactdError(f"{directory}: {len(films)} films after {victim.returncode}")
    remains = inspect(films[0], told[-1])
    wanted = then_sign and is_installed()
    return sign(films[0], remains, own_state) if wanted else remains


def sign(film: Path, remains: Remains, environment: dict[str, str]) -> Remains:
    """As the daemon's next start does with what a crash left."""
    state = film.parent / "reenactd"
    [note] = (state / "unsigned").iterdir()
    command = [sys.executable, "-m", "realtime.film_process", str(note)]
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    trusted = check_c2pa(film, Keyring(state / "trust")).state == "trusted"
    return replace(remains, signed=trusted and inspect(film, remains.told) == remains)


def _told(line: str) -> Told:
    return Told(*map(float, line.split()))


def inspect(film: Path, told: Told) -> Remains:
    """What plays of a film."""
    times: list[float] = []
    damaged = False
    try:
        with av.open(f"file:{film}") as container:
            for packet in container.demux(video=0, audio=0):
                for frame in packet.decode():
                    damaged |= bool(frame.is_corrupt)
                    if isinstance(frame, av.VideoFrame):
                        times.append(float((frame.pts or 0) * (frame.time_base or 0)))
    except av.FFmpegError:
        damaged = True
    if not times:
        return Remains(told, 0.0, 0, True)
    gaps = np.diff(times)
    damaged |= bool(len(gaps) and gaps.max() > 10 / FPS)
    return Remains(told, times[-1] - times[0], len(times), damaged)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=6.0, help="the longest of a life")
    parser.add_argument("--seed", type=int, default=7, help="of the moments")
    parser.add_argument("--victim", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.victim is not None:
        asyncio.run(record(options.victim))
    lives = random.Random(options.seed)
    remains = []
    for _ in range(options.times):
        with tempfile.TemporaryDirectory() as directory:
            remains.append(kill_once(Path(directory), lives.uniform(0.1, options.seconds)))
    rows = [
        (
            *(index + 1, each.told.handed_s, each.told.written_s, each.plays_s, each.lost_s),
            each.pictures,
            {None: "-", True: "yes", False: "NO"}[each.signed],
            "yes" if each.good else "NO",
        )
        for index, each in enumerate(remains)
    ]
    columns = ("film", "handed s", "written s", "plays s", "lost s", "pictures", "signed", "good")
    print_table("killed", columns, rows)
    lost = [each.lost_s for each in remains]
    waited = [each.told.handed_s - each.told.written_s for each in remains]
    good = sum(each.good for each in remains)
    how = {"times": options.times, "seconds": options.seconds, "seed": options.seed}
    metrics = {"films": float(len(remains)), "good_films": float(good), "lost_max_s": max(lost)}
    metrics["queue_max_s"] = max(waited)
    finish(Report("crash", how, metrics))
    sys.exit(0 if good == len(remains) else 1)


if __name__ == "__main__":
    main()
