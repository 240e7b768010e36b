"""SIGHUP: read settings and token again, apply what can change under way, and say what cannot.

Settings that do not hold water change nothing: the old ones go on, and so does the old token where
its file cannot be used. Knows no signals and no HTTP.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from realtime import logs
from realtime.config import Config, Log
from realtime.errors import ConfigError, StartupError

logger = logging.getLogger(__name__)

RELOADABLE = frozenset({"log.level", "log.format"})
"""all others hold from the next start on"""


class Reload:
    """Args:
    load: reads file and environment again; raises ConfigError.
    renew_token: reads the token's file again; whether it is another one; raises StartupError.
    log_as: applies the settings of the log.
    """

    def __init__(
        self,
        config: Config,
        load: Callable[[], Config],
        renew_token: Callable[[], bool],
        log_as: Callable[[Log], None] = logs.set_up,
    ) -> None:
        self._config = config
        self._load = load
        self._renew_token = renew_token
        self._log_as = log_as

    def __call__(self) -> None:
        self._reload_token()
        self._reload_settings()

    def _reload_token(self) -> None:
        try:
            changed = self._renew_token()
        except StartupError as exc:
            logger.error("the token was not reloaded, the old one holds: %s", exc)
            return
        if changed:
            logger.warning(
                "the access token is another one: no link, code or token that was given out before "
                "opens anything any more; who performs or watches now goes on"
            )

    def _reload_settings(self) -> None:
        try:
            fresh = self._load()
        except ConfigError as exc:
            logger.error("the settings were not reloaded, the old ones hold: %s", exc)
            return
        changed = changes(self._config, fresh)
        applied, waiting = sorted(changed & RELOADABLE), sorted(changed - RELOADABLE)
        if applied:
            self._log_as(fresh.log)
            self._config = self._config.model_copy(update={"log": fresh.log})
        logger.info("reloaded: %s", ", ".join(applied) or "nothing to apply has changed")
        if waiting:
            logger.warning("changed, and hold after a restart only: %s", ", ".join(waiting))


def changes(old: Config, new: Config) -> set[str]:
    """Names of settings whose values differ."""
    before, after = old.model_dump(), new.model_dump()
    return {
        f"{section}.{key}"
        for section, values in after.items()
        for key, value in values.items()
        if before[section][key] != value
    }
