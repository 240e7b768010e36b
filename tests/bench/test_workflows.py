"""The workflows' own logic: what a pushed commit is measured against, with a real git."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from realtime.cli_bench import EXIT_NOTHING

ROOT = Path(__file__).parents[2]
NOTHING = "0" * 40


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    command = ["git", *who, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Of a repository with two commits."""
    origin = tmp_path / "origin"
    origin.mkdir()
    git(origin, "init", "-q", "-b", "main")
    for _ in range(2):
        git(origin, "commit", "-q", "--allow-empty", "-m", "x")
    git(tmp_path, "clone", "-q", str(origin), "clone")
    return tmp_path / "clone"


def base_of(checkout: Path, before: str, head: str) -> str:
    command = [str(ROOT / ".ci" / "latency-base"), before, head]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_what_a_branch_showed_before_is_what_it_is_measured_against(checkout: Path) -> None:
    first, second = git(checkout, "rev-parse", "HEAD^"), git(checkout, "rev-parse", "HEAD")
    assert base_of(checkout, first, second) == f"revision={first}"


@pytest.mark.parametrize("before", [NOTHING, "ab" * 20])
def test_a_new_branch_and_a_forced_push_are_measured_against_the_parent(
    checkout: Path, before: str
) -> None:
    first, second = git(checkout, "rev-parse", "HEAD^"), git(checkout, "rev-parse", "HEAD")
    assert base_of(checkout, before, second) == f"revision={first}"
    assert base_of(checkout, before, first) == "", "a first commit has nothing before it"


def test_both_gates_cover_the_transport() -> None:
    for name in ("ci", "latency"):
        text = (ROOT / ".github" / "workflows" / f"{name}.yml").read_text()
        assert text.count("bench compare") == 2 and text.count("--scenario echo") == 1
        assert text.count(".ci/unless-new") - text.count("(.ci/unless-new)") == 2


@pytest.mark.parametrize(("code", "passed_on"), [(0, 0), (1, 1), (2, 2), (EXIT_NOTHING, 0)])
def test_only_a_bench_that_the_base_has_not_does_not_fail_a_change(
    code: int, passed_on: int
) -> None:
    command = [str(ROOT / ".ci" / "unless-new"), "bash", "-c", f"echo compared; exit {code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == passed_on and done.stdout.startswith("compared")
    assert ("::notice" in done.stdout) == (code == EXIT_NOTHING)
