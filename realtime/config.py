"""Every setting, in one tree. Precedence: defaults < TOML file < environment < flags.

    REENACTD_SERVER__PORT=9000 reenactd serve          environment: section, two underscores, key
    reenactd serve --config reenactd.toml --port 9000  file and flag

An unknown key is an error that names the nearest right one; a wrong value is an error that states
the value, the rule and the key. A part of the daemon receives its own section only. What a
performer changes live is not here: see `frames.Controls`.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from realtime.errors import ConfigError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Server(_Section):
    host: str = "127.0.0.1"
    """address to listen on; only loopback is served without TLS"""
    port: int = Field(8700, ge=0, le=65535)
    """TCP port of the page and the API; 0 takes a free one"""
    token_file: Path | None = None
    """where the access token is kept; default: `token` in the state directory, mode 0600"""
    loop: Literal["auto", "uvloop", "asyncio"] = "auto"
    """event loop; auto takes uvloop where it is installed"""
    max_sessions: int = Field(2, ge=1, le=64)
    """performers at the same time; one more is refused with HTTP 503"""
    allowed_hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")
    """Host headers that are answered; others get 421 (DNS rebinding)"""


class Rtc(_Section):
    ice_servers: tuple[str, ...] = ()
    """stun: or turn: URLs; none by default, so that no foreign server is contacted"""
    connect_timeout_s: float = Field(15.0, gt=0, le=120)
    """a session that has not connected by then is closed"""
    codec: Literal["auto", "h264", "vp8"] = "auto"
    """codec of the returned video; auto prefers H.264 where the browser offers it"""
    start_bitrate_bps: int = Field(2_500_000, ge=100_000, le=20_000_000)
    max_bitrate_bps: int = Field(4_000_000, ge=100_000, le=50_000_000)
    encode_threads: int = Field(1, ge=1, le=16)
    """threads of the encoder pool, over all sessions"""


class Video(_Section):
    width_px: int = Field(640, ge=160, le=1920, multiple_of=2)
    """width of the returned picture"""
    height_px: int = Field(480, ge=120, le=1080, multiple_of=2)
    """height of the returned picture"""
    max_input_px: int = Field(3840 * 2160, ge=160 * 120)
    """largest camera picture, in pixels; larger ones end the session with a reason"""


class Tracking(_Section):
    max_edge_px: int = Field(640, ge=160, le=1920)
    """camera pictures are shrunk to this longer edge before tracking"""
    min_confidence: float = Field(0.5, ge=0.1, le=0.9)
    one_euro_min_cutoff_hz: float = Field(1.7, gt=0)
    """cutoff at rest: lower is calmer (Casiez et al., CHI 2012)"""
    one_euro_beta: float = Field(0.3, ge=0)
    """how fast the cutoff rises with speed, in 1/face unit: higher lags less"""


class Retarget(_Section):
    calibration_s: float = Field(1.0, gt=0, le=10)
    """how long a face must be good before its neutral is taken"""
    max_yaw_deg: float = Field(40.0, gt=0, le=90)
    """head turns beyond it are eased back, not followed"""
    max_pitch_deg: float = Field(25.0, gt=0, le=90)


class Output(_Section):
    hold_s: float = Field(0.5, ge=0, le=0.5)
    """how long the last good frame stands in before the card"""
    watchdog_s: float = Field(0.25, gt=0, le=0.5)
    """without a new frame for this long, an output holds"""
    recover_frames: int = Field(5, ge=1, le=60)
    """good frames in a row before a card gives way to the avatar again"""
    label: str = Field("AI", min_length=1, max_length=16)
    """the visible mark, top right"""
    label_height: float = Field(0.05, ge=0.04, le=0.2)
    """its height as a share of the picture's"""


class Engine(_Section):
    network: Literal["warp-refine"] = "warp-refine"
    backend: Literal["auto", "onnx"] = "auto"
    """auto takes the fastest one present and prints why; benches refuse auto"""
    threads: int = Field(2, ge=1, le=64)
    """CPU threads of the network"""


class Identities(_Section):
    default: str = "juniper"
    """identity of a new session"""
    directory: Path | None = None
    """your own identities; default: `identities` in the state directory"""


class Log(_Section):
    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(BaseSettings):
    """The whole tree. Build it with `load`, which turns every mistake into a ConfigError."""

    model_config = SettingsConfigDict(
        env_prefix="REENACTD_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    server: Server = Server()
    rtc: Rtc = Rtc()
    video: Video = Video()
    tracking: Tracking = Tracking()
    retarget: Retarget = Retarget()
    output: Output = Output()
    engine: Engine = Engine()
    identities: Identities = Identities()
    log: Log = Log()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)
