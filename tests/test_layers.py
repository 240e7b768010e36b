"""The shape of the house: imports point one way, and heavy libraries have one door each."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]

LAYERS = (
    ("engines",),
    # values and channels
    ("realtime", "realtime.clock", "realtime.errors", "realtime.frames", "realtime.latest"),
    ("realtime.config",),
    # pure helpers: they decide, check or draw, and know nothing of what surrounds them
    (
        "realtime.access",
        "realtime.answers",
        "realtime.admission",
        "realtime.arkit",
        "realtime.buckets",
        "realtime.certificates",
        "realtime.backdrop",
        "realtime.calibration",
        "realtime.capture_times",
        "realtime.cards",
        "realtime.challenge",
        "realtime.consent",
        "realtime.connections",
        "realtime.containers",
        "realtime.face_regions",
        "realtime.face_shapes",
        "realtime.ice_servers",
        "realtime.ladder",
        "realtime.likeness",
        "realtime.link",
        "realtime.lips",
        "realtime.logs",
        "realtime.loops",
        "realtime.http_body",
        "realtime.manifest_bytes",
        "realtime.memory",
        "realtime.merging",
        "realtime.messages",
        "realtime.metrics",
        "realtime.naming",
        "realtime.offer",
        "realtime.opus",
        "realtime.osc",
        "realtime.pacing",
        "realtime.picture_file",
        "realtime.picture_process",
        "realtime.portrait",
        "realtime.quality",
        "realtime.reception",
        "realtime.private_files",
        "realtime.signing",
        "realtime.smoothing",
        "realtime.sound",
        "realtime.telemetry",
        "realtime.tokens",
        "realtime.tracing",
        "realtime.turns",
        "realtime.watermark",
        "realtime.watermark_code",
        "realtime.watermark_field",
        "realtime.watermark_search",
        "realtime.watches",
    ),
    ("realtime.tls", "realtime.trust"),
    ("realtime.c2pa_manifest", "realtime.drivers", "realtime.records"),
    (
        "realtime.findings",
        "realtime.stretches",
        "realtime.verify",
        "realtime.verify_process",
        "realtime.verify_signed",
    ),
    (
        "realtime.drafts",
        "realtime.film_process",
        "realtime.identity",
        "realtime.identity_archive",
        "realtime.identity_files",
        "realtime.portrait_advice",
    ),
    ("realtime.enrolment",),
    ("realtime.lending",),
    ("realtime.stages",),
    ("realtime.live_check", "realtime.pipeline", "realtime.rehearsal"),
    ("realtime.gate",),
    ("realtime.desk",),
    ("realtime.pools", "realtime.workers"),
    ("realtime.load",),
    (
        "realtime.rtc",
        "realtime.rtc_buffer",
        "realtime.rtc_encode",
        "realtime.rtc_internals",
        "realtime.rtc_receive",
        "realtime.rtc_reports",
        "realtime.rtc_sound",
    ),
    ("realtime.sealing",),
    ("realtime.logbook", "realtime.sinks", "realtime.studio", "realtime.wardrobe"),
    (
        "realtime.broadcast",
        "realtime.channels",
        "realtime.filming",
        "realtime.rtc_viewers",
    ),
    ("realtime.cast",),
    ("realtime.session",),
    ("realtime.sessions",),
    ("realtime.consents", "realtime.viewing"),
    ("realtime.daemon",),
    ("realtime.worker_talk",),
    ("realtime.pending", "realtime.placing"),
    ("realtime.crew", "realtime.crew_worker"),
    ("realtime.directing",),
    (
        "realtime.adding",
        "realtime.forwarding",
        "realtime.commanding",
        "realtime.ending",
        "realtime.phone",
        "realtime.checking",
        "realtime.keeping",
        "realtime.recording",
        "realtime.reload",
        "realtime.signalling",
        "realtime.summing",
        "realtime.supervision",
        "realtime.tickets",
        "realtime.verifying",
        "realtime.watching",
        "realtime.worker_side",
    ),
    ("realtime.server",),
    # programs: above all that they use
    (
        "engines.training",
        "realtime.bench",
        "realtime.cli_bench",
        "realtime.cli_consent",
        "realtime.cli_identity",
        "realtime.cli_models",
        "realtime.cli_trust",
        "realtime.cli_service",
        "realtime.cli_vcam",
        "realtime.cli_verify",
        "realtime.config_file",
        "realtime.doctor",
        "realtime.client",
        "realtime.fitting",
        "realtime.media_file",
        "realtime.precoding",
        "realtime.provenance",
        "realtime.record",
        "realtime.render",
        "realtime.service",
        "realtime.top",
        "realtime.trace_file",
        "realtime.vcam",
        "realtime.verify_command",
        "realtime.whep_client",
        "realtime.worker_process",
    ),
    ("realtime.cli",),
)
"""from the bottom up; a package stands for all that is in it"""

DOORS = {
    "aiortc": (
        "realtime/rtc*.py",
        "realtime/session.py",
        "realtime/bench/clap.py",
        "realtime/bench/performer.py",
        "realtime/bench/glass_clients.py",
        "realtime/whep_client.py",
    ),
    "c2pa": ("realtime/c2pa_manifest.py",),
    "mediapipe": ("realtime/drivers/camera.py",),
    "moderngl": ("engines/training/synthetic/renderer.py",),
    "numba": ("engines/compiled.py",),
    "onnxruntime": ("engines/backends/onnx.py",),
    "playwright": ("realtime/bench/chromium.py",),
    "httpx": ("realtime/crew_worker.py", "realtime/forwarding.py", "realtime/summing.py"),
    "prometheus_client": ("realtime/merging.py", "realtime/telemetry.py", "realtime/top.py"),
    "pycuda": (
        "engines/device.py",
        "engines/backends/tensorrt.py",
        "engines/kernels/program.py",
    ),
    "pyvirtualcam": ("realtime/vcam.py",),
    "tensorrt": ("engines/build.py", "engines/backends/tensorrt.py"),
    "websockets": ("realtime/sinks/vtube_studio.py",),
    "torch": ("engines/nets/**/*.py", "engines/training/*.py", "engines/backends/torch.py"),
}
"""library -> the only files that may import it"""


def sources() -> list[Path]:
    return sorted(path for top in ("engines", "realtime") for path in (ROOT / top).rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Every module that the file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            inner = {name for name in names if layer_of(name) is not None}
            yield from inner if node.module in ("realtime", "engines") else {node.module}


def layer_of(module: str) -> int | None:
    """Index of the layer, by the longest entry that is the module or holds it."""
    best: tuple[int, int] | None = None
    for index, layer in enumerate(LAYERS):
        for entry in layer:
            exact = module == entry
            inside = module.startswith(f"{entry}.") and entry != "realtime"
            if (exact or inside) and (best is None or len(entry) > best[0]):
                best = (len(entry), index)
    return None if best is None else best[1]


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_every_module_has_its_layer(path: Path) -> None:
    assert layer_of(module_of(path)) is not None, "give it a place in LAYERS"


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_imports_point_downwards(path: Path) -> None:
    own = layer_of(module_of(path))
    assert own is not None
    upward = [name for name in imports(path) if (layer_of(name) or 0) > own]
    assert not upward


@pytest.mark.parametrize("library", sorted(DOORS))
def test_a_heavy_library_is_imported_behind_its_door_only(library: str) -> None:
    allowed = {path for pattern in DOORS[library] for path in ROOT.glob(pattern)}
    importers = {
        path
        for path in sources()
        if any(name == library or name.startswith(f"{library}.") for name in imports(path))
    }
    assert importers <= allowed


def test_threads_are_started_in_one_file() -> None:
    starters = {
        path.relative_to(ROOT).as_posix()
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "Thread"
    }
    assert starters <= {"realtime/workers.py"}


def test_the_wheel_holds_every_package() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = set(declared["tool"]["setuptools"]["packages"])
    folders = {module_of(path) for path in sources() if path.name == "__init__.py"}
    assert packages == folders | {"realtime._web_client"}
