"""Has LivePortrait encode identities before anybody wears them.

    python build_engines.py --network liveportrait --identity-cache

Each is checked and placed as the daemon would, on the same backend: only then is what was kept
found again. A user's own lie in their folders, the shipped ones in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engines.models import load_reenactor
from engines.shelf import default_root
from realtime.config import Config
from realtime.errors import IdentityError
from realtime.identity import IdentityStore

Report = Callable[[str], None]


def encode_identities(config: Config, folder: Path, report: Report) -> None:
    """Keep every identity of the gallery that can be worn.

    Args:
        folder: the cache of the shipped ones.
        report: takes a line about what runs, each identity, and how the daemon finds them.

    Raises:
        EngineError: the network cannot run here, or gave NaN or infinity.
    """
    engine = config.engine
    reenactor = load_reenactor(engine.backend, engine.threads, "liveportrait")
    report(reenactor.reason)
    store = IdentityStore(config.identities, shipped_cache=folder)
    canvas_hw = config.video.height_px, config.video.width_px
    for card in store.list():
        try:
            store.load(card.id, reenactor, canvas_hw)
        except IdentityError as error:
            report(f"identity {card.id} is left out: {error}")
        else:
            place = store.encoded_folder(store.folder(card.id))
            report(f"identity {card.id} is in {place}, for {canvas_hw[1]}x{canvas_hw[0]}")
    if not config.liveportrait.identity_cache:
        report("the daemon reads the shipped ones once liveportrait.identity_cache is true")
    if folder != default_root():
        report(f"the daemon reads the shipped ones in {default_root()}; move them there")
