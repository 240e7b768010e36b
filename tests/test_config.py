"""Settings: precedence, and errors that say what is wrong and how to mend it."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime.config import LABELS, Config, environment_name, layers, load, origin_of
from realtime.errors import ConfigError


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_without_any_source_all_defaults_hold() -> None:
    assert load(None, {}) == Config()


def test_the_visible_mark_goes_off_with_a_reason_only(tmp_path: Path) -> None:
    toml = "[output]\nlabel = 'off'\nlabel_off_reason = ' a film with its own label '"
    output = load(write(tmp_path / "r.toml", toml), {}).output
    assert (output.label, output.label_off_reason) == ("off", "a film with its own label")


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "r.toml", "[server]\nport = 1\nmax_sessions = 7\nloop = 'asyncio'\n")
    monkeypatch.setenv("REENACTD_SERVER__PORT", "2")
    monkeypatch.setenv("REENACTD_SERVER__LOOP", "uvloop")

    server = load(file, {"server": {"port": 3}}).server

    assert (server.port, server.loop, server.max_sessions) == (3, "uvloop", 7)
    assert server.host == Config().server.host


def test_the_origin_of_each_value_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "r.toml", "[server]\nport = 1\nhost = 'localhost'\n")
    monkeypatch.setenv("REENACTD_SERVER__PORT", "2")

    stack = layers(file, {"log": {"level": "debug"}})

    assert origin_of(stack, "server", "port") == "environment"
    assert origin_of(stack, "server", "host") == str(file)
    assert origin_of(stack, "log", "level") == "flag"
    assert origin_of(stack, "video", "width_px") == "default"


def test_every_setting_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = Config().model_dump(mode="json")
    for section, values in defaults.items():
        for key, value in values.items():
            if isinstance(value, list):
                monkeypatch.setenv(environment_name(section, key), '["https://one.example"]')
            elif value is not None:
                monkeypatch.setenv(environment_name(section, key), str(value))

    config = load(None, {})

    assert config.rtc.ice_servers == ("https://one.example",)
    assert config.video == Config().video
    assert config.tracking == Config().tracking


@pytest.mark.parametrize("label", [*LABELS, "ai", " AI ", "SYNTHETIC", "made  with AI"])
def test_a_label_that_discloses_needs_no_reason(label: str) -> None:
    output = load(None, {"output": {"label": label}}).output
    assert output.label == " ".join(label.split()) and output.label_off_reason is None


@pytest.mark.parametrize(("label", "held"), [("HD", "HD"), ("", "off"), ("  ", "off")])
def test_any_other_label_has_its_reason(label: str, held: str) -> None:
    output = load(None, {"output": {"label": label, "label_off_reason": "a film"}}).output
    assert (output.label, output.label_off_reason) == (held, "a film")


def test_every_label_is_documented() -> None:
    page = (Path(__file__).parents[1] / "docs" / "settings.md").read_text(encoding="utf-8")
    said = " ".join(page.partition("## What the label may say")[2].split())
    assert [label for label in LABELS if label not in said] == []


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[server]\nprot = 1", "[server] prot: no such setting; did you mean port?"),
        ("[servr]\nport = 1", "[servr]: no such section; did you mean server?"),
        ("[zzz]\nport = 1", "[zzz]: no such section; there are: engine,"),
        ("[server]\nport = 99999", "[server] port = 99999: must be less than or equal to 65535"),
        ("[server]\nport = 'http'", "[server] port = 'http': must be a valid integer"),
        ("[video]\nwidth_px = 641", "[video] width_px = 641: must be a multiple of 2"),
        ("[rtc]\ncodec = 'av1'", "[rtc] codec = 'av1': must be 'auto', 'h264' or 'vp8'"),
        ("[vmc]\nsend = 'phone'", "[vmc] send = 'phone': must be HOST:PORT, as 127.0.0.1:39539"),
        ("[vmc]\nlisten = ':0'", "[vmc] listen = ':0': must be HOST:PORT"),
        ("[vtube_studio]\nurl = 'x'", "[vtube_studio] url = 'x': must be as ws://127.0.0.1:8001"),
        ("[output]\nlabel = 'off'", "[output] label_off_reason = None: must say why, for"),
        ("[output]\nlabel = ' '", "[output] label_off_reason = None: must say why, for"),
        ("[output]\nlabel = ''", "[output] label_off_reason = None: must say why, for"),
        ("[output]\nlabel = 'HD'", "[output] label_off_reason = None: must say why, for"),
        ("[output]\nlabel = 'LIVE'", "[output] label_off_reason = None: must say why, for"),
        ("[output]\nlabel = '\u200b'", "[output] label_off_reason = None: must say why, for"),
        ("[output]\nlabel = 'A I'", "[output] label_off_reason = None: must say why, for"),
        (
            "[output]\nlabel = 'KI'\nlabel_off_reason = 'x'",
            "[output] label_off_reason = 'x': must be unset while output.label is 'KI'",
        ),
        (f"[output]\nlabel = '{'AI' * 9}'", "[output] label = 'AIAIAI"),
        (
            "[output]\nlabel_off_reason = 'x'",
            "[output] label_off_reason = 'x': must be unset while",
        ),
        ("[output]\nlabel_height = 0.03", "[output] label_height = 0.03: must be greater than or"),
        ("server = 5", "[server] = 5: must be a table of settings"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_rule(tmp_path: Path, toml: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path / "r.toml", toml), {})
    assert str(caught.value).startswith(said)


def test_an_error_says_which_source_set_the_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REENACTD_SERVER__PORT", "-1")
    with pytest.raises(ConfigError, match=r"port = '-1'.*\(set by: environment\)"):
        load(None, {})


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    file = write(tmp_path / "r.toml", "[server]\nport = -1\n[log]\nlevel = 'loud'")
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert "port = -1" in str(caught.value)
    assert "level = 'loud'" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("REENACTD_SERVER__PROT", "1", "did you mean REENACTD_SERVER__PORT?"),
        ("REENACTD_SERVER_PORT", "1", "did you mean REENACTD_SERVER__PORT?"),
        ("REENACTD_RTC__ICE_SERVERS", "stun:x", "must be a JSON list"),
    ],
)
def test_a_mistake_in_the_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load(None, {})
    assert name in str(caught.value)
    assert said in str(caught.value)


def test_an_unreadable_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: No such file"):
        load(tmp_path / "absent.toml", {})
    with pytest.raises(ConfigError, match="not valid TOML"):
        load(write(tmp_path / "broken.toml", "port ="), {})


def test_the_configuration_cannot_be_changed_after_loading() -> None:
    config = Config()
    with pytest.raises(ValueError, match="frozen"):
        config.server.port = 1  # type: ignore[misc]
