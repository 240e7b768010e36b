"""SIGHUP: read settings, token and certificate again, apply what can change under way, and say what
cannot.

What does not hold water changes nothing: the old goes on. Knows no signals and no HTTP.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from realtime import logs
from realtime.config import Config
from realtime.errors import ConfigError, StartupError

logger = logging.getLogger(__name__)

RELOADABLE = frozenset(
    {
        "log.level",
        "log.format",
        "server.allowed_hosts",
        "server.cors_origins",
        "server.drain_s",
        "server.max_sessions",
        "server.max_viewers",
        "server.min_fps",
        "server.post_rate_per_s",
    }
)
"""all others hold from the next start on. They are about who comes next: nobody is ended by them"""


def adopt_log(config: Config) -> None:
    logs.set_up(config.log)


class Reload:
    """Args:
    load: reads file and environment again; raises ConfigError.
    renew_token: reads the token's file again; whether it is another one; raises StartupError.
    adopt: puts settings into force of which only reloadable ones have changed.
    renew_certificate: reads its files again; whether it is another one; raises StartupError.
    """

    def __init__(
        self,
        config: Config,
        load: Callable[[], Config],
        renew_token: Callable[[], bool],
        adopt: Callable[[Config], None] = adopt_log,
        renew_certificate: Callable[[], bool] = lambda: False,
    ) -> None:
        self._config = config
        self._load = load
        self._renew_token = renew_token
        self._adopt = adopt
        self._renew_certificate = renew_certificate

    def __call__(self) -> None:
        if self._renewed("token", self._renew_token):
            logger.warning(
                "the access token is another one: no link, code or token that was given out before "
                "opens anything any more; who performs or watches now goes on"
            )
        if self._renewed("certificate", self._renew_certificate):
            logger.info("the certificate is another one: who connects from now on is shown it")
        self._reload_settings()

    def _renewed(self, what: str, renew: Callable[[], bool]) -> bool:
        try:
            return renew()
        except StartupError as exc:
            logger.error("the %s was not reloaded, the old one holds: %s", what, exc)
            return False

    def _reload_settings(self) -> None:
        try:
            fresh = self._load()
        except ConfigError as exc:
            logger.error("the settings were not reloaded, the old ones hold: %s", exc)
            return
        changed = changes(self._config, fresh)
        applied, waiting = sorted(changed & RELOADABLE), sorted(changed - RELOADABLE)
        if applied:
            self._config = merged(self._config, fresh, applied)
            self._adopt(self._config)
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


def merged(old: Config, new: Config, names: Iterable[str]) -> Config:
    """The old settings, but for these."""
    for name in names:
        section, _, key = name.partition(".")
        value = getattr(getattr(new, section), key)
        changed = getattr(old, section).model_copy(update={key: value})
        old = old.model_copy(update={section: changed})
    return old
