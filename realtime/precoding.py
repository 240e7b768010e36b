"""Encodes identities into LivePortrait's cache before anybody wears them.

    python build_engines.py --network liveportrait --identity-cache

Each is checked and placed as the daemon would, on the same backend: only then is what was kept
found again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engines.liveportrait import cache
from engines.liveportrait.reenactor import Options
from engines.models import load_reenactor
from realtime.config import Config
from realtime.errors import IdentityError
from realtime.identity import IdentityStore

Report = Callable[[str], None]


def encode_identities(config: Config, folder: Path, report: Report) -> None:
    """Keep every identity of the gallery that can be worn.

    Args:
        folder: the cache.
        report: takes a line about what runs, each identity, and how the daemon finds them.

    Raises:
        EngineError: the network cannot run here, or gave NaN or infinity.
    """
    engine = config.engine
    options = Options(cache=folder)
    reenactor = load_reenactor(engine.backend, engine.threads, "liveportrait", options)
    report(reenactor.reason)
    store = IdentityStore(config.identities)
    canvas_hw = config.video.height_px, config.video.width_px
    for card in store.list():
        try:
            store.load(card.id, reenactor, canvas_hw)
        except IdentityError as error:
            report(f"identity {card.id} is left out: {error}")
        else:
            report(f"identity {card.id} is in {folder}, for {canvas_hw[1]}x{canvas_hw[0]}")
    if not config.liveportrait.identity_cache:
        report("the daemon reads them once liveportrait.identity_cache is true")
    if folder != cache.default_root():
        report(f"the daemon reads {cache.default_root()}; move them there")
