"""What a bench's figures are of: the backend is named by who asks, and never chosen meanwhile.

`auto` may choose another one tomorrow, on the same machine, and figures of two are not comparable.
"""

from __future__ import annotations

from collections.abc import Mapping

from realtime.config import Config, Engine
from realtime.errors import StartupError


def require_named_backend(engine: Engine) -> None:
    """
    Raises:
        StartupError: the backend is `auto`.
    """
    if engine.backend == "auto":
        raise StartupError("a bench names what it measures; pass --backend onnx instead of auto")


def for_daemon(config: Config) -> Mapping[str, str]:
    """Settings by which the bench's daemon computes with what was named here, and nothing else."""
    return {"REENACTD_ENGINE__BACKEND": config.engine.backend}
