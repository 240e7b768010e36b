"""Two revisions in turns: on a small repository whose "bench" is a script, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from realtime.bench import checkouts, revisions
from realtime.bench.checkouts import checked_out, commit_of
from realtime.bench.gate import Job, NothingToCompare, run
from realtime.bench.records import Record
from realtime.bench.revisions import NoBench, measure_in_turns, runners
from realtime.errors import StartupError

BENCH = """
import json, subprocess, sys
commit = subprocess.run(
    ["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True
).stdout.strip()
SPENT_MS = 20.0

def say():
    metrics = {{"frame_p50_ms": SPENT_MS}}
    record = {{"machine": {{"commit": commit}}, "config": {{}}, "metrics": metrics}}
    print(json.dumps({{"scenario": "pipeline", **record}}), flush=True)

{body}
"""
ON_REQUEST = """
assert sys.argv[-1] == "--on-request"
for _ in sys.stdin:
    say()
"""
OLD = """
if "--on-request" in sys.argv:
    sys.exit("No such option: --on-request")
print("a table")
say()
"""
HANGING = """
import pathlib, signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "60"])
pathlib.Path("{pid_file}").write_text(str(child.pid))
time.sleep(60)
"""
BROKEN = 'sys.exit("reenactd: there is no clip")'
OLDER = "sys.exit(f\"No such command '{sys.argv[2]}'.\")"
"""than the bench"""


class Repository:
    """A checkout of something that answers as reenactd's command line does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "realtime").mkdir(parents=True)
        (folder / "realtime" / "__init__.py").touch()
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        done = subprocess.run(
            ["git", *identity, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self, body: str, spent_ms: float = 20.0) -> str:
        script = BENCH.format(body=body).replace("SPENT_MS = 20.0", f"SPENT_MS = {spent_ms}")
        (self.folder / "realtime" / "cli.py").write_text(script)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "x")
        return self.git("rev-parse", "HEAD")

    def worktrees(self) -> int:
        return len(self.git("worktree", "list").splitlines())


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    made = Repository(tmp_path / "checkout")
    monkeypatch.setattr(checkouts, "ROOT", made.folder)
    return made


def test_the_slower_revision_is_found_out(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    base = repository.commit(ON_REQUEST)
    head = repository.commit(ON_REQUEST, spent_ms=30.0)
    found = run(Job(base, head, pairs=8))
    assert [row.name for row in found.regressions] == ["frame_p50_ms"]
    assert repository.worktrees() == 1
    assert not run(Job(base, base, pairs=8)).regressions
    assert not run(Job(head, base, pairs=8)).regressions
    assert '"turns": true' in capsys.readouterr().out.splitlines()[-1]


def test_a_revision_that_knows_no_turns_is_run_anew_each_time_and_that_is_said(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = repository.commit(OLD), repository.commit(OLD.replace("a table", "another"), 30.0)
    assert run(Job(old, new, pairs=8)).regressions
    said = capsys.readouterr()
    assert "a process of its own" in said.err
    assert '"turns": false' in said.out.splitlines()[-1]


def test_the_working_tree_is_measured_where_it_is(repository: Repository) -> None:
    base = repository.commit(ON_REQUEST)
    changed = BENCH.format(body=ON_REQUEST).replace("= 20.0", "= 50.0")
    (repository.folder / "realtime" / "cli.py").write_text(changed)
    found = run(Job(base, ".", pairs=8))
    assert found.head == f". ({base[:12]}+)"
    assert found.rows[0].ratio is not None
    assert found.rows[0].ratio.estimate == pytest.approx(2.5)


def test_changes_that_no_revision_has_are_pointed_out(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    base = repository.commit(ON_REQUEST)
    (repository.folder / "realtime" / "__init__.py").write_text("changed = True\n")
    run(Job(base, "HEAD", pairs=8))
    assert "uncommitted changes are in neither revision; give ." in capsys.readouterr().err


def test_what_was_checked_out_is_removed_after_ctrl_c(repository: Repository) -> None:
    repository.commit(ON_REQUEST)
    folders = []

    def interrupt(done: int) -> None:
        assert repository.worktrees() == 3
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), checked_out("HEAD", "main") as versions:
        folders += [version.folder for version in versions]
        with runners(versions, "pipeline", ()) as (ready, turns):
            assert turns
            measure_in_turns(ready, 6, interrupt)
    assert repository.worktrees() == 1
    assert not any(folder.exists() for folder in folders)


def test_what_was_checked_out_is_removed_after_sigterm(repository: Repository) -> None:
    repository.commit(ON_REQUEST)
    before = signal.getsignal(signal.SIGTERM)
    folders = []

    def terminate(done: int) -> None:
        assert repository.worktrees() == 3
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as ended, checked_out("HEAD", "main") as versions:
        folders += [version.folder for version in versions]
        with runners(versions, "pipeline", ()) as (ready, _):
            measure_in_turns(ready, 6, terminate)
    assert ended.value.code == 143
    assert repository.worktrees() == 1 and not any(folder.exists() for folder in folders)
    assert signal.getsignal(signal.SIGTERM) is before


def test_turns_go_abba(tmp_path: Path) -> None:
    order = []

    class Noting:
        def __init__(self, name: str) -> None:
            self.name = name

        def run(self) -> Record:
            order.append(self.name)
            return Record(self.name, {}, {}, {})

    sides = [Noting("a"), Noting("b")]
    taken = measure_in_turns(sides, 3, lambda done: None)
    base, head = measure_in_turns(sides, 4, lambda done: None, taken)
    assert "".join(order) == "abbaabba", "also where more are taken later"
    assert len(base) == len(head) == 4
    assert {run.scenario for run in base} == {"a"} and {run.scenario for run in head} == {"b"}


def test_a_bench_that_fails_says_why(repository: Repository) -> None:
    base, head = repository.commit(ON_REQUEST), repository.commit(BROKEN)
    with pytest.raises(StartupError, match="its bench ended with code 1: there is no clip"):
        run(Job(base, head, pairs=8))
    assert repository.worktrees() == 1


@pytest.mark.parametrize("scenario", ["pipeline", "glass"])
def test_a_base_without_that_bench_is_nothing_to_compare_with(
    repository: Repository, scenario: str
) -> None:
    base, head = repository.commit(OLDER), repository.commit(OLD)
    with pytest.raises(NothingToCompare) as caught:
        run(Job(base, head, scenario, pairs=8))
    said = str(caught.value)
    assert f"{base}: has no `reenactd bench {scenario}`, which {head} has" in said
    assert "compare with a later BASE, or go on without" in said and "\n" not in said
    for older in (base, repository.commit(OLDER)):
        with pytest.raises(NoBench, match="name another --scenario, or a revision"):
            run(Job(base, older, scenario, pairs=8))
    assert repository.worktrees() == 1


def is_running(pid: int) -> bool:
    """A process that has ended and that nobody has asked about is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("scenario", ["pipeline", "glass"])
def test_a_bench_that_hangs_is_stopped_with_all_that_it_started(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scenario: str
) -> None:
    """One that stands ready, and one that is a process for each run; neither heeds Ctrl-C."""
    monkeypatch.setattr(revisions, "STOP_TIMEOUT_S", 0.2)
    pid_file = tmp_path / "child"
    hanging = repository.commit(HANGING.format(pid_file=pid_file))
    with pytest.raises(StartupError, match="did not end within 1 s .* raise --timeout-s"):
        run(Job(hanging, hanging, scenario, timeout_s=1.0))
    assert not is_running(int(pid_file.read_text()))
    assert repository.worktrees() == 1


def test_a_bench_that_measured_other_code_is_found_out(repository: Repository) -> None:
    base = repository.commit(ON_REQUEST)
    other = repository.commit(ON_REQUEST.replace("say()", "commit = 'fedcba'; say()"))
    with pytest.raises(StartupError, match="measured commit fedcba; another installation"):
        run(Job(base, other, pairs=8))


@pytest.mark.parametrize("revision", ["no-such-branch", "--help", "HEAD~99"])
def test_a_revision_that_is_none_is_refused(repository: Repository, revision: str) -> None:
    repository.commit(ON_REQUEST)
    with pytest.raises(StartupError, match="neither a file nor a revision .* `git fetch`"):
        commit_of(revision)


def test_without_a_checkout_there_are_only_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkouts, "ROOT", tmp_path)
    with pytest.raises(StartupError, match="this is no checkout; give two files"):
        commit_of("main")
