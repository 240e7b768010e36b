"""A new token while the daemon runs: what was given out is dead, who performs goes on."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from realtime.access import load_token
from realtime.config import Config
from realtime.errors import StartupError
from realtime.reload import Reload
from tests.helpers import Camera, Performer, Watcher, standing, until

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
