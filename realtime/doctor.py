"""What this machine has, and what each missing thing costs.

Looks without loading: a package counts by its metadata and files, because importing MediaPipe on a
machine without libGL is the very failure to be explained. Knows nothing of sessions or frames.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from realtime.bench import machine
from realtime.config import Config
from realtime.errors import StartupError

SYSTEM_LIBRARIES = {"libGL.so.1": "libgl1", "libgthread-2.0.so.0": "libglib2.0-0"}
"""shared library that OpenCV and MediaPipe load -> the Debian package that brings it"""

MEDIAPIPE_MODELS = (
    "modules/face_detection/face_detection_short_range.tflite",
    "modules/face_landmark/face_landmark_with_attention.tflite",
    "modules/selfie_segmentation/selfie_segmentation_landscape.tflite",
)
"""inside MediaPipe's wheel up to 0.10.21"""


@dataclass(frozen=True, slots=True)
class Check:
    group: str
    name: str
    found: str
    """what is there; empty when it is missing"""
    cost: str
    """what its absence costs, and the way to get it"""
    required: bool = False
    """the daemon cannot run without it"""

    @property
    def fatal(self) -> bool:
        return self.required and not self.found


def require_system_libraries() -> None:
    """Say in one line what is missing before an import fails deep inside a wheel.

    Raises:
        StartupError: with the apt command.
    """
    missing = [package for library, package in SYSTEM_LIBRARIES.items() if not _loads(library)]
    if missing:
        names = " ".join(missing)
        raise StartupError(
            f"system libraries are missing; on Debian and Ubuntu: sudo apt-get install {names}"
        )


def examine(config: Config) -> list[Check]:
    """Every check, in the order of the table."""
    groups: tuple[Callable[[], Iterable[Check]], ...] = (
        _hardware,
        _system,
        _backends,
        _codecs,
        _models,
        lambda: _liveportrait(config),
        lambda: _identities(config),
        lambda: _surroundings(config),
    )
    return [check for group in groups for check in group()]


def _hardware() -> Iterable[Check]:
    cores = machine.usable_cores()
    yield Check("hardware", "processor", f"{machine.cpu_model()}, {cores} usable cores", "")
    yield Check("hardware", "memory", f"{machine.memory_gib():.1f} GiB", "")
    gpu = machine.gpu_name()
    yield Check("hardware", "NVIDIA GPU", gpu, "the network runs on the CPU")


def _system() -> Iterable[Check]:
    in_range = (3, 10) <= sys.version_info[:2] < (3, 13)
    python = platform.python_version() if in_range else ""
    yield Check("system", "Python 3.10 to 3.12", python, "MediaPipe has no wheel for it", True)
    for library, package in SYSTEM_LIBRARIES.items():
        cost = f"no tracking, no start: sudo apt-get install {package}"
        yield Check("system", library, "loads" if _loads(library) else "", cost, True)
    uvloop = machine.version_of("uvloop")
    yield Check("system", "uvloop", uvloop, "asyncio's own loop: about 1 % of a core per session")
    yield Check("system", "package `realtime`", *_own_package(), required=True)


def _own_package() -> tuple[str, str]:
    """PyPI has another package of this name, which overwrites ours in a shared environment."""
    here = Path(__file__).parent
    complete = (here / "frames.py").exists() and (here / "identities").is_dir()
    return (str(here) if complete else "", "another `realtime` overwrote ours: use an own venv")


def _backends() -> Iterable[Check]:
    runtime = machine.version_of("onnxruntime")
    yield Check(
        "backend", "ONNX Runtime", runtime, "no backend, no start: pip install reenactd", True
    )
    cost = "no plans for a GPU: pip install 'reenactd[gpu]'; without a GPU nothing"
    yield Check("backend", "TensorRT", machine.version_of("tensorrt"), cost)
    yield Check("backend", "pycuda", machine.version_of("pycuda"), cost)
    cost = "no training, no parity reference, no plans; serving on the CPU does not need it"
    yield Check("backend", "PyTorch", machine.version_of("torch"), cost)
    yield Check("backend", "taken by auto", *_taken(), required=True)


def _taken() -> tuple[str, str]:
    """Where there is a GPU, its libraries are loaded: whether they work is the question."""
    from engines.errors import EngineError

    try:
        from engines import backends, specs

        taken = [backends.choose("auto", network) for network in specs.NETWORKS.values()]
    except (EngineError, ImportError) as error:
        return "", str(error)
    said = dict.fromkeys(f"{name}: {reason}" for name, reason in taken)  # of both sizes, once
    return ", ".join(said), ""


def _codecs() -> Iterable[Check]:
    if not machine.version_of("av"):
        yield Check("codec", "PyAV", "", "no video at all: pip install reenactd", True)
        return
    import av

    costs = {
        "libx264": "no H.264: no rendered files, and the costlier VP8 in live sessions",
        "libvpx": "no VP8: browsers without H.264 cannot connect",
        "aac": "sound that MP4 cannot hold is not kept in rendered files",
    }
    for name, cost in costs.items():
        found = f"PyAV {av.__version__}" if name in av.codecs_available else ""
        yield Check("codec", name, found, cost, required=name == "libx264")
    from realtime.rtc_encode import choose_h264

    choice = choose_h264("auto")
    found = choice.reason if choice.name == "h264_nvenc" else ""
    yield Check("codec", "h264_nvenc", found, f"3 ms a frame: libx264 encodes; {choice.reason}")


def _models() -> Iterable[Check]:
    version = machine.version_of("mediapipe")
    spec = importlib.util.find_spec("mediapipe") if version else None
    roots = [Path(root) for root in (spec.submodule_search_locations or [])] if spec else []
    complete = any(all((root / model).exists() for model in MEDIAPIPE_MODELS) for root in roots)
    cost = "no tracking, no start: pip install mediapipe==0.10.21 (later wheels carry no models)"
    yield Check("model", "MediaPipe and its models", version if complete else "", cost, True)
    yield Check("model", "network weights", *_weights(), required=True)


def _liveportrait(config: Config) -> Iterable[Check]:
    """Whether that network can run here; only who chose it needs it."""
    from engines.errors import EngineError

    chosen, name = config.engine.network == "liveportrait", "LivePortrait's"
    try:
        from engines import backends, sources

        network = sources.got()
        files = network.verify()
    except (EngineError, ImportError) as error:
        yield Check("model", f"{name} weights", "", str(error), chosen)
        return
    found = f"{len(files)} files match their SHA-256"
    yield Check("model", f"{name} weights", found, "", chosen)
    try:
        taken, why = backends.choose(config.engine.backend, network)
        backends.require(taken, network)
    except EngineError as error:
        yield Check("backend", name, "", str(error), chosen)
        return
    slow = "" if machine.gpu_name() else "; without a GPU half a minute for each frame"
    yield Check("backend", name, f"{taken}: {why}{slow}", "", chosen)


def _identities(config: Config) -> Iterable[Check]:
    try:
        from realtime.identity import IdentityStore

        cards = IdentityStore(config.identities).list()
    except (StartupError, ImportError) as error:
        yield Check("identity", "gallery", "", str(error), True)
        return
    names = ", ".join(card.id for card in cards)
    yield Check("identity", "gallery", names, "nobody to show: reinstall reenactd", True)
    default = config.identities.default
    known = default if any(card.id == default for card in cards) else ""
    cost = f"[identities] default = {default!r} does not exist: choose one of the gallery"
    yield Check("identity", "default", known, cost, True)


def _surroundings(config: Config) -> Iterable[Check]:
    host, port = config.server.host, config.server.port
    cost = "taken, perhaps by a running reenactd: choose another with --port"
    free = f"{host}:{port} is free" if _can_listen(host, port) else ""
    yield Check("surroundings", "port", free, cost)
    devices = sorted(Path("/sys/devices/virtual/video4linux").glob("video*"))
    cost = "no virtual camera (v4l2loopback): other programs take the page as a browser source"
    found = ", ".join(f"/dev/{device.name}" for device in devices)
    yield Check("surroundings", "virtual camera", found, cost)
    cost = "commits are not named in bench records"
    yield Check("surroundings", "git", shutil.which("git") or "", cost)


def _weights() -> tuple[str, str]:
    from engines.errors import EngineError

    try:
        from engines import specs, weights

        files = [path for name in specs.NETWORKS for path in weights.verify(name)]
    except (EngineError, ImportError) as error:
        return "", str(error)
    return f"{', '.join(specs.NETWORKS)}: {len(files)} files match their SHA-256", ""


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _can_listen(host: str, port: int) -> bool:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family):
            return True
    except OSError:
        return False


def as_table(checks: Iterable[Check]) -> Table:
    """For people: what is there, or what its absence costs."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "what", "found, or what its absence costs"):
        table.add_column(column, overflow="fold")
    for check in checks:
        state = "[green]ok[/green]" if check.found else "[yellow]--[/yellow]"
        if check.fatal:
            state = "[red]missing[/red]"
        detail = check.found or f"[dim]{escape(check.cost)}[/dim]"
        table.add_row(state, f"{check.group}: {check.name}", detail)
    return table


def as_json(checks: Sequence[Check], config: Config) -> str:
    """For scripts: one line in the shape of the benches' reports, and every check."""
    document = {
        "scenario": "doctor",
        "machine": machine.machine_record(),
        "config": config.model_dump(mode="json"),
        "metrics": {
            "found": sum(bool(check.found) for check in checks),
            "missing": sum(not check.found for check in checks),
            "fatal": sum(check.fatal for check in checks),
        },
        "checks": [asdict(check) | {"fatal": check.fatal} for check in checks],
    }
    return json.dumps(document)
