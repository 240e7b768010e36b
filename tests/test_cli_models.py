"""`reenactd models`: it shows before it asks, asks before it gets, and failures are one line."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import pytest

from engines import catalogue, fetched, weights
from engines.catalogue import LIVEPORTRAIT, Model
from engines.fetched import Store
from engines.specs import NETWORKS
from realtime import cli
from tests.doubles.web import Web, serving

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Run]:
    """Runs the entry point: exit code, stdout and stderr. Unless told, nobody is at a terminal."""
    monkeypatch.setenv("COLUMNS", "300")
    nobody = (tmp_path / "nobody").open("w+")

    def run(*arguments: str, stdin: TextIO = nobody) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["reenactd", "models", *arguments])
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(SystemExit) as left:
            cli.main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return int(left.value.code or 0), said.out, said.err

    with nobody:
        yield run


@pytest.fixture(scope="module")
def files() -> Iterator[dict[str, bytes]]:
    import torch

    from tests.engines.nets.liveportrait.narrow import published_files

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # narrow networks are slower on several
    yield published_files()
    torch.set_num_threads(threads)


@pytest.fixture
def web(files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    with serving(monkeypatch) as web:
        web.files = {f"/{file.path}": files[file.name] for file in LIVEPORTRAIT.files}
        yield web


@pytest.fixture
def narrow(files: dict[str, bytes], web: Web, monkeypatch: pytest.MonkeyPatch) -> Model:
    """The catalogue's entry is of narrow networks, and lies on this machine."""
    from tests.engines.nets.liveportrait.narrow import narrow_model

    model = replace(narrow_model(files, sums_are_known=True), source=web.url)
    monkeypatch.setitem(catalogue.MODELS, model.name, model)
    return model


def store_of(model: Model) -> Store:
    return Store(model, fetched.default_root())


def one_line(error: str) -> bool:
    return error.startswith("reenactd: ") and error.count("\n") == 1


def test_the_list_says_state_size_licence_source_and_place(run: Run) -> None:
    code, said, _ = run("list")
    assert code == 0
    (ours,) = [line for line in said.splitlines() if line.startswith("warp-refine-lite")]
    assert " here " in ours and "Apache-2.0" in ours
    assert str(weights.WEIGHTS_DIRECTORY / "warp-refine-lite") in ours
    (theirs,) = [line for line in said.splitlines() if line.startswith("liveportrait")]
    for part in ("not here", "498.1", "MIT", LIVEPORTRAIT.source, "data/reenactd/models/livep"):
        assert part in theirs


def test_verify_says_ok_for_what_ships_and_does_not_mind_what_was_never_got(run: Run) -> None:
    code, said, _ = run("verify")
    assert code == 0
    shipped = sum(len(weights.read_manifest(name).files) for name in NETWORKS)
    assert sum(line.startswith("ok ") for line in said.splitlines()) == shipped
    assert "not here  liveportrait: `reenactd models get liveportrait`" in said


def test_verify_of_a_model_that_was_never_got_fails_with_the_command(run: Run) -> None:
    code, said, _ = run("verify", "liveportrait")
    assert code == 1
    assert "motion.safetensors: missing; run `reenactd models get liveportrait`" in said
    assert "warp-refine" not in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["get", "inswapper"],
            "no model 'inswapper'; there are: warp-refine-lite, warp-refine-full, liveportrait",
        ),
        (["verify", "inswapper"], "no model 'inswapper'; there are: warp-refine-lite, warp-r"),
        (["get", "warp-refine-lite"], "ships with reenactd, there is nothing to get"),
        (["get", "liveportrait", "--url", "file:///etc"], "must begin with https:// or http://"),
        (["get", "liveportrait", "--url", "https://a b"], "without spaces"),
    ],
)
def test_a_wrong_request_is_one_line(run: Run, arguments: list[str], said: str) -> None:
    code, _, error = run(*arguments)
    assert code == 2
    assert said in error and one_line(error)


@pytest.mark.train
def test_terms_are_shown_first_and_without_a_terminal_nothing_is_got(
    run: Run, narrow: Model, web: Web
) -> None:
    code, said, error = run("get", "liveportrait")
    assert code == 2
    for part in ("MIT", web.url, "MiB to get", str(store_of(narrow).folder)):
        assert part in said
    assert "no terminal to ask on: --yes agrees" in error and one_line(error)
    assert not web.asked and not store_of(narrow).folder.exists()


@pytest.mark.train
@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1), ("\x04", 130)])
def test_the_answer_at_a_terminal_decides(
    run: Run, narrow: Model, web: Web, answer: str, code: int
) -> None:
    master, slave = os.openpty()
    os.write(master, answer.encode())
    with os.fdopen(master), os.fdopen(slave) as terminal:
        assert run("get", "liveportrait", stdin=terminal)[0] == code
    assert bool(web.asked) == (code == 0)
    assert bool(store_of(narrow).missing()) == (code != 0)


@pytest.mark.train
def test_got_listed_verified_damaged_and_got_again(run: Run, narrow: Model, web: Web) -> None:
    code, said, _ = run("get", "liveportrait", "--yes")
    assert code == 0
    for file in narrow.files:
        assert f"{file.name}: checked and converted to " in said and file.sha256 in said
    assert "knows no sum" not in said
    assert "here" in run("list")[1].split("liveportrait", 1)[1].split()[0]
    assert run("verify", "liveportrait")[0] == 0

    asked = len(web.asked)
    motion = store_of(narrow).locate("motion")
    motion.write_bytes(b"?")
    code, said, _ = run("verify")
    assert code == 1
    (wrong,) = [line for line in said.splitlines() if line.startswith("wrong")]
    assert f"{motion}: damaged: sha256 is" in wrong and "run `reenactd models get" in wrong
    assert "damaged" in run("list")[1]

    code, said, _ = run("get", "liveportrait", "--yes")
    assert code == 0 and "motion_extractor.pth" in said and "warping" not in said
    assert len(web.asked) == asked + 1
    assert "all of it is here" in run("get", "liveportrait")[1], "without a question"


@pytest.mark.train
def test_a_first_use_is_said_and_holds(
    run: Run, narrow: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody_knows = tuple(replace(file, sha256="") for file in narrow.files)
    monkeypatch.setitem(catalogue.MODELS, narrow.name, replace(narrow, files=nobody_knows))
    said = run("get", "liveportrait", "--yes")[1]
    assert said.count("this release knows no sum of it; this one holds from now on") == 5
    store_of(narrow).locate("motion").unlink()
    said = run("get", "liveportrait", "--yes")[1]
    assert "motion_extractor.pth" in said and "knows no sum" not in said


@pytest.mark.train
def test_a_mirror_and_a_folder_serve_instead(
    run: Run, narrow: Model, web: Web, files: dict[str, bytes], tmp_path: Path
) -> None:
    web.files = {f"/mirror{path}": content for path, content in web.files.items()}
    code, said, _ = run("get", "liveportrait", "--yes", "--url", f"{web.url}/mirror/")
    assert code == 0 and f"{web.url}/mirror/" in said
    for path in store_of(narrow).folder.iterdir():
        path.unlink()
    asked = len(web.asked)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    code, said, _ = run("get", "liveportrait", "--yes", "--from", str(tmp_path))
    assert code == 0 and len(web.asked) == asked
    assert not store_of(narrow).missing()


@pytest.mark.train
def test_another_models_file_is_one_line(run: Run, narrow: Model, web: Web) -> None:
    motion = next(file for file in narrow.files if file.name == "motion_extractor.pth")
    web.files[f"/{motion.path}"] = web.files[f"/{narrow.files[0].path}"]
    code, _, error = run("get", "liveportrait", "--yes")
    assert code == 2 and one_line(error)
    assert f"{motion.path}: sha256 is" in error and f"must be {motion.sha256}" in error
    assert {path.name for path in store_of(narrow).folder.glob("*.safetensors")} == {
        "appearance.safetensors"
    }, "what was right before stays"


@pytest.mark.train
def test_ctrl_c_keeps_what_came_and_says_so(
    run: Run, narrow: Model, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    motion = next(file for file in narrow.files if file.name == "motion_extractor.pth")
    half = motion.size // 2
    web.cuts[f"/{motion.path}"] = [half]

    def pressed(seconds: float) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Store.download, "__defaults__", (pressed,))
    code, _, error = run("get", "liveportrait", "--yes")
    assert code == 130
    assert error == "stopped; what came is kept, `reenactd models get liveportrait` goes on there\n"
    assert run("get", "liveportrait", "--yes")[0] == 0
    assert (f"/{motion.path}", f"bytes={half}-") in web.asked
