"""Every setting, in one tree. Precedence: defaults < TOML file < environment < flags.

    REENACTD_SERVER__PORT=9000 reenactd serve          environment: section, two underscores, key
    reenactd serve --config reenactd.toml --port 9000  file and flag

An unknown key is an error that names the nearest right one; a wrong value is an error that states
the value, the rule and where it was set. A part of the daemon receives its own section only. What
a performer changes live is not here: see `frames.Controls`.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    SerializationInfo,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from realtime.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ENV_PREFIX = "REENACTD_"
ENV_DELIMITER = "__"
LABEL_OFF = "off"
"""the value of output.label that takes the visible mark away"""
LABELS = (
    *("AI", "AI avatar", "AI-generated", "AI generated", "AI modified", "Made with AI"),
    *("Synthetic", "Synthetic media", "Deepfake"),
    *("KI", "KI-Avatar", "KI-generiert", "KI-erzeugt", "Synthetisch"),
    *("IA", "Avatar IA", "Generado con IA", "Generado por IA", "Generato con IA", "Gerado por IA"),
    *("Sintetico",),
    *("AI-gegenereerd", "AI-genererad", "AI-genereret"),
)
"""what the visible mark may say without a reason: each tells that the picture is synthetic, in
letters that the mark's font has (no accents); upper or lower case"""


_DISCLOSING = frozenset(label.casefold() for label in LABELS)
MASK = "********"
"""what is shown instead of a secret"""
REVEALED = "revealed"
"""context of `model_dump` in which secrets are written as they are: to our own processes only"""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def _host_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not (host and port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise PydanticCustomError("host_port", "must be HOST:PORT, as 127.0.0.1:39539")
    return text


def _websocket_url(text: str) -> str:
    if not re.fullmatch(r"wss?://[^/\s]+/?", text):
        raise PydanticCustomError("websocket_url", "must be as ws://127.0.0.1:8001")
    return text


def _written(secret: SecretStr, info: SerializationInfo) -> str:
    return secret.get_secret_value() if info.context == REVEALED else MASK


def _printable(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]+", secret.get_secret_value()):
        raise PydanticCustomError("secret", "must be printable ASCII without spaces")
    return secret


Secret = Annotated[
    SecretStr, AfterValidator(_printable), PlainSerializer(_written, when_used="json")
]
HostPort = Annotated[str, AfterValidator(_host_port)]
WebSocketUrl = Annotated[str, AfterValidator(_websocket_url)]


class Server(_Section):
    host: str = "127.0.0.1"
    """address to listen on; only loopback is served without TLS"""
    tls_cert: Path | None = None
    """PEM: the certificate and what signed it; `reenactd tls init HOST` makes one"""
    tls_key: Path | None = None
    """PEM: its key, mode 0600"""
    port: int = Field(8700, ge=0, le=65535)
    """TCP port of the page and the API; 0 takes a free one"""
    token_file: Path | None = None
    """where the access token is kept; default: `token` in the state directory, mode 0600"""
    loop: Literal["auto", "uvloop", "asyncio"] = "auto"
    """event loop; auto takes uvloop where it is installed"""
    workers: int = Field(1, ge=0, le=32)
    """processes that share the performers, each with networks of its own; 0 or 1: the daemon itself
    serves them all. One for every two cores is a good beginning where several perform at a time"""
    max_sessions: int = Field(8, ge=1, le=64)
    """performers at the same time; one more is refused with HTTP 503"""
    min_fps: float = Field(15.0, ge=0, le=60)
    """a further performer whom the machine could not serve so fast is refused, too; 0: nobody is"""
    post_rate_per_s: float = Field(10.0, gt=0, le=1000)
    """offers, pictures, commands by HTTP with one token; three seconds' worth at once, then 429"""
    max_viewers: int = Field(8, ge=0, le=256)
    """WHEP viewers at the same time, over all performers; one more is refused with HTTP 503"""
    cors_origins: tuple[str, ...] = ()
    """pages of these origins, such as https://studio.example, may use WHIP and WHEP"""
    allowed_hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")
    """Host headers that are answered; others get 421 (DNS rebinding)"""
    drain_s: float = Field(10.0, ge=0, le=60)
    """after SIGTERM nobody new is let in, and who performs may go on for so long; when the last has
    left, on Ctrl-C and on a second SIGTERM it ends at once"""

    @field_validator("cors_origins")
    @classmethod
    def _origins_only(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            parts = urlsplit(origin)
            if (
                parts.scheme not in ("http", "https")
                or origin != f"{parts.scheme}://{parts.netloc}"
            ):
                raise PydanticCustomError(
                    "origin",
                    "{origin} is no origin: write https://HOST or https://HOST:PORT",
                    {"origin": repr(origin)},
                )
        return origins


def is_turn(url: str) -> bool:
    """Whether it names a server that relays, and wants to know for whom."""
    return url.lower().startswith(("turn:", "turns:"))


class Rtc(_Section):
    turn_username: str | None = Field(None, pattern=r"^[!-9;-~]{1,200}$")
    """who the daemon and its clients are to the TURN server"""
    turn_credential: Secret | None = None
    """that user's password; coturn: user=NAME:PASSWORD"""
    turn_secret: Secret | None = None
    """instead of a password: what the TURN server shares with the daemon, which makes names and
    passwords of it that are good for a day; coturn: use-auth-secret, static-auth-secret=SECRET"""
    ice_servers: tuple[str, ...] = ()
    """stun:HOST:PORT, turn:HOST:PORT or turns: URLs; none by default, so that no foreign server is
    contacted; turn: needs turn_username and turn_credential, or turn_secret"""
    connect_timeout_s: float = Field(15.0, gt=0, le=120)
    """a session that has not connected by then is closed"""
    idle_timeout_s: float = Field(10.0, gt=0, le=120)
    """a live session from which no packet came for this long is closed: the browser has gone"""
    codec: Literal["auto", "h264", "vp8"] = "auto"
    """codec of the returned video; auto prefers H.264 where the browser offers it"""
    h264_encoder: Literal["auto", "libx264", "h264_nvenc"] = "auto"
    """auto takes the GPU's where it can be opened, and says so"""
    start_bitrate_bps: int = Field(2_500_000, ge=100_000, le=20_000_000)
    """bitrate of the returned video until the network is known"""
    max_bitrate_bps: int = Field(4_000_000, ge=100_000, le=50_000_000)
    """bitrate that it never exceeds"""
    encode_threads: int = Field(1, ge=1, le=16)
    """threads of the encoder pool, over all sessions"""

    @field_validator("turn_secret")
    @classmethod
    def _one_way_only(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if secret is not None and info.data.get("turn_credential") is not None:
            raise ValueError("rtc.turn_credential is set, too: keep one of the two")
        return secret

    @field_validator("ice_servers")
    @classmethod
    def _relays_with_credentials_only(
        cls, servers: tuple[str, ...], info: ValidationInfo
    ) -> tuple[str, ...]:
        given = info.data
        named = given.get("turn_username") is not None and given.get("turn_credential") is not None
        wrong = {"turn_username", "turn_credential", "turn_secret"} - given.keys()  # said there
        if any(map(is_turn, servers)) and not (named or given.get("turn_secret") or wrong):
            raise ValueError(
                "turn: needs rtc.turn_username and rtc.turn_credential (coturn: user=NAME:PASSWORD)"
                ", or rtc.turn_secret (coturn: static-auth-secret)"
            )
        return servers


class Video(_Section):
    width_px: int = Field(640, ge=160, le=1920, multiple_of=2)
    """width of the returned picture"""
    height_px: int = Field(480, ge=120, le=1080, multiple_of=2)
    """height of the returned picture"""
    max_input_px: int = Field(3840 * 2160, ge=160 * 120)
    """largest camera picture, in pixels; larger ones end the session with a reason"""


class Tracking(_Section):
    driver: Literal["camera", "vmc"] = "camera"
    """who sees the performer: our tracker, or another program that sends VMC to `vmc.listen`"""
    max_edge_px: int = Field(640, ge=160, le=1920)
    """camera pictures are shrunk to this longer edge before tracking"""
    min_confidence: float = Field(0.5, ge=0.1, le=0.9)
    """how sure the tracker must be of a face"""
    one_euro_min_cutoff_hz: float = Field(1.2, gt=0)
    """cutoff at rest: lower is calmer (Casiez et al., CHI 2012)"""
    one_euro_beta: float = Field(1.0, ge=0)
    """how fast the cutoff rises with speed, in 1/face unit: higher lags less"""


class Retarget(_Section):
    calibration_s: float = Field(1.0, gt=0, le=10)
    """how long a face must be good before its neutral is taken"""
    max_yaw_deg: float = Field(40.0, gt=0, le=90)
    """head turns beyond it are eased back, not followed"""
    max_pitch_deg: float = Field(25.0, gt=0, le=90)
    """the same for nods"""


class Output(_Section):
    hold_s: float = Field(0.5, ge=0, le=0.5)
    """how long the last good frame stands in before the card"""
    watchdog_s: float = Field(0.25, gt=0, le=0.5)
    """without a new frame for this long, an output holds"""
    recover_frames: int = Field(5, ge=1, le=60)
    """good frames in a row before a card gives way to the avatar again"""
    label: str = Field("AI", max_length=16)
    """the visible mark: "AI", "AI avatar", "AI-generated", "Synthetic" or the like, also in German,
    French, Spanish, Italian, Portuguese, Dutch, Swedish or Danish; any other text, "off", which
    takes it away, and none at all need label_off_reason. No setting takes away the invisible one"""
    label_position: Literal["top-right", "top-left", "bottom-right", "bottom-left"] = "top-right"
    """the corner in which it stands"""
    label_height: float = Field(0.05, ge=0.04, le=0.2)
    """its height as a share of the picture's"""
    label_style: Literal["dark", "light"] = "dark"
    """white letters on dark, or dark ones on white"""
    label_off_reason: str | None = Field(None, max_length=200)
    """why the visible mark is off, or says something else than that the picture is synthetic; for
    the log and the session's record"""

    @field_validator("label")
    @classmethod
    def _blank_is_off(cls, label: str) -> str:
        return " ".join(label.split()) or LABEL_OFF

    @field_validator("label_off_reason")
    @classmethod
    def _off_with_a_reason_only(cls, reason: str | None, info: ValidationInfo) -> str | None:
        reason = (reason or "").strip()
        label = info.data.get("label")
        if label is None:  # was refused itself
            return reason or None
        discloses = label.casefold() in _DISCLOSING
        if not discloses and not reason:
            raise ValueError(
                f"must say why, for output.label = {label!r} does not tell that the picture is "
                f"synthetic; write a sentence, or take one of {', '.join(LABELS)}"
            )
        if reason and discloses:
            raise ValueError(f"must be unset while output.label is {label!r}; remove it")
        return reason or None


class Sound(_Section):
    mute_on_card: bool = False
    """send silence while viewers see a card; off, for a voice that stops whenever its speaker leans
    out of the picture surprises"""


class Recording(_Section):
    directory: Path | None = None
    """where films go; default: `recordings` in the state directory"""
    max_minutes: float = Field(60.0, gt=0, le=24 * 60)
    """a film that is this long is ended, and the next begins with the coming picture"""
    max_mib: int = Field(4000, ge=1, le=1_000_000)
    """a film that is this large likewise; some file systems take no more than 4096"""


class Records(_Section):
    keep_days: int | None = Field(None, ge=1, le=36_500)
    """signed session records that are older are deleted, whole; unset: all are kept"""


class Engine(_Section):
    network: Literal["warp-refine", "warp-refine-full", "liveportrait"] = "warp-refine"
    """warp-refine is its small size, warp-refine-full the large one, for a GPU; liveportrait needs
    one, and its weights: `reenactd models get liveportrait`"""
    backend: Literal["auto", "onnx", "torch", "tensorrt"] = "auto"
    """auto takes the fastest one present and prints why; benches refuse auto"""
    threads: int = Field(1, ge=1, le=64)
    """CPU threads of the network"""


class Liveportrait(_Section):
    motion: Literal["relative", "absolute"] = "relative"
    """what the performer changed since their rest, or their own pose and expression"""
    stitching: bool = True
    """keep shoulders where the portrait has them; off for heads that move far"""
    normalise_lips: bool = True
    """close a portrait's open lips before they are driven; with relative motion"""
    retarget_eyes: bool = False
    """move lids as far as the tracked ones, not as the network sees them"""
    retarget_lips: bool = False
    """lips likewise"""
    identity_cache: bool = False
    """keep the shipped identities encoded in `~/.cache/reenactd/identities`; your own always are,
    in their folders"""


class Quality(_Section):
    adapt: bool = True
    """where machine or link cannot keep up: smaller pictures, then fewer; back when they can"""
    hold_s: float = Field(4.0, ge=2, le=60)
    """how long it must not keep up before a step down; a step up takes four times as long"""


class Identities(_Section):
    default: str = "juniper"
    """identity of a new session"""
    directory: Path | None = None
    """your own identities; default: `identities` in the state directory"""


class Vmc(_Section):
    send: HostPort | None = None
    """host:port that head pose and expressions go to, usually 127.0.0.1:39539; unset: nowhere"""
    names: Literal["arkit", "vrm"] = "arkit"
    """how expressions are called there: the 52 of ARKit, or the few that every VRM model has"""
    listen: HostPort = "127.0.0.1:39540"
    """host:port on which a tracker's packets are taken while `tracking.driver` is vmc"""
    peers: tuple[str, ...] = ()
    """addresses whose packets are taken; an address to listen on other than loopback needs them"""


class VtubeStudio(_Section):
    url: WebSocketUrl | None = None
    """where VTube Studio's plugin API listens, usually ws://127.0.0.1:8001; unset: nowhere"""
    token_file: Path | None = None
    """its token for us; default: `vtube_studio_token` in the state directory, mode 0600"""


class Log(_Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """how much is told"""
    format: Literal["auto", "text", "journal", "json"] = "auto"
    """auto is journal where systemd's journal reads, else text; json is one object per line"""


class Config(BaseSettings):
    """The whole tree. Build it with `load`, which turns every mistake into a ConfigError."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter=ENV_DELIMITER, extra="forbid", frozen=True
    )

    server: Server = Server()
    rtc: Rtc = Rtc()
    video: Video = Video()
    tracking: Tracking = Tracking()
    retarget: Retarget = Retarget()
    output: Output = Output()
    sound: Sound = Sound()
    recording: Recording = Recording()
    records: Records = Records()
    engine: Engine = Engine()
    liveportrait: Liveportrait = Liveportrait()
    quality: Quality = Quality()
    identities: Identities = Identities()
    vmc: Vmc = Vmc()
    vtube_studio: VtubeStudio = VtubeStudio()
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
        # `load` stacks the other sources itself, so that it can name the guilty one.
        return (init_settings,)


@dataclass(frozen=True, slots=True)
class Layer:
    """The values that one source sets: `values[section][key]`."""

    origin: str
    values: Mapping[str, Any]

    def sets(self, section: str, key: str) -> bool:
        in_section = self.values.get(section)
        return isinstance(in_section, Mapping) and key in in_section


def load(path: Path | None, overrides: Mapping[str, Mapping[str, Any]]) -> Config:
    """The settings of one run.

    Args:
        path: TOML file with one table per section, or None.
        overrides: values of flags, `{section: {key: value}}`.

    Raises:
        ConfigError: the value, the rule and where it was set; the nearest key to an unknown one.
    """
    return resolve(layers(path, overrides))


def overrides(**flags: Any) -> dict[str, dict[str, Any]]:
    """`server__port=9000` -> `{"server": {"port": 9000}}`; None is a flag that was not given."""
    tree: dict[str, dict[str, Any]] = {}
    for name, value in flags.items():
        if value is not None:
            section, key = name.split("__")
            tree.setdefault(section, {})[key] = value
    return tree


def layers(path: Path | None, overrides: Mapping[str, Mapping[str, Any]]) -> tuple[Layer, ...]:
    """The sources of `load`, weakest first. Raises ConfigError where one cannot be read."""
    environment = _environment()
    file = () if path is None else (Layer(str(path), _read_toml(path)),)
    return (*file, Layer("environment", environment), Layer("flag", overrides))


def resolve(stack: tuple[Layer, ...]) -> Config:
    """Merge the layers, the last one strongest, and validate. Raises ConfigError."""
    merged: dict[str, Any] = {}
    for layer in stack:
        for section, values in layer.values.items():
            if isinstance(values, Mapping):
                below = merged.get(section)
                merged[section] = {**(below if isinstance(below, Mapping) else {}), **values}
            else:
                merged[section] = values
    try:
        return Config(**merged)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(one, stack) for one in error.errors())) from None


def origin_of(stack: tuple[Layer, ...], section: str, key: str) -> str:
    """Which layer decides a setting; "default" when none does."""
    return next((layer.origin for layer in reversed(stack) if layer.sets(section, key)), "default")


def state_directory() -> Path:
    """Where the daemon keeps what outlives it (XDG Base Directory Specification)."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "reenactd"


def environment_name(section: str, key: str) -> str:
    return f"{ENV_PREFIX}{section}{ENV_DELIMITER}{key}".upper()


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            values: dict[str, Any] = tomllib.load(file)
            return values
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"{path}: {reason}; --config takes a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def _environment() -> dict[str, Any]:
    """What the environment sets. A name that is no setting is an error, lists are JSON."""
    known = {
        environment_name(section, key): field.annotation
        for section, fields in _sections().items()
        for key, field in fields.items()
    }
    for name, value in os.environ.items():
        if not name.upper().startswith(ENV_PREFIX):
            continue
        if name.upper() not in known:
            raise ConfigError(f"environment: {name} is no setting{_nearest(name.upper(), known)}")
        if get_origin(known[name.upper()]) is tuple and not _is_json_list(value):
            raise ConfigError(
                f'environment: {name} = {value}: must be a JSON list such as ["one", "two"]'
            )
    return EnvSettingsSource(Config)()


def _is_json_list(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list)
    except json.JSONDecodeError:
        return False


def _sections() -> dict[str, dict[str, Any]]:
    """section -> key -> pydantic field."""
    return {
        name: dict(field.annotation.model_fields)
        for name, field in Config.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


def _explain(error: ErrorDetails, stack: tuple[Layer, ...]) -> str:
    """One mistake as `[section] key = value: rule`, with where it was set."""
    section, *rest = (str(part) for part in error["loc"])
    sections = _sections()
    if section not in sections:
        return f"[{section}]: no such section{_nearest(section, sections)}"
    if not rest:
        return f"[{section}] = {error['input']!r}: must be a table of settings"
    key = rest[0]
    if error["type"] == "extra_forbidden":
        return f"[{section}] {key}: no such setting{_nearest(key, sections[section])}"
    rule = error["msg"].replace("Input should be", "must be").removeprefix("Value error, ")
    origin = origin_of(stack, section, key)
    given = MASK if is_secret(sections[section][key]) else repr(error["input"])
    return f"[{section}] {key} = {given}: {rule} (set by: {origin})"


def is_secret(field: FieldInfo) -> bool:
    """Whether a setting is shown to nobody."""
    return Secret in get_args(field.annotation)


def _nearest(wrong: str, right: Iterable[str]) -> str:
    known = sorted(right)
    match = difflib.get_close_matches(wrong, known, n=1, cutoff=0.6)
    return f"; did you mean {match[0]}?" if match else f"; there are: {', '.join(known)}"
