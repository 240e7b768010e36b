"""The machine record: a figure without the machine that produced it says nothing.

Reads `/proc` and package metadata only; it imports none of the packages whose versions it states.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

VERSIONS_OF = (
    "aiortc",
    "av",
    "mediapipe",
    "numba",
    "numpy",
    "onnxruntime",
    "opencv-contrib-python",
    "tensorrt",
    "torch",
    "uvloop",
)


def machine_record() -> dict[str, Any]:
    """Hardware, load, system and versions, as plain JSON values."""
    return {
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "memory_gib": memory_gib(),
        "gpu": gpu_name(),
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "os": f"{_os_name()}, Linux {platform.release()}",
        "versions": {name: found for name in VERSIONS_OF if (found := version_of(name))},
        "commit": commit(),
    }


class Ticks(NamedTuple):
    """Processor time of this machine since it started, over all cores."""

    stolen: int
    """given by the host to others"""
    idle: int
    """or waiting for a disk"""
    total: int

    @classmethod
    def now(cls) -> Ticks:
        # user nice system idle iowait irq softirq steal; guest time is in user's (proc(5))
        lines = _lines("/proc/stat")
        ticks = [int(field) for field in lines[0].split()[1:9]] if lines else [0] * 8
        return cls(ticks[7], ticks[3] + ticks[4], sum(ticks))

    def busy_since(self, before: Ticks) -> float:
        """Share of the time between in which a process of this machine ran, 0..1."""
        waited = (self.idle - before.idle) + (self.stolen - before.stolen)
        return 1 - waited / max(self.total - before.total, 1)

    def stolen_since(self, before: Ticks) -> float:
        """Share of the time between that the host gave to others, 0..1."""
        return (self.stolen - before.stolen) / max(self.total - before.total, 1)


def usable_cores() -> int:
    """Cores that this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0))


def cpu_model() -> str:
    for line in _lines("/proc/cpuinfo"):
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()


def memory_gib() -> float:
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemTotal:"):
            return round(int(line.split()[1]) / 2**20, 1)
    return 0.0


def resident_mib(pid: int) -> float:
    """Resident memory of a process. Raises ProcessLookupError when it is gone."""
    for line in _lines(f"/proc/{pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def family(pid: int) -> list[int]:
    """A process and all that it and they have started, as far as they run."""
    found = [pid]
    for task in _names(f"/proc/{pid}/task"):
        for line in _lines(f"/proc/{pid}/task/{task}/children"):
            found += [each for child in line.split() for each in family(int(child))]
    return found


def processor_s(pid: int) -> float:
    """User and system time of a process so far. Raises ProcessLookupError when it is gone."""
    for line in _lines(f"/proc/{pid}/stat"):
        # Fields 14 and 15 (proc(5)), counted behind the name, which may hold blanks.
        fields = line.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    raise ProcessLookupError(pid)


def gpu_name() -> str:
    """Name and driver of the first NVIDIA GPU, or an empty text."""
    query = ["--query-gpu=name,driver_version", "--format=csv,noheader"]
    first, *_ = _output("nvidia-smi", *query).splitlines() or [""]
    return first


def version_of(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def commit() -> str:
    """The checkout's commit, with `+` where it has uncommitted changes; else the release."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return version_of("reenactd")
    short = _output("git", "-C", str(root), "rev-parse", "--short=12", "HEAD")
    changed = _output("git", "-C", str(root), "status", "--porcelain", "--untracked-files=no")
    return short + ("+" if changed else "")


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return platform.system()


def _names(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _output(program: str, *arguments: str) -> str:
    """Standard output of a program, or an empty text where it is absent or fails."""
    found = shutil.which(program)
    if found is None:
        return ""
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
