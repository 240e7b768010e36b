"""The settings as one explained file: complete, and read back as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime.config import Config, load
from realtime.config_file import as_toml, meaning

NAMES = [(section, key) for section, values in Config().model_dump().items() for key in values]


@pytest.mark.parametrize(("section", "key"), NAMES, ids=map(".".join, NAMES))
def test_every_setting_says_what_it_means(section: str, key: str) -> None:
    assert meaning(type(getattr(Config(), section)), key)


def test_the_file_of_defaults_sets_nothing(tmp_path: Path) -> None:
    text = as_toml(Config(), lambda *_: False)
    (tmp_path / "r.toml").write_text(text)
    assert load(tmp_path / "r.toml", {}) == Config()
    assert all(line[:1] in ("", "#", "[") for line in text.splitlines())
    assert max(map(len, text.splitlines())) < 130


def test_without_its_comment_marks_each_line_is_right(tmp_path: Path) -> None:
    text = as_toml(Config(), lambda *_: False)
    settings = [line for line in text.splitlines() if not line.startswith("# ")]
    active = [line.removeprefix("#") for line in settings if not line.endswith("=")]
    (tmp_path / "r.toml").write_text("\n".join(active))
    assert load(tmp_path / "r.toml", {}) == Config()
    assert sum(" =" in line for line in settings) == len(NAMES)


def test_what_was_chosen_is_set_in_it(tmp_path: Path) -> None:
    label = {"label": 'A "I"\u00e9', "label_off_reason": "a test of quotes"}
    chosen = load(None, {"server": {"port": 9000}, "output": label})
    is_set = {("server", "port"), ("output", "label"), ("output", "label_off_reason")}
    text = as_toml(chosen, lambda *name: name in is_set)
    (tmp_path / "r.toml").write_text(text, encoding="utf-8")
    assert load(tmp_path / "r.toml", {}) == chosen


def test_ranges_and_choices_are_named() -> None:
    text = as_toml(Config(), lambda *_: False)
    assert "(at least 0, at most 65535)" in text
    assert "(auto, uvloop, asyncio)" in text
