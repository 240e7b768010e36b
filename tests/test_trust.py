"""Keys: made when needed, for their owner only; old ones stay checkable, foreign ones are not."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID
from typer.testing import CliRunner

from realtime import cli, signing, trust
from realtime.errors import StartupError, TrustError
from realtime.private_files import write_private
from realtime.trust import Keyring


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path / "trust")


def key_of(fields: dict) -> str:
    return signing.signature_of(fields).public_key


def test_the_first_need_makes_a_key_and_says_so_once(
    keyring: Keyring, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        first, second = keyring.sign({"a": 1}), keyring.sign({"a": 2})
    assert signing.is_intact(first) and key_of(first) == key_of(second)
    assert len(caplog.records) == 1 and "signing key" in caplog.text
    assert keyring.origin_of(key_of(first)) == "own"


def test_what_is_written_is_for_its_owner_only(keyring: Keyring) -> None:
    keyring.init()
    assert stat.S_IMODE(keyring.directory.stat().st_mode) == 0o700
    files = list(keyring.directory.iterdir())
    assert {path.name for path in files} == {
        "records.key", "keys.json", "c2pa.key", "c2pa.pem", "c2pa-roots.pem",
    }  # fmt: skip
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    assert keyring.init() == []


def test_a_key_that_others_can_read_is_not_used(keyring: Keyring) -> None:
    keyring.init()
    (keyring.directory / "records.key").chmod(0o644)
    with pytest.raises(StartupError, match=r"mode 0644.*chmod 600"):
        keyring.sign({})


def test_a_link_is_not_followed(keyring: Keyring, tmp_path: Path) -> None:
    other = Keyring(tmp_path / "other")
    other.init()
    keyring.directory.mkdir()
    (keyring.directory / "records.key").symlink_to(other.directory / "records.key")
    with pytest.raises(StartupError, match="cannot be read"):
        keyring.sign({})


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\n"])
def test_a_damaged_key_is_one_line(keyring: Keyring, content: bytes) -> None:
    keyring.init()
    path = keyring.directory / "records.key"
    path.write_bytes(content)
    with pytest.raises(TrustError, match=r"records\.key: holds no key") as caught:
        keyring.sign({})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"{", b"{}", b'{"keys":[{}]}', b'{"keys":[{"key":"ab","origin":"own","since":""}]}']
)
def test_a_damaged_list_of_keys_believes_nobody(keyring: Keyring, content: bytes) -> None:
    key = key_of(keyring.sign({}))
    (keyring.directory / "keys.json").write_bytes(content)
    with pytest.raises(TrustError, match=r"keys\.json: is damaged"):
        keyring.origin_of(key)


def test_a_lost_list_of_keys_leaves_the_present_one(keyring: Keyring) -> None:
    key = key_of(keyring.sign({}))
    (keyring.directory / "keys.json").unlink()
    assert keyring.origin_of(key) == "own"
    keyring.rotate()
    assert keyring.origin_of(key) == "retired"


def test_rotation_signs_anew_and_keeps_the_old_public_key(keyring: Keyring) -> None:
    old = key_of(keyring.sign({"a": 1}))
    roots = keyring.media_keys().chain and keyring.media_roots()
    keyring.rotate()
    new = key_of(keyring.sign({"a": 1}))
    assert new != old
    assert (keyring.origin_of(old), keyring.origin_of(new)) == ("retired", "own")
    assert keyring.media_roots().endswith(roots) and keyring.media_roots() != roots


def test_a_stranger_is_believed_once_told_so(keyring: Keyring) -> None:
    stranger = key_of(signing.sign({}, Ed25519PrivateKey.generate()))
    assert keyring.origin_of(stranger) is None
    keyring.trust(stranger)
    keyring.trust(stranger)
    assert [key.origin for key in keyring.known()] == ["imported"]
    keyring.rotate()
    assert keyring.origin_of(stranger) == "imported"


def test_a_revoked_digest_stays_revoked(keyring: Keyring) -> None:
    assert not keyring.is_revoked("ab" * 32)
    keyring.revoke("ab" * 32, "12" * 32)
    keyring.revoke("cd" * 32, "34" * 32)
    keyring.revoke("cd" * 32, "34" * 32)
    assert keyring.is_revoked("ab" * 32) and keyring.is_revoked("cd" * 32)
    assert keyring.is_portrait_revoked("12" * 32) and keyring.is_portrait_revoked("34" * 32)
    assert not keyring.is_revoked("12" * 32) and not keyring.is_portrait_revoked("ab" * 32)
    (keyring.directory / "revoked.json").write_bytes(b'{"revoked": 3}')
    with pytest.raises(TrustError, match=r"revoked\.json: is damaged"):
        keyring.is_revoked("ef" * 32)


def test_a_list_of_before_portraits_were_noted_is_read(keyring: Keyring) -> None:
    keyring.init()
    path = keyring.directory / "revoked.json"
    write_private(path, signing.canonical({"revoked": ["ab" * 32]}))
    assert keyring.is_revoked("ab" * 32) and not keyring.is_portrait_revoked("12" * 32)
    keyring.revoke("cd" * 32, "34" * 32)
    assert keyring.is_revoked("ab" * 32) and keyring.is_portrait_revoked("34" * 32)


@pytest.mark.parametrize("what", ["revoke", "trust"])
def test_changes_at_the_same_time_are_all_kept(
    keyring: Keyring, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def slow(path: Path, content: bytes) -> None:
        time.sleep(0.02)
        write_private(path, content)

    keyring.init()
    monkeypatch.setattr(trust, "write_private", slow)
    keys = [key_of(signing.sign({}, Ed25519PrivateKey.generate())) for _ in range(5)]
    with ThreadPoolExecutor(5) as pool:
        if what == "trust":
            list(pool.map(keyring.trust, keys))
        else:
            list(pool.map(keyring.revoke, keys, keys))
    held = keyring.is_revoked if what == "revoke" else keyring.origin_of
    assert all(held(key) for key in keys)


def test_a_forgotten_key_is_believed_no_longer(keyring: Keyring) -> None:
    stranger, own = key_of(signing.sign({}, Ed25519PrivateKey.generate())), keyring.sign({})
    keyring.trust(stranger)
    spelt = signing.fingerprint(stranger).replace(" ", "").upper()
    assert keyring.forget(spelt).public_key == stranger
    assert keyring.origin_of(stranger) is None and keyring.origin_of(key_of(own)) == "own"
    with pytest.raises(TrustError, match="no such key is believed here"):
        keyring.forget(spelt)
    keyring.init()
    before = keyring.media_roots()
    keyring.rotate()
    assert keyring.media_roots().endswith(before) and keyring.media_roots() != before
    keyring.forget(signing.fingerprint(key_of(own)))
    assert keyring.origin_of(key_of(own)) is None
    roots = keyring.media_roots()
    assert before not in roots and roots and keyring.media_keys().chain.endswith(roots)


@pytest.mark.parametrize("listed", [True, False])
def test_the_key_that_signs_cannot_be_forgotten(keyring: Keyring, listed: bool) -> None:
    own = key_of(keyring.sign({}))
    if not listed:  # then there is nothing to forget it from
        (keyring.directory / "keys.json").unlink()
    with pytest.raises(TrustError, match="rotate` first" if listed else "no such key"):
        keyring.forget(signing.fingerprint(own))
    assert keyring.origin_of(own) == "own"


def test_the_certificate_for_files_is_a_leaf_of_a_root_whose_key_is_gone(keyring: Keyring) -> None:
    chain = x509.load_pem_x509_certificates(keyring.media_keys().chain)
    leaf, root = chain
    leaf.verify_directly_issued_by(root)
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert ExtendedKeyUsageOID.EMAIL_PROTECTION in usage
    keys = [path for path in keyring.directory.iterdir() if b"PRIVATE" in path.read_bytes()]
    assert [path.name for path in keys] == ["c2pa.key"]


def test_the_command_line_makes_shows_and_rotates() -> None:
    def said(*arguments: str) -> str:
        result = CliRunner().invoke(cli.app, ["trust", *arguments])
        assert result.exit_code == 0, result.exception
        return result.output

    assert "no key yet" in said("show")
    assert "signing key" in said("init")
    assert "there already" in said("init")
    own = said("show").splitlines()[0]
    assert own.startswith("own")
    said("rotate", "--yes")
    shown = said("show")
    assert f"retired   {own[10:50]}"[:49] in shown and "2 local CAs" in shown


def test_nobody_rotates_or_forgets_by_accident() -> None:
    refused = CliRunner().invoke(cli.app, ["trust", "rotate"])
    assert "give --yes" in str(refused.exception)
    stranger = key_of(signing.sign({}, Ed25519PrivateKey.generate()))
    Keyring().trust(stranger)
    arguments = ["trust", "forget", *signing.fingerprint(stranger).split()]
    refused = CliRunner().invoke(cli.app, arguments)
    assert "give --yes" in str(refused.exception)
    assert Keyring().origin_of(stranger) == "imported"
    done = CliRunner().invoke(cli.app, [*arguments, "--yes"])
    assert done.exit_code == 0 and "can then no longer be used: none" in done.output
    assert Keyring().origin_of(stranger) is None
    again = CliRunner().invoke(cli.app, [*arguments, "--yes"])
    assert "no such key is believed here" in str(again.exception)


def test_processes_that_need_files_signed_at_once_make_one_pair(tmp_path: Path) -> None:
    """A certificate of one and a key of the other would sign nothing that can be checked."""
    program = (
        "import sys; from pathlib import Path; from realtime.trust import Keyring\n"
        "sys.stdin.read(1); keys = Keyring(Path(sys.argv[1])).media_keys()\n"
        "sys.stdout.buffer.write(keys.key + keys.chain)"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "trust")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )
        for _ in range(3)
    ]
    said = []
    for process in started:
        assert process.stdin is not None
        process.stdin.write(b"x")
        process.stdin.flush()
    for process in started:
        out, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        said.append(out)
    assert said[0] and len(set(said)) == 1
    key = serialization.load_pem_private_key(said[0], None)
    leaf = x509.load_pem_x509_certificates(said[0])[0]
    assert leaf.public_key() == key.public_key()
