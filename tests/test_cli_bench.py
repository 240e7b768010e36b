"""`reenactd bench` from the command line, on files: exit codes and what is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from realtime import cli
from realtime.bench import gate
from realtime.cli import app


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def write_runs(path: Path, spent_ms: float, count: int = 8, backend: str = "onnx") -> str:
    record = {
        "scenario": "pipeline",
        "machine": {"cpu": "A"},
        "config": {"backend": backend},
        "metrics": {"frame_p50_ms": spent_ms, "fps": 1000 / spent_ms},
    }
    path.write_text((json.dumps(record) + "\n") * count)
    return str(path)


def test_exit_code_1_is_a_regression_and_0_is_none(tmp_path: Path) -> None:
    base = write_runs(tmp_path / "base.json", 20.0)
    head = write_runs(tmp_path / "head.json", 30.0)
    slower = CliRunner().invoke(app, ["bench", "compare", base, head])
    assert slower.exit_code == 1, slower.output
    assert "regression" in slower.output
    assert json.loads(slower.output.splitlines()[-1])["metrics"]["regressions"] == 1
    assert CliRunner().invoke(app, ["bench", "compare", base, base]).exit_code == 0
    assert CliRunner().invoke(app, ["bench", "compare", head, base]).exit_code == 0
    let_pass = ["bench", "compare", base, head, "--margin", "0.6"]
    assert CliRunner().invoke(app, let_pass).exit_code == 0
    other_gate = ["bench", "compare", base, head, "--margin", "0.2", "--gate", "fps"]
    assert CliRunner().invoke(app, other_gate).exit_code == 1


def test_exit_code_2_is_what_could_not_be_found_out(tmp_path: Path) -> None:
    """From 0.6 to 1.9 times: neither worse than 5 % for sure, nor surely not."""
    base = write_runs(tmp_path / "base.json", 20.0)
    head = tmp_path / "head.json"
    lines = [write_runs(head, spent_ms, count=1) and head.read_text() for spent_ms in (38, 12) * 4]
    head.write_text("".join(lines))
    found = CliRunner().invoke(app, ["bench", "compare", base, str(head)])
    assert found.exit_code == 2, found.output
    assert "not found out: frame_p50_ms" in found.output
    metrics = json.loads(found.output.splitlines()[-1])["metrics"]
    assert metrics["inconclusive"] == 1 and metrics["regressions"] == 0


def test_table_history_and_runs_are_written_even_of_a_regression(tmp_path: Path) -> None:
    base = write_runs(tmp_path / "base.json", 20.0)
    head = write_runs(tmp_path / "head.json", 30.0)
    kept, table, history = (tmp_path / name for name in ("kept", "out/table.md", "out/h.json"))
    arguments = ["--save", str(kept), "--markdown", str(table), "--history", str(history)]
    CliRunner().invoke(app, ["bench", "compare", base, head, *arguments])
    assert "| frame_p50_ms | 20.00 | 30.00 |" in table.read_text()
    assert [entry["value"] for entry in json.loads(history.read_text())] == [30.0]
    again = ["bench", "compare", str(kept / "base.jsonl"), str(kept / "head.jsonl")]
    assert CliRunner().invoke(app, again).exit_code == 1


def test_exit_code_3_is_a_base_that_has_no_such_bench_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object) -> None:
        raise gate.NothingToCompare("main: has no `reenactd bench echo`; go on without")

    monkeypatch.setattr(gate, "run", nothing)
    found = CliRunner().invoke(app, ["bench", "compare", "main", "HEAD", "--scenario", "echo"])
    assert found.exit_code == 3
    assert found.output == "reenactd: main: has no `reenactd bench echo`; go on without\n"


@pytest.mark.parametrize("command", ["glass", "echo"])
@pytest.mark.parametrize("size", ["0x0", "641x481", "100x100", "640"])
def test_a_size_that_cannot_be_measured_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, size: str
) -> None:
    monkeypatch.setattr("sys.argv", ["reenactd", "bench", command, "--size", size])
    with pytest.raises(SystemExit) as left:
        cli.main()
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert size in said and "must be" in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("base.json", "absent.json"), "absent.json: there is no such file"),
        (("absent.json", "absent.json"), "absent.json: No such file"),
        (("base.json", "main"), "two files or two revisions, not one of each"),
        (("base.json", "other.json"), "config.backend differs: onnx and torch"),
        (("base.json", "few.json"), "8 runs against 3"),
        (("few.json", "few.json"), "3 pairs of runs: 6 at least"),
        (("base.json", "text.json"), "text.json: holds no run"),
        (("no-such-branch", "HEAD"), "no-such-branch: neither a file nor a revision"),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_exit_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    names: tuple[str, str],
    said: str,
) -> None:
    write_runs(tmp_path / "base.json", 20.0)
    write_runs(tmp_path / "few.json", 20.0, count=3)
    write_runs(tmp_path / "other.json", 20.0, backend="torch")
    (tmp_path / "text.json").write_text("a table\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["reenactd", "bench", "compare", *names])
    with pytest.raises(SystemExit) as left:
        cli.main()
    error = capsys.readouterr().err.splitlines()[-1]
    assert left.value.code == 2
    assert error.startswith("reenactd: ") and said in error
