"""What sessions share, and who plays in one: made before it begins. Knows no connection."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from realtime.broadcast import Broadcast
from realtime.clock import Clock
from realtime.config import Config
from realtime.desk import Pipeline, TrackStage
from realtime.frames import OutputFrame
from realtime.gate import TOO_SLOW
from realtime.sealing import Sealer
from realtime.telemetry import GpuMemory, Telemetry
from realtime.tracing import Tracer
from realtime.wardrobe import Wardrobe
from realtime.workers import BackgroundWorker, RenderWorker

if TYPE_CHECKING:
    from realtime.identity import Identity, IdentityCard

CARD_TEXTS: Mapping[str, str] = {
    "": "Paused",
    "starting": "Starting",
    "calibrating": "Look at the camera",
    "none": "No face in view",
    "too_small": "Come closer",
    "low_confidence": "Show your whole face",
    "implausible": "Show your whole face",
    TOO_SLOW.reason: "Too few pictures",
}
"""what a viewer reads, by the reason for which there is no avatar"""


class Studio(Protocol):
    """Makes what a session needs; slow, so it is called on background threads."""

    def load(self) -> str:
        """Load the networks; what runs, and why."""

    def make_track_stage(self) -> TrackStage: ...
    def make_pipeline(self) -> Pipeline: ...
    def load_identity(
        self, identity_id: str, canvas_hw: tuple[int, int] | None = None
    ) -> Identity: ...

    def check_identity(self, identity_id: str) -> object:
        """Its valid consent record; fails as `load_identity` does when there is none."""

    def list_identities(self) -> list[IdentityCard]: ...

    def network(self) -> tuple[str, str]:
        """Its name, and the SHA-256 over the pinned hashes of its weights."""

    def gpu_memory(self) -> GpuMemory | None:
        """None where no GPU is in use; quick."""


@dataclass
class Services:
    """What all sessions share; made once, in `daemon.build_services`."""

    config: Config
    """the only one that changes: SIGHUP puts some of its settings into force"""
    clock: Clock
    studio: Studio
    wardrobe: Wardrobe
    render: RenderWorker
    loader: BackgroundWorker
    maker: BackgroundWorker
    records: BackgroundWorker
    sealer: Sealer
    viewers_pool: Executor
    telemetry: Telemetry
    tracer: Tracer
    broadcast: Broadcast


@dataclass(frozen=True)
class Cast:
    """Who plays in one session, and what stands in while nobody does."""

    identity: Identity
    pipeline: Pipeline
    cards: Mapping[str, OutputFrame]


async def make_cast(services: Services, identity_id: str) -> Cast:
    """Everything slow that a session needs before it can begin.

    Raises:
        IdentityError: there is none of that id, or it may not be used.
    """

    def make() -> tuple[Pipeline, Mapping[str, OutputFrame]]:
        pipeline = services.studio.make_pipeline()
        return pipeline, {reason: pipeline.card(text) for reason, text in CARD_TEXTS.items()}

    identity = await services.wardrobe.get(identity_id)
    return Cast(identity, *await services.maker.run(make))
