"""MakeHuman's files: each is what its sum says, whole, or not there at all."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from engines.downloads import TRIES
from engines.errors import DownloadError
from engines.training.synthetic import __main__ as command
from engines.training.synthetic import assets
from engines.training.synthetic.assets import AssetsError
from engines.training.synthetic.download import Origins, download
from tests.doubles.web import Web, serving

FILES = {
    "3dobjs/base.obj": b"v 0 0 0\n",
    "targets/nose/nose-hump-incr.target": b"0 0 .1 0\n",
    "hair/bob02/bob02.mhclo": b"obj_file bob02.obj\n",
    "skins/old.jpg": b"jpeg",
}
SUMS = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}


def nobody(name: str) -> None:
    """Listens to no report."""


def write(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def files_in(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def pack(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, part in files.items():
            archive.writestr(name, part)
    return content.getvalue()


PACK = pack(
    {
        "other/bob02/bob02.mhclo": b"another of that name",
        "hair/bob02/bob02.mhclo": FILES["hair/bob02/bob02.mhclo"],
        "skins/old_man/old.png": b"png",
    }
)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    with serving(monkeypatch) as web:
        web.files = {"/pack.zip": PACK} | {f"/data/{k}": v for k, v in FILES.items()}
        yield web


def origins(host: str, pack_sha256: str | None = None) -> Origins:
    digest = pack_sha256 or hashlib.sha256(PACK).hexdigest()
    return Origins(f"{host}/data", f"{host}/pack.zip", digest)


def get_all(folder: Path, places: Origins) -> None:
    download(folder, nobody, places, SUMS, lambda seconds: None)


def test_the_table_names_each_file_once_with_a_whole_sum() -> None:
    lines = Path(assets.__file__).with_name("assets.sha256").read_text().splitlines()
    assert len(lines) == len(assets.SUMS) > 500
    for name, digest in assets.SUMS.items():
        assert len(bytes.fromhex(digest)) == 32
        assert not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts


def test_places_are_pinned() -> None:
    assert len(bytes.fromhex(assets.COMMIT)) == 20 and assets.COMMIT in assets.REPOSITORY_URL
    assert len(bytes.fromhex(assets.PACK_SHA256)) == 32


def test_a_copy_is_taken_and_verified(tmp_path: Path) -> None:
    copy = write(tmp_path / "copy")
    packed = copy / "3dobjs/base.obj"
    packed.with_name("base.obj.gz").write_bytes(gzip.compress(packed.read_bytes()))
    packed.unlink()
    told: list[str] = []
    assets.copy(copy, tmp_path / "assets", told.append, SUMS)
    assert told == list(FILES)
    assert files_in(tmp_path / "assets") == set(FILES)
    assets.verify(tmp_path / "assets", SUMS)
    assets.copy(copy, tmp_path / "assets", lambda name: pytest.fail(f"{name} again"), SUMS)


def test_a_damaged_copy_is_refused(tmp_path: Path) -> None:
    copy = write(tmp_path / "copy", FILES | {"3dobjs/base.obj": b"v 0 0 1\n"})
    with pytest.raises(DownloadError, match=r"base\.obj: sha256 is .*, must be .*another copy"):
        assets.copy(copy, tmp_path / "assets", nobody, SUMS)
    assert not files_in(tmp_path / "assets")


def test_a_cut_gzip_file_is_refused(tmp_path: Path) -> None:
    copy = write(tmp_path / "copy", {"3dobjs/base.obj.gz": gzip.compress(b"v 0 0 0\n")[:-6]})
    with pytest.raises(AssetsError, match="not a whole gzip file"):
        assets.copy(copy, tmp_path / "assets", nobody, SUMS)
    assert not files_in(tmp_path / "assets")


def test_verify_names_the_first_file_and_the_command(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "hair/bob02/bob02.mhclo").write_text("obj_file other.obj\n")
    (folder / "skins/old.jpg").unlink()
    with pytest.raises(AssetsError, match=r"bob02\.mhclo: damaged \(2 of 4 .* fetch --assets"):
        assets.verify(folder, SUMS)


def test_everything_comes_from_its_place(tmp_path: Path, web: Web) -> None:
    get_all(tmp_path, origins(web.url))
    assets.verify(tmp_path, SUMS)
    assert files_in(tmp_path) == set(FILES) - {"skins/old.jpg"} | {"skins/old.png", "skins.sha256"}
    asked = len(web.asked)
    get_all(tmp_path, origins(web.url))
    assert len(web.asked) == asked, "what is there is not asked for again"


def test_a_skin_from_the_pack_is_checked_too(tmp_path: Path, web: Web) -> None:
    get_all(tmp_path, origins(web.url))
    (tmp_path / "skins/old.png").write_bytes(b"gnp")
    assert assets.missing(tmp_path, SUMS) == ["skins/old.jpg"]


def test_a_file_that_always_breaks_off_is_not_there(tmp_path: Path, web: Web) -> None:
    web.cuts["/data/3dobjs/base.obj"] = [3] * TRIES
    with pytest.raises(DownloadError, match=r"base\.obj: cannot be had .*try again"):
        get_all(tmp_path, origins(web.url))
    assert not files_in(tmp_path)


def test_another_version_of_a_file_is_not_there(tmp_path: Path, web: Web) -> None:
    web.files["/data/3dobjs/base.obj"] = b"v 9 9 9\n"
    with pytest.raises(DownloadError, match=r"base\.obj: sha256 is") as caught:
        get_all(tmp_path, origins(web.url))
    assert "\n" not in str(caught.value)
    assert not files_in(tmp_path)


def test_a_place_without_the_file_is_named(tmp_path: Path, web: Web) -> None:
    del web.files["/data/3dobjs/base.obj"]
    with pytest.raises(DownloadError, match=r"base\.obj: cannot be had \(Not Found\)"):
        get_all(tmp_path, origins(web.url))


def test_the_pack_goes_on_where_an_earlier_run_broke_off(tmp_path: Path, web: Web) -> None:
    web.cuts["/pack.zip"] = [100] + [0] * TRIES
    with pytest.raises(DownloadError, match=f"broke off after 100 of {len(PACK)} bytes"):
        get_all(tmp_path, origins(web.url))
    assert not any(name.startswith(("hair", "skins")) for name in files_in(tmp_path))
    web.cuts.clear()
    get_all(tmp_path, origins(web.url))
    assert web.asked[-1] == ("/pack.zip", "bytes=100-")
    assets.verify(tmp_path, SUMS)


def test_another_pack_is_thrown_away(tmp_path: Path, web: Web) -> None:
    with pytest.raises(DownloadError, match=r"pack\.zip: sha256 is .* must be 0000"):
        get_all(tmp_path, origins(web.url, pack_sha256="0" * 64))
    assert files_in(tmp_path) == {name for name in FILES if assets.in_repository(name)}


def test_the_proxy_of_the_environment_is_used(
    tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", web.url)
    get_all(tmp_path, origins("http://makehuman.invalid"))
    assert web.asked[0][0] == "http://makehuman.invalid/data/3dobjs/base.obj"


def test_the_command_says_one_line_and_stops(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(["fetch", "--assets", str(tmp_path / "a"), "--from", str(tmp_path / "b")])
    assert "base.obj: missing" in str(stopped.value) and "\n" not in str(stopped.value)


def test_rendering_without_assets_names_the_command(tmp_path: Path) -> None:
    options = ["--assets", str(tmp_path), "--out", str(tmp_path), "--count", "1", "--frames", "1"]
    with pytest.raises(SystemExit) as stopped:
        command.main(options)
    assert "synthetic fetch --assets" in str(stopped.value)
