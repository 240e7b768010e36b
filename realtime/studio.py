"""The real thing behind a session: networks, trackers, pipelines, identities, as configured.

Its parts are heavy, so they are imported when they are loaded, not when the daemon begins to
listen. Everything here blocks and is called on worker threads. Knows no sessions.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from engines import driver
from realtime.config import Config
from realtime.desk import Pipeline, TrackStage
from realtime.errors import FrameError, StartupError
from realtime.memory import keep_for_good
from realtime.signing import canonical
from realtime.telemetry import GpuMemory

if TYPE_CHECKING:
    from engines.avatar import AnyReenactor
    from engines.device import Device
    from realtime.consent import ConsentRecord
    from realtime.identity import Identity, IdentityCard, IdentityStore


def load_networks(config: Config) -> AnyReenactor:
    """
    Raises:
        EngineError: a backend or its weights cannot be used.
    """
    from engines.liveportrait.reenactor import Options
    from engines.models import load_reenactor

    engine, chosen = config.engine, config.liveportrait
    options = Options(
        absolute=chosen.motion == "absolute",
        stitching=chosen.stitching,
        normalise_lips=chosen.normalise_lips,
        retarget_eyes=chosen.retarget_eyes,
        retarget_lips=chosen.retarget_lips,
    )
    return load_reenactor(engine.backend, engine.threads, engine.network, options)


def open_store(config: Config) -> IdentityStore:
    """The identities, and where what the configured network makes of them is kept."""
    from engines.shelf import default_root
    from realtime.identity import IdentityStore

    kept = config.engine.network == "liveportrait" and config.liveportrait.identity_cache
    return IdentityStore(config.identities, shipped_cache=default_root() if kept else None)


def encode_identity(config: Config, identity_id: str) -> None:
    """Have the configured network encode an identity, which keeps what it makes of it.

    Raises:
        EngineError: the network cannot be run here.
        IdentityError: no avatar can be made of it.
    """
    canvas_hw = config.video.height_px, config.video.width_px
    open_store(config).load(identity_id, load_networks(config), canvas_hw)


def network_of(config: Config) -> tuple[str, str]:
    """The network's name, and the SHA-256 over the pinned hashes of its weights.

    Raises:
        EngineError: the pins cannot be read.
    """
    from engines import fetched, weights
    from engines.catalogue import MODELS
    from engines.specs import WARP_REFINE_LITE

    name: str = config.engine.network
    if name in MODELS:
        lock = fetched.Store(MODELS[name], fetched.default_root()).read_lock()
        pins = {file: pin.sha256 for file, pin in lock.items()}
    else:
        name = WARP_REFINE_LITE.name
        pins = weights.read_manifest(name).files
    return name, hashlib.sha256(canonical(pins)).hexdigest()


class LiveStudio:
    """Made once; `load` first. Implements `session.Studio`.

    `load_identity` encodes on the loader thread while the render thread drives: a reenactor allows
    one thread for each.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._store = open_store(config)
        self._reenactor: AnyReenactor | None = None
        self._gpu: Device | None = None

    def load(self) -> str:
        """Load the networks and the tracker's library. Returns what runs, and why.

        Raises:
            EngineError: a backend or its weights cannot be used.
            StartupError: the mark cannot be drawn as it is configured, or the network and the
                driver do not fit together.
        """
        import realtime.pipeline  # noqa: F401 - so that the first session does not wait for it

        self._reenactor = load_networks(self._config)
        if self._reenactor.looks and self._config.tracking.driver != "camera":
            raise StartupError(
                f"engine.network = {self._config.engine.network} looks at the camera, and "
                f"tracking.driver = {self._config.tracking.driver} has none: use warp-refine"
            )
        try:
            self.make_pipeline().card("reenactd")
        except FrameError as exc:  # a mark that does not fit this canvas fits no frame
            raise StartupError(str(exc)) from exc
        keep_for_good()
        return self._reenactor.reason

    def make_track_stage(self) -> TrackStage:
        from realtime.pipeline import TrackStage as CameraTrackStage

        return CameraTrackStage(self._config)

    def make_pipeline(self) -> Pipeline:
        from realtime.pipeline import Pipeline as RenderPipeline

        return RenderPipeline(self._config, self._loaded())

    def load_identity(self, identity_id: str, canvas_hw: tuple[int, int] | None = None) -> Identity:
        video = self._config.video
        size = canvas_hw or (video.height_px, video.width_px)
        return self._store.load(identity_id, self._loaded(), size)

    def check_identity(self, identity_id: str) -> ConsentRecord:
        return self._store.consent(identity_id)

    def list_identities(self) -> list[IdentityCard]:
        return self._store.list()

    def network(self) -> tuple[str, str]:
        return network_of(self._config)

    def gpu_memory(self) -> GpuMemory | None:
        """Of the GPU on which a backend runs, whichever one it is. Has not run on a GPU yet.

        Asked through pycuda: none without it, as where PyTorch alone was installed.
        """
        if not driver.in_use():
            return None
        if self._gpu is None:
            try:
                from engines.device import Device
            except ImportError:
                return None
            self._gpu = Device()
        with self._gpu.current():
            return GpuMemory(self._gpu.free_bytes(), self._gpu.info.memory_bytes)

    def _loaded(self) -> AnyReenactor:
        if self._reenactor is None:
            raise StartupError("the networks were not loaded before their first use")
        return self._reenactor
