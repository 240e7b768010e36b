"""TLS: a certificate that browsers take, and no other address than loopback without it."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from typer.testing import CliRunner

from realtime import certificates, cli, client, tls
from realtime.config import Server
from realtime.errors import ConfigError, StartupError
from realtime.server import run
from tests.helpers import FakeStudio, config_with
from tests.running import Running


def made(folder: Path, *hosts: str) -> Server:
    tls.init(hosts or ("studio.example",), folder)
    return Server(port=0, tls_cert=folder / "cert.pem", tls_key=folder / "key.pem")


def test_the_certificate_names_every_host_and_this_machine(tmp_path: Path) -> None:
    made(tmp_path, "studio.example", "192.0.2.7", "[2001:db8::1]")
    leaf, root = x509.load_pem_x509_certificates((tmp_path / "cert.pem").read_bytes())
    leaf.verify_directly_issued_by(root)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["studio.example", "localhost"]
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    assert addresses == ["192.0.2.7", "2001:db8::1", "127.0.0.1"]
    lifetime = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    assert lifetime.days == certificates.TLS_DAYS
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert (b"PRIVATE" in path.read_bytes()) == (path.name == "key.pem"), "the CA's is gone"


@pytest.mark.parametrize("host", ["", "https://x", "a b", "x:8700", "-x", "x" * 64, "a..b"])
def test_what_is_no_host_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="must be a host name or an address"):
        tls.init((host,), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_prints_the_settings_that_belong_to_it(tmp_path: Path) -> None:
    arguments = ["tls", "init", "studio.example", "--directory", str(tmp_path / "tls")]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0, result.exception
    toml = result.output[result.output.index("[server]") :]
    (tmp_path / "settings.toml").write_text(toml)
    checked = CliRunner().invoke(
        cli.app, ["config", "check", "--config", str(tmp_path / "settings.toml")]
    )
    assert checked.exit_code == 0, checked.exception


def test_half_of_tls_does_not_start(tmp_path: Path) -> None:
    whole = made(tmp_path)
    for half, missing in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        with pytest.raises(StartupError, match=f"server.{missing} is not set"):
            tls.check(Server(**{half: getattr(whole, half)}))


def test_files_that_do_not_fit_do_not_start(tmp_path: Path) -> None:
    one, other = made(tmp_path / "one"), made(tmp_path / "other")
    with pytest.raises(StartupError, match="cannot be used with server.tls_key"):
        tls.check(one.model_copy(update={"tls_key": other.tls_key}))
    assert one.tls_key is not None and one.tls_cert is not None
    one.tls_key.chmod(0o644)
    with pytest.raises(StartupError, match="mode 0644"):
        tls.check(one)
    one.tls_key.unlink()
    with pytest.raises(StartupError, match="there is no such file"):
        tls.check(one)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.55"])
def test_no_other_address_without_tls(host: str) -> None:
    with pytest.raises(StartupError, match="without TLS only loopback.*reenactd tls init"):
        run(config_with(server={"host": host, "port": 0}), lambda line: None)


async def test_a_daemon_with_tls_listens_everywhere_and_wants_its_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = made(tmp_path).model_copy(
        update={"host": "0.0.0.0", "allowed_hosts": ("localhost", "studio.example")}
    )
    config = config_with(server=settings.model_dump())
    running = Running(monkeypatch, FakeStudio(), config)
    try:
        await running.listening()
        url, _, token = running.url.partition("/#token=")
        assert url.startswith("https://studio.example:")
        port = int(url.rpartition(":")[2])
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        async with httpx.AsyncClient(
            base_url=f"https://localhost:{port}", verify=context, timeout=10
        ) as http:
            assert (await http.get("/api/status")).status_code == 401
            headers = {"Authorization": f"Bearer {token}"}
            assert (await http.get("/api/status", headers=headers)).status_code == 200
            origin = {**headers, "Origin": f"https://localhost:{port}"}
            assert (await http.delete("/whip/none", headers=origin)).status_code == 404
        with pytest.raises(httpx.ConnectError):
            async with httpx.AsyncClient(timeout=10) as http:
                await http.get(f"https://localhost:{port}/healthz")
        with pytest.raises(httpx.HTTPError):
            async with httpx.AsyncClient(timeout=10) as http:
                await http.get(f"http://localhost:{port}/healthz")
        # the daemon's own command line finds it by the same settings
        named = config_with(server={**settings.model_dump(), "port": port})
        address = client.find(named, None)
        assert address.url == f"https://localhost:{port}"
        assert "version" in await run_in_thread(lambda: client.get(address, "/api/status"))
    finally:
        running.stop()


async def run_in_thread(work: object) -> str:
    from starlette.concurrency import run_in_threadpool

    return await run_in_threadpool(work)  # type: ignore[arg-type]
