"""A new token while the daemon runs: what was given out is dead, who performs goes on."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from pathlib import Path

import httpx
import pytest

from realtime import tls
from realtime.access import Rules, load_token
from realtime.config import Config
from realtime.daemon import Daemon, build_services
from realtime.errors import StartupError
from realtime.reload import RELOADABLE, Reload
from realtime.server import create_app
from realtime.tokens import Tokens
from tests.helpers import (
    TOKEN,
    Camera,
    FakeStudio,
    Performer,
    Watcher,
    config_with,
    standing,
    until,
)
from tests.test_tls import made

OTHER = "another-token-of-the-tests-that-is-long-enough"


async def test_sessions_and_viewers_go_on_and_everything_given_out_is_dead() -> None:
    async with standing() as stand:
        performer, watcher = Performer(stand.http, Camera()), Watcher(stand.http)
        await performer.connect(name="me")
        await until(lambda: any(not seen.is_card for seen in performer.seen))
        await watcher.connect()
        await until(lambda: len(watcher.seen) > 3)
        link, _ = stand.tokens.make("view", "me", 3600)
        code = stand.tokens.make_code()
        Reload(Config(), Config, lambda: stand.tokens.renew(OTHER))()
        for old in (stand.http.headers["Authorization"], f"Bearer {link}", f"Bearer {code.text}"):
            for path in ("/api/status", "/whep/me"):
                refused = await stand.http.get(path, headers={"Authorization": old})
                assert refused.status_code == 401, (old, path)
        seen, watched = len(performer.seen), len(watcher.seen)
        await until(lambda: len(performer.seen) > seen + 20 and len(watcher.seen) > watched + 20)
        stand.http.headers["Authorization"] = f"Bearer {OTHER}"
        assert (await stand.http.get("/api/sessions")).json()[0]["phase"] == "live"
        assert (await stand.http.delete(performer.location)).status_code == 200
        await performer.close()
        await watcher.close()


def test_a_deleted_file_makes_a_new_token_and_a_bad_one_keeps_the_old(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    file = tmp_path / "token"
    held = [load_token(file)]

    def renew() -> bool:
        fresh = load_token(file)
        changed = fresh != held[-1]
        if changed:
            held.append(fresh)
        return changed

    reload = Reload(Config(), Config, renew)
    reload()
    assert len(held) == 1 and "access token" not in caplog.text
    file.unlink()
    reload()
    assert len(held) == 2 and "the access token is another one" in caplog.text
    file.chmod(0o644)
    reload()
    assert len(held) == 2
    assert "the token was not reloaded, the old one holds: the token file" in caplog.text
    assert "mode 0644" in caplog.text and held[1] not in caplog.text
    with pytest.raises(StartupError):
        load_token(file)
    assert os.stat(file).st_mode & 0o777 == 0o644, "it is not mended behind somebody's back"


async def test_whom_it_lets_in_changes_under_way(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    old = config_with(server={"max_sessions": 2, "max_viewers": 1})
    changed = {
        "allowed_hosts": ("studio.example",),
        "cors_origins": ("https://page.example",),
        "post_rate_per_s": 0.4,  # one POST at once
        "max_sessions": 5,
        "max_viewers": 3,
        "min_fps": 7.0,
        "drain_s": 3.0,
        "port": 9999,
    }
    fresh = old.model_copy(update={"server": old.server.model_copy(update=changed)})
    daemon, rules = Daemon(build_services(old, FakeStudio())), Rules(old.server)
    app = create_app(daemon, Tokens(TOKEN), "test loop", rules)
    transport = httpx.ASGITransport(app=app)
    url, headers = "http://studio.example", {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(transport=transport, base_url=url, headers=headers) as http:
        assert (await http.get("/api/status")).status_code == 421

        def adopt(config: Config) -> None:
            rules.adopt(config.server)
            daemon.adopt(config)

        Reload(old, lambda: fresh, lambda: False, adopt)()
        assert (await http.get("/api/status")).json()["max_sessions"] == 5
        asked = await http.options("/whip", headers={"Origin": "https://page.example"})
        assert asked.headers["Access-Control-Allow-Origin"] == "https://page.example"
        codes = [(await http.post("/api/tokens", json={})).status_code for _ in range(2)]
        assert codes == [201, 429]
    server = daemon.config.server
    assert (server.max_viewers, server.min_fps, server.drain_s) == (3, 7.0, 3.0)
    assert server.port == old.server.port and daemon.sessions._limit == 5
    applied = sorted(f"server.{key}" for key in changed if key != "port")
    assert f"reloaded: {', '.join(applied)}" in caplog.text
    assert "hold after a restart only: server.port" in caplog.text
    assert set(applied) | {"log.level", "log.format"} == RELOADABLE


async def test_a_renewed_certificate_is_shown_to_who_connects_then(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = made(tmp_path)
    assert settings.tls_cert is not None and settings.tls_key is not None
    chain = tls.Chain(settings)
    chain.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    chain.context.load_cert_chain(settings.tls_cert, settings.tls_key)
    listening = await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=chain.context
    )
    port = listening.sockets[0].getsockname()[1]

    async def shown() -> str:
        return await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))

    reload = Reload(Config(), Config, lambda: False, renew_certificate=chain.renew)
    before = await shown()
    reload()
    assert await shown() == before
    made(tmp_path)
    reload()
    after = await shown()
    assert after != before and after in settings.tls_cert.read_text()
    settings.tls_key.write_text("no key")
    reload()
    assert await shown() == after
    assert "the certificate was not reloaded, the old one holds: server.tls_cert" in caplog.text
    listening.close()
