"""`reenactd identity`: what a person is shown and asked, with the real tracker where it matters."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engines.errors import WeightsError
from realtime import cli, enrolment, studio
from tests.portraits import one_face, picture_bytes

PORTRAIT = Path(__file__).parents[1] / "realtime" / "identities" / "slate" / "portrait.png"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A picture with a face that needs no tracker."""
    monkeypatch.setattr(enrolment, "_camera_find_faces", one_face)
    monkeypatch.setattr(studio, "encode_identity", lambda config, identity_id: None)
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "photo.png"
    path.write_bytes(picture_bytes())
    return path


def said(*arguments: str, code: int = 0, answer: str | None = None) -> str:
    """What the command printed, or its one line where it failed."""
    result = CliRunner().invoke(cli.app, ["identity", *arguments], input=answer)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        assert code == 2, result.exception
        assert "\n" not in str(result.exception)
        return str(result.exception)
    assert result.exit_code == code, result.output
    return result.output


def add(photo: Path, *more: str, code: int = 0) -> str:
    return said("add", str(photo), "--name", "Ada L.", *more, code=code)


def test_a_real_portrait_is_added_shown_and_removed(tmp_path: Path) -> None:
    preview = tmp_path / "face.png"
    output = add(PORTRAIT, "--consent", "fictional", "--yes", "--preview", str(preview))
    assert "statement (fictional): This picture shows no real person" in output
    assert "added ada-l: fictional, attested at the command line, no live check" in output
    assert "not encoded" not in output
    assert preview.is_file()
    assert "Ada L." in said("list")
    shown = said("show", "ada-l")
    assert "no live check" in shown and "signed by key " in shown and "expires   never" in shown
    assert "encoded   warp-refine-lite.640x480\n" in shown
    assert "ada-l: deleted, 5 files" in said("delete", "ada-l", "--yes")
    assert "ada-l" not in said("list")


def test_without_a_network_it_is_added_all_the_same(
    drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(config: object, identity_id: str) -> None:
        raise WeightsError(f"no weights for {identity_id}: get them")

    monkeypatch.setattr(studio, "encode_identity", missing)
    output = add(drawn, "--consent", "fictional", "--yes")
    line = "not encoded yet, the daemon will try it again: no weights for ada-l: get them"
    assert output.splitlines()[-1] == line
    assert "encoded   whenever it is loaded\n" in said("show", "ada-l")


def test_self_says_that_nobody_checked(drawn: Path) -> None:
    output = add(drawn, "--consent", "self", "--yes")
    assert "I am the person in this picture" in output
    assert "no live check was made, and the record says so" in output
    assert "no live check" in said("show", "ada-l")


def test_a_third_party_needs_a_document(drawn: Path, tmp_path: Path) -> None:
    assert "--release FILE" in add(drawn, "--consent", "third-party", "--yes", code=2)
    release = tmp_path / "release.pdf"
    release.write_bytes(b"I agree. Signed.")
    add(drawn, "--consent", "third-party", "--yes", "--release", str(release))
    assert hashlib.sha256(b"I agree. Signed.").hexdigest() in said("show", "ada-l")


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (("--consent", "friend", "--yes"), "--consent = 'friend': must be one of"),
        (("--consent", "fictional"), "nobody is there to confirm the statement"),
        (("--consent", "fictional", "--yes", "--expires", "soon"), "must be a date as 2027-12-31"),
        (("--consent", "fictional", "--yes", "--expires", "2001-01-01"), "lies in the past"),
        (("--consent", "fictional", "--yes", "--id", "coral"), "'coral' is there already"),
        (
            ("--consent", "third-party", "--yes", "--release", "none.pdf"),
            "none.pdf: cannot be read",
        ),
    ],
)
def test_a_mistake_is_one_line(drawn: Path, more: tuple[str, ...], line: str) -> None:
    assert line in add(drawn, *more, code=2)
    assert "Ada" not in said("list")


def test_who_is_asked_can_decline(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.cli_consent.someone_is_there", lambda: True)
    arguments = ("add", str(drawn), "--name", "Ada", "--consent", "fictional")
    output = said(*arguments, code=1, answer="n\n")
    assert "the face that was found" in output and "nothing was added" in output
    assert "ada " not in said("list")
    path = Path(output.split("the face that was found: ")[1].splitlines()[0])
    assert not path.exists(), "the picture of the face goes again"
    assert "added ada" in said(*arguments, answer="y\n")
    assert "nothing was changed" in said("revoke", "ada", code=1, answer="n\n")
    assert "revoked" in said("revoke", "ada", answer="y\n")
    assert "was revoked" in said("show", "ada", code=2)


def test_an_identity_travels_with_its_consent(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(drawn, "--consent", "fictional", "--yes")
    target = tmp_path / "ada.reenactd-identity"
    fingerprint = said("export", "ada-l", str(target)).splitlines()[-1]
    assert "is there already" in said("export", "ada-l", str(target), code=2)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    assert "give it with --trust" in said("import", str(target), code=2)
    wrong = said("import", str(target), "--trust", "0000 0000", code=2)
    assert "not believed here" in wrong
    assert "imported ada-l" in said("import", str(target), "--trust", fingerprint)
    assert fingerprint in said("show", "ada-l")


def test_the_shipped_ones_stay() -> None:
    assert "ships with reenactd" in said("revoke", "coral", "--yes", code=2)
    assert "give --yes" in said("delete", "coral", code=2)
    assert "pinned by this release" in said("show", "coral")
