"""A model that was got is what it was, or is refused in one line; nothing half-made is left."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from engines import catalogue
from engines.catalogue import LIVEPORTRAIT, Published
from engines.errors import DownloadError, WeightsError
from engines.fetched import LOCK, Pin, Store, default_root
from engines.nets.liveportrait import checkpoint
from tests.doubles.web import Web, serving
from tests.engines.nets.liveportrait.narrow import NARROW, narrow_model, network, published_files

pytestmark = pytest.mark.train

MOTION, STITCHING = "motion_extractor.pth", "stitching_retargeting_module.pth"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Narrow networks are slower on several threads than on one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return published_files()


@pytest.fixture(scope="module")
def others() -> dict[str, bytes]:
    """Of the same networks, trained otherwise."""
    return published_files(seed=1)


@pytest.fixture
def store(files: dict[str, bytes], tmp_path: Path) -> Store:
    """Of a release that knows no sums."""
    return Store(narrow_model(files), tmp_path)


@pytest.fixture
def web(files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    with serving(monkeypatch) as web:
        web.files = {f"/{file.path}": files[file.name] for file in LIVEPORTRAIT.files}
        yield web


def file_of(store: Store, name: str) -> Published:
    return next(file for file in store.model.files if file.name == name)


def get(store: Store, web: Web, name: str) -> Pin:
    return store.download(
        file_of(store, name), web.url, lambda *_: None, pause=lambda seconds: None
    )


def get_all(store: Store, web: Web) -> None:
    for file in store.missing():
        get(store, web, file.name)


def serve(web: Web, name: str, content: bytes) -> None:
    (path,) = [path for path in web.files if path.endswith(name)]
    web.files[path] = content


def left_in(store: Store) -> set[str]:
    return {path.name for path in store.folder.iterdir()}


def one_line(error: pytest.ExceptionInfo) -> bool:
    return "\n" not in str(error.value)


def test_the_catalogue_agrees_with_the_networks() -> None:
    found = {network: file.name for file in LIVEPORTRAIT.files for network in file.networks}
    assert found == {name: net.file for name, net in checkpoint.NETWORKS.items()}


def test_the_catalogue_holds_whole_sums_and_sizes_that_fit_the_networks() -> None:
    for file in LIVEPORTRAIT.files:
        assert len(bytes.fromhex(file.sha256)) == 32
        shapes = [checkpoint.published_shapes(name) for name in file.networks]
        weights = sum(torch.Size(s).numel() for of_one in shapes for s in of_one.values())
        assert file.size > 4 * weights
        if len(file.networks) == 1:  # the other file is more than twice what is read from it
            assert file.size < 4.05 * weights + 200_000


def test_no_model_is_insightfaces_or_from_an_open_line() -> None:
    for model in catalogue.MODELS.values():
        assert model.source.startswith("https://")
        assert "insightface" not in repr(model).lower()


def test_everything_is_got_converted_and_pinned(
    store: Store, web: Web, files: dict[str, bytes]
) -> None:
    get_all(store, web)
    assert not store.missing()
    assert not [found for found in store.examine() if found.problem]
    kept = {f"{name}.safetensors" for name in checkpoint.NETWORKS}
    assert left_in(store) == kept | {LOCK}
    lock = json.loads((store.folder / LOCK).read_text())
    for name, content in files.items():
        assert lock["files"][name]["sha256"] == hashlib.sha256(content).hexdigest()
        assert lock["files"][name]["origin"].startswith(web.url)
    state = checkpoint.restore("motion", store.locate("motion"), NARROW)
    assert torch.equal(
        state["detector.fc_yaw.bias"], network("motion").state_dict()["detector.fc_yaw.bias"]
    )


def test_what_is_here_is_not_asked_for_again(store: Store, web: Web) -> None:
    get_all(store, web)
    asked = len(web.asked)
    (store.folder / "lip_retargeting.safetensors").unlink()
    assert [file.name for file in store.missing()] == [STITCHING]
    get_all(store, web)
    assert len(web.asked) == asked + 1


def test_the_first_file_sets_the_sum_where_nobody_knows_it(
    store: Store, web: Web, files: dict[str, bytes], others: dict[str, bytes]
) -> None:
    assert store.expected(file_of(store, MOTION)) == ""
    pin = get(store, web, MOTION)
    assert store.expected(file_of(store, MOTION)) == pin.sha256
    (store.folder / "motion.safetensors").unlink()
    serve(web, MOTION, others[MOTION])
    with pytest.raises(DownloadError, match=f"sha256 is .*, must be {pin.sha256}") as caught:
        get(store, web, MOTION)
    assert one_line(caught)
    assert left_in(store) == {LOCK}
    serve(web, MOTION, files[MOTION])
    assert get(store, web, MOTION) == pin


def test_a_sum_of_the_release_binds_the_first_file_too(
    files: dict[str, bytes], others: dict[str, bytes], web: Web, tmp_path: Path
) -> None:
    store = Store(narrow_model(files, sums_are_known=True), tmp_path)
    serve(web, MOTION, others[MOTION])
    with pytest.raises(DownloadError, match=f"{MOTION}: sha256 is .*, must be"):
        get(store, web, MOTION)
    assert not left_in(store)
    serve(web, MOTION, files[MOTION])
    get(store, web, MOTION)


def test_a_sum_of_the_release_wins_over_what_was_got_before(
    store: Store, files: dict[str, bytes], others: dict[str, bytes], web: Web
) -> None:
    serve(web, MOTION, others[MOTION])
    get(store, web, MOTION)
    newer = Store(narrow_model(files, sums_are_known=True), store.root)
    with pytest.raises(WeightsError, match=f"from another {MOTION} than this release knows; run"):
        newer.locate("motion")
    serve(web, MOTION, files[MOTION])
    get_all(newer, web)
    newer.locate("motion")


def test_another_networks_file_is_refused_and_sets_no_sum(
    store: Store, web: Web, files: dict[str, bytes]
) -> None:
    serve(web, MOTION, files["appearance_feature_extractor.pth"])
    reason = f"^{web.url}/.*{MOTION}: is of appearance, must be of motion; .*`reenactd models get"
    with pytest.raises(WeightsError, match=reason) as caught:
        get(store, web, MOTION)
    assert one_line(caught)
    assert not left_in(store)
    serve(web, MOTION, files[MOTION])
    get(store, web, MOTION)


@pytest.mark.parametrize("content", [b"<html>log in first</html>", b"", b"PK\x03\x04 cut"])
def test_a_page_instead_of_a_checkpoint_is_refused(store: Store, web: Web, content: bytes) -> None:
    serve(web, MOTION, content)
    with pytest.raises(
        WeightsError, match=f"^{web.url}/.*no checkpoint of plain tensors"
    ) as caught:
        get(store, web, MOTION)
    assert one_line(caught)
    assert not left_in(store)


def test_one_wrong_network_of_three_keeps_none(store: Store, web: Web, tmp_path: Path) -> None:
    parts = ("stitching", "lip_retargeting")
    content = {checkpoint.NETWORKS[n].entry: network(n).state_dict() for n in parts}
    torch.save(content, tmp_path / "two.pth")
    serve(web, STITCHING, (tmp_path / "two.pth").read_bytes())
    with pytest.raises(WeightsError, match="holds no table of tensors at 'retarget_eye'"):
        get(store, web, STITCHING)
    assert not left_in(store)


def test_a_cut_download_goes_on_in_a_later_run(
    store: Store, web: Web, files: dict[str, bytes]
) -> None:
    (path,) = [path for path in web.files if path.endswith(MOTION)]
    web.cuts[path] = [1000] + [0] * 10
    with pytest.raises(DownloadError, match="broke off after 1000 of .* run the same command"):
        get(store, web, MOTION)
    web.cuts.clear()
    get(store, web, MOTION)
    assert web.asked[-1] == (path, "bytes=1000-")
    assert left_in(store) == {LOCK, "motion.safetensors"}


def test_a_disk_that_fills_up_while_converting_costs_no_second_download(
    store: Store, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_the_disk(state: object, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", fill_the_disk)
        with pytest.raises(DownloadError, match="the disk is full: free some space and run"):
            get(store, web, MOTION)
    assert left_in(store) == {MOTION}
    get(store, web, MOTION)
    assert len(web.asked) == 1
    assert left_in(store) == {LOCK, "motion.safetensors"}


def test_an_interrupted_conversion_leaves_nothing_that_counts(
    store: Store, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(state: object, target: Path) -> None:
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", interrupted)
        with pytest.raises(KeyboardInterrupt):
            get(store, web, MOTION)
    assert MOTION in {file.name for file in store.missing()}
    assert left_in(store) == {MOTION}


@pytest.mark.parametrize("layout", ["published", "pretrained_weights", "flat"])
def test_a_copy_serves_in_each_of_three_layouts(
    store: Store, files: dict[str, bytes], tmp_path: Path, layout: str
) -> None:
    for file in store.model.files:
        inner = {"published": Path(), "flat": Path()}.get(layout, Path(layout))
        path = tmp_path / "copy" / inner / (file.name if layout == "flat" else file.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[file.name])
        store.copy(file, tmp_path / "copy")
        assert path.exists()
    assert not store.missing()
    assert not [name for name in left_in(store) if name.endswith(".pth")]


def test_a_copy_replaces_a_part(store: Store, web: Web, files: dict[str, bytes]) -> None:
    (path,) = [path for path in web.files if path.endswith(MOTION)]
    web.cuts[path] = [1000] + [0] * 10
    with pytest.raises(DownloadError):
        get(store, web, MOTION)
    copy = store.root / "copy"
    copy.mkdir()
    (copy / MOTION).write_bytes(files[MOTION])
    store.copy(file_of(store, MOTION), copy)
    assert left_in(store) == {LOCK, "motion.safetensors"}


def test_a_copy_that_is_cut_short_is_said_to_be(files: dict[str, bytes], tmp_path: Path) -> None:
    store = Store(narrow_model(files, sums_are_known=True), tmp_path)
    (tmp_path / MOTION).write_bytes(files[MOTION][:1000])
    wanted = f"{MOTION}: has 1000 bytes, must have {len(files[MOTION])}: it is cut short"
    with pytest.raises(DownloadError, match=wanted):
        store.copy(file_of(store, MOTION), tmp_path)
    (tmp_path / MOTION).write_bytes(files[MOTION][:-1] + b"?")
    with pytest.raises(DownloadError, match=f"{MOTION}: sha256 is .* another copy"):
        store.copy(file_of(store, MOTION), tmp_path)
    assert not store.folder.exists()


def test_a_copy_of_another_network_is_named_by_its_own_path(
    store: Store, files: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / MOTION).write_bytes(files["warping_module.pth"])
    with pytest.raises(WeightsError, match=f"^{tmp_path / MOTION}: is of warping, must be of mot"):
        store.copy(file_of(store, MOTION), tmp_path)
    assert (tmp_path / MOTION).exists(), "the user's own file stays"


def test_a_copy_that_lacks_a_file_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=f"{tmp_path}: holds neither liveportrait/.*{MOTION}"):
        store.copy(file_of(store, MOTION), tmp_path)


def test_damage_and_absence_are_found_and_refused(store: Store, web: Web) -> None:
    get_all(store, web)
    warping, generator = store.locate("warping"), store.locate("generator")
    warping.write_bytes(warping.read_bytes()[:-1] + b"?")
    generator.unlink()
    fix = "run `reenactd models get liveportrait`"
    with pytest.raises(WeightsError, match=f"{warping}: damaged: sha256 is .*; {fix}"):
        store.locate("warping")
    with pytest.raises(WeightsError, match=f"{generator}: missing; {fix}"):
        store.locate("generator")
    assert {f.path: f.missing for f in store.examine() if f.problem} == {
        warping: False,
        generator: True,
    }
    get_all(store, web)
    assert not store.missing()


def test_a_file_that_no_lock_vouches_for_is_refused(store: Store, web: Web) -> None:
    get(store, web, MOTION)
    (store.folder / LOCK).unlink()
    with pytest.raises(WeightsError, match=r"lock\.json does not say what it must be; run"):
        store.locate("motion")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": {"a": 1}}', '{"files": [1]}'])
def test_a_damaged_lock_is_named(store: Store, content: str) -> None:
    store.folder.mkdir(parents=True)
    (store.folder / LOCK).write_text(content)
    with pytest.raises(WeightsError, match=r"lock\.json: no lock .*: remove it and run") as caught:
        store.examine()
    assert one_line(caught)


def test_two_at_once_are_kept_apart(store: Store) -> None:
    with store.alone():
        with pytest.raises(DownloadError, match="another `reenactd models get liveportrait` is at"):
            with Store(store.model, store.root).alone():
                pass
    with store.alone():
        pass


def test_without_torch_the_extra_is_named(store: Store, tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from engines import fetched\n"
        "from engines.errors import BackendError\n"
        "try: fetched.converter()\n"
        "except BackendError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "pip install 'reenactd[gpu]'" in done.stdout and done.stdout.count("\n") == 1


def test_models_lie_in_the_data_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/elsewhere")
    assert default_root() == Path("/elsewhere/reenactd/models")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert default_root() == Path.home() / ".local/share/reenactd/models"
