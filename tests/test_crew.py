"""Two worker processes behind one address: sessions, viewers, numbers, deaths and the end."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from realtime.client import find
from realtime.clock import NS_PER_S
from realtime.config import Config
from realtime.crew import Crew
from realtime.errors import StartupError
from realtime.session import PLACE_HELD_NS
from realtime.studio import LiveStudio
from realtime.top import look
from tests.crew_studio import UNLOADABLE
from tests.crewed import SETTINGS, Crewed, grant_header, runs
from tests.helpers import FACE_LUMA, Camera, Performer, Watcher, config_with, until
from tests.traces import check_arrows, check_nesting

SDP = {"Content-Type": "application/sdp"}
CHROMIUM_OFFER = (Path(__file__).parent / "data" / "chromium_offer.sdp").read_text()
REVOKED_S = 1.0


@pytest.fixture(scope="module")
def crewed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crewed]:
    running = Crewed(tmp_path_factory.mktemp("crew"))
    try:
        yield running.ready()
        assert running.end() == 0
        assert "Traceback" not in running.log
    finally:
        running.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Crewed]:
    """One that the test may break."""
    running = Crewed(tmp_path)
    yield running
    running.close()


@asynccontextmanager
async def performing(http: httpx.AsyncClient, identity: str, name: str) -> AsyncIterator[Performer]:
    performer = Performer(http, Camera())
    await performer.connect(identity, name)
    await until(lambda: performer.stat("state") == "LIVE")
    try:
        yield performer
    finally:
        if not performer.heard("closed"):
            await http.delete(performer.location)
        await performer.close()


def shows(watcher: Watcher | Performer, identity: str) -> bool:
    return bool(watcher.seen) and abs(watcher.seen[-1].luma.mean() - FACE_LUMA[identity]) < 12


async def test_two_sessions_in_two_processes_are_one_daemon_for_all_who_ask(crewed: Crewed) -> None:
    async with crewed.http() as http:
        one = performing(http, "juniper", "one")
        two = performing(http, "coral", "two")
        async with one as first, two as second:
            assert await asyncio.to_thread(crewed.live) == {"1": 1, "2": 1}
            await check_viewers(http)
            sessions = (await http.get("/api/sessions")).json()
            assert [session["name"] for session in sessions] == ["one", "two"]
            status = (await http.get("/api/status")).json()
            assert (status["sessions"], status["max_sessions"]) == (2, 3)
            for session, performer in zip(sessions, (first, second), strict=True):
                assert session["session"] == performer.heard("hello")[0]["session"]
                await check_recording(http, session["session"])
            await check_trace(http)
            address = find(Config(), f"{crewed.url}/#token={crewed.token}")
            seen = await asyncio.to_thread(look, address)
            assert len(seen.sessions) == 2 and seen.resident_bytes > 100 * 2**20, "of all of them"
            assert (await http.delete(second.location)).status_code == 200
            assert (await http.delete(second.location)).status_code == 404
            assert (await http.get("/api/status")).json()["sessions"] == 1


async def check_viewers(http: httpx.AsyncClient) -> None:
    """By name, and the one that began last; each gets the pictures of its own session."""
    watchers = {"one": Watcher(http), "two": Watcher(http), "": Watcher(http)}
    for name, watcher in watchers.items():
        await watcher.connect(f"/whep/{name}" if name else "/whep")
    await until(lambda: shows(watchers["one"], "juniper"))
    await until(lambda: shows(watchers["two"], "coral") and shows(watchers[""], "coral"))
    counts = [session["viewers"] for session in (await http.get("/api/sessions")).json()]
    assert counts == [1, 2]
    for watcher in watchers.values():
        assert (await http.delete(watcher.headers["Location"])).status_code == 200
        await watcher.close()
    assert (await http.post("/whep/nobody", content="v=0", headers=SDP)).status_code == 404


async def check_recording(http: httpx.AsyncClient, session: str) -> None:
    path = f"/api/sessions/{session}"
    assert (await http.get(f"{path}/recording")).status_code == 404
    assert (await http.post(f"{path}/recording")).status_code == 201
    assert (await http.get(f"{path}/snapshot")).content.startswith(b"\x89PNG")
    await asyncio.sleep(0.3)
    ended = (await http.delete(f"{path}/recording")).json()
    film = await asyncio.to_thread(Path(ended["files"][0]).read_bytes)
    assert ended["state"] == "stopped" and len(film) > 1000


async def check_trace(http: httpx.AsyncClient) -> None:
    asked = asyncio.create_task(http.post("/api/trace?seconds=0.6"))
    await asyncio.sleep(0.2)
    assert (await http.post("/api/trace?seconds=0.1")).status_code == 409
    events = (await asked).json()["traceEvents"]
    by_process: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        by_process[event["pid"]].append(event)
    assert len(by_process) == 2
    for of_one in by_process.values():
        check_nesting(of_one)
        check_arrows(of_one)
        assert any(event["name"] == "rendering" for event in of_one)


async def test_a_revoked_identity_goes_in_every_process_at_once(crewed: Crewed) -> None:
    """Two who wear it, one in each process, and a third who does not."""
    revoked = crewed.state / "revoked-coral"
    async with crewed.http() as http:
        first, second = performing(http, "coral", "one"), performing(http, "coral", "two")
        async with performing(http, "juniper", "three") as other:
            async with first as one, second as two:
                assert sorted((await asyncio.to_thread(crewed.live)).values()) == [1, 2]
                revoked.touch()
                began_s = time.monotonic()
                await until(lambda: bool(one.heard("closed") and two.heard("closed")))
                assert time.monotonic() - began_s < REVOKED_S
                assert "consent" in one.heard("closed")[0]["reason"]
            revoked.unlink()
            shown = len(other.seen)
            await until(lambda: len(other.seen) > shown + 5 and shows(other, "juniper"))


async def test_a_killed_worker_ends_its_own_sessions_only_and_comes_back(crewed: Crewed) -> None:
    async with crewed.http() as http:
        doomed, spared = performing(http, "juniper", "one"), performing(http, "coral", "two")
        async with spared as two:
            (its,) = [worker for worker, live in crewed.live().items() if live]
            victim = crewed.processes()[2 if its == "1" else 1]
            async with doomed as one:
                assert set(crewed.live().values()) == {1}
                os.kill(victim, signal.SIGKILL)
                await until(lambda: not runs(victim))
                assert (await http.delete(one.location)).status_code in (404, 503)
                await until(lambda: len(crewed.up()) == 1)
                assert (await http.delete(one.location)).status_code == 404
                one.messages.append({"type": "closed"})  # nobody could say it
            shown = len(two.seen)
            await until(lambda: len(two.seen) > shown + 5 and shows(two, "coral"))
            await until(lambda: len(crewed.up()) == 2)
            assert "exit code -9" in crewed.log and "is started again in 1 s" in crewed.log
            async with performing(http, "juniper", "again"):
                assert set(crewed.live().values()) == {1}


async def test_a_viewer_who_waits_gets_the_next_session_of_its_name(crewed: Crewed) -> None:
    """It waits in the first process, where somebody performs; the second is empty."""
    async with crewed.http() as http:
        watcher = Watcher(http)
        stage, other = performing(http, "juniper", "stage"), performing(http, "juniper", "a")
        async with stage as first, other as second, performing(http, "juniper", "b") as third:
            await watcher.connect("/whep/stage")
            await until(lambda: shows(watcher, "juniper"))
            assert (await http.delete(first.location)).status_code == 200
            assert (await http.delete(second.location)).status_code == 200
            for gone in (first, second):
                await until(lambda gone=gone: bool(gone.heard("closed")))  # type: ignore[misc]
            async with performing(http, "coral", "stage"):
                await until(lambda: shows(watcher, "coral"))
                assert sorted((await asyncio.to_thread(crewed.live)).values()) == [0, 2]
            assert not third.heard("closed")
            await http.delete(watcher.headers["Location"])
            await watcher.close()


async def test_there_are_as_many_places_as_the_settings_say_over_all_processes(
    crewed: Crewed,
) -> None:
    async with crewed.http() as http:
        posts = [http.post("/whip", content=CHROMIUM_OFFER, headers=SDP) for _ in range(5)]
        answers = await asyncio.gather(*posts)
        assert sorted(answer.status_code for answer in answers) == [201, 201, 201, 503, 503]
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert refused.json()["error"].startswith("3 of 3 sessions are running")
        assert int(refused.headers["Retry-After"]) > 0
        assert crewed.metrics()["reenactd_sessions_refused_total", "places"] == 2
        for answer in answers:
            if answer.status_code == 201:
                assert answer.headers["ETag"] and answer.headers["Accept-Patch"]
                deleted = await http.delete(answer.headers["Location"])
                assert deleted.status_code == 200


async def test_who_connects_late_finds_no_place_where_all_processes_together_have_none(
    crewed: Crewed,
) -> None:
    """Each of the two alone has room."""
    async with crewed.http() as http:
        late = Performer(http, Camera())
        answer = await late.offer()
        await asyncio.sleep(PLACE_HELD_NS / NS_PER_S + 0.5)
        posts = [http.post("/whip", content=CHROMIUM_OFFER, headers=SDP) for _ in range(3)]
        answers = await asyncio.gather(*posts)
        assert [answer.status_code for answer in answers] == [201, 201, 201], "its place is free"
        await late.accept(answer)
        await until(lambda: bool(late.heard("closed")))
        assert "connected late, and all 3 places are taken" in late.heard("closed")[0]["reason"]
        for made in answers:
            assert (await http.delete(made.headers["Location"])).status_code == 200
        await late.close()


async def test_tokens_open_what_they_open_in_one_process(crewed: Crewed) -> None:
    async with crewed.http() as http, performing(http, "juniper", "stage"):
        wish = {"scope": "view", "session": "stage"}
        viewing = (await http.post("/api/tokens", json=wish)).json()["token"]
        wish = {"scope": "publish", "session": "desk"}
        publishing = (await http.post("/api/tokens", json=wish)).json()["token"]
        async with crewed.http(viewing) as viewer, crewed.http(publishing) as performer:
            watcher = Watcher(viewer)
            await watcher.connect("/whep")
            await until(lambda: shows(watcher, "juniper"))
            await viewer.delete(watcher.headers["Location"])
            await watcher.close()
            offer: Any = {"content": CHROMIUM_OFFER, "headers": SDP}
            assert (await viewer.post("/whep/other", **offer)).status_code == 403
            assert (await viewer.post("/whip", **offer)).status_code == 403
            assert (await performer.post("/whip?name=stage", **offer)).status_code == 403
            made = await performer.post("/whip", **offer)
            assert made.status_code == 201
            names = {session["name"] for session in (await http.get("/api/sessions")).json()}
            assert names == {"stage", "desk"}
            assert (await performer.delete(made.headers["Location"])).status_code == 200


async def test_nothing_that_a_client_says_of_itself_is_passed_on(crewed: Crewed) -> None:
    async with crewed.http() as http:
        token = (await http.post("/api/tokens", json={"scope": "publish"})).json()["token"]
        view = (await http.post("/api/tokens", json={"scope": "view", "session": "a"})).json()
    async with crewed.http(view["token"]) as viewer:
        offer: Any = {"content": "v=0", "headers": {**SDP, **grant_header("admin")}}
        refused = await viewer.post("/whep/b", **offer)
        assert refused.status_code == 403 and "for session 'a'" in refused.json()["error"]
    async with crewed.http(token) as performer:
        for path in (
            "/whip/%2e%2e/api/sessions",
            "/whip/..%2fapi%2fsessions",
            "/whip/x%3fy",
            "/whip//api/sessions",
            "/whip/%0d%0ax",
        ):
            answer = await performer.get(httpx.URL(crewed.url + path))
            assert answer.status_code == 404, path
        assert (await performer.get("/api/sessions")).status_code == 403
        assert (await performer.get("/worker/look")).status_code == 404


def test_only_the_parent_reaches_a_worker(crewed: Crewed) -> None:
    (folder,) = crewed.sockets.glob("reenactd-*")
    assert folder.stat().st_mode & 0o777 == 0o700
    sockets = list(folder.glob("*.sock"))
    assert len(sockets) == 2
    for path in sockets:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            for secret in ("", "x" * 43):
                headers = {"X-Reenactd-Secret": secret, **grant_header("admin")}
                for inner in ("/worker/look", "/api/status", "/healthz", "/"):
                    answer = client.get(f"http://worker{inner}", headers=headers)
                    assert answer.status_code == 403, inner
    for pid in crewed.processes()[1:]:
        shown = (
            Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        )
        assert crewed.token.encode() not in shown and b"secret" not in shown.lower()


def test_the_page_the_identities_and_the_description_are_there(crewed: Crewed) -> None:
    page = httpx.get(crewed.url)
    assert page.status_code == 200 and "reenactd" in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self'")
    identities = crewed.get("/api/identities")
    assert [identity["id"] for identity in identities] == ["juniper", "coral"]
    crewed.until(lambda: all(each["ready"] for each in crewed.get("/api/identities")))
    document = crewed.get("/api/openapi.json")
    assert {"/whip", "/whep/{session}", "/metrics", "/api/tokens"} <= set(document["paths"])
    assert not [path for path in document["paths"] if path.startswith("/worker")]
    looked = httpx.post(
        f"{crewed.url}/api/identities/look",
        content=b"no picture",
        headers={**crewed.headers, "Content-Type": "image/png"},
        timeout=60,
    )
    assert looked.status_code == 400 and "picture" in looked.json()["error"]
    for nowhere in ("/api/nothing", "/api/identities/check/none", "/api/sessions/none/snapshot"):
        assert httpx.get(crewed.url + nowhere, headers=crewed.headers).status_code == 404
    assert crewed.get("/healthz") == {"status": "ok"}
    assert crewed.get("/readyz") == {"status": "ready"}


def test_sighup_reaches_every_process(crewed: Crewed) -> None:
    crewed.file.write_text(f"{SETTINGS}[log]\nformat = 'json'\n")
    crewed.process.send_signal(signal.SIGHUP)
    crewed.until(lambda: '"message": "reloaded: log.format"' in crewed.log)
    offer: Any = {"content": CHROMIUM_OFFER, "headers": {**crewed.headers, **SDP}}
    made = [httpx.post(f"{crewed.url}/whip", **offer) for _ in range(2)]
    crewed.until(lambda: all(f'"message": "[worker {n}] [session' in crewed.log for n in (1, 2)))
    for answer in made:
        httpx.delete(crewed.url + answer.headers["Location"], headers=crewed.headers)


@pytest.mark.parametrize(
    ("number", "to_all"), [(signal.SIGTERM, False), (signal.SIGTERM, True), (signal.SIGINT, False)]
)
async def test_a_signal_ends_all_processes_in_peace(own: Crewed, number: int, to_all: bool) -> None:
    """To all of them at once, as systemd sends it, or to the one that somebody started. SIGTERM
    lets who performs go on; a second one does not."""
    await asyncio.to_thread(own.listen)
    await asyncio.to_thread(own.until, lambda: len(own.up()) == 2)
    pids = own.processes()
    own.file.write_text(SETTINGS.replace("drain_s = 0", "drain_s = 60"))
    own.process.send_signal(signal.SIGHUP)
    await asyncio.to_thread(own.until, lambda: "reloaded: server.drain_s" in own.log)
    async with own.http() as http, performing(http, "juniper", "one") as performer:
        for pid in pids[1:] if to_all else ():
            os.kill(pid, number)
        if number == signal.SIGTERM:
            own.process.send_signal(number)
            await until(lambda: bool(performer.heard("ending")))
            assert performer.heard("ending")[0]["within_s"] == 60
            offer: Any = {"content": CHROMIUM_OFFER, "headers": SDP}
            assert (await http.post("/whip", **offer)).status_code == 503
            seen = len(performer.seen)
            await until(lambda: len(performer.seen) > seen + 10)
        assert await asyncio.to_thread(own.end, number) == 0
        assert performer.heard("closed")[0]["reason"] == "the daemon is shutting down"
    assert len(pids) == 3 and not any(runs(pid) for pid in pids)
    assert list(own.sockets.iterdir()) == []
    for never in ("Traceback", "started again", "does not end", "HTTP"):
        assert never not in own.log


def test_workers_end_with_their_parent_however_it_ends(own: Crewed) -> None:
    pids = own.ready().processes()
    assert len(pids) == 3
    own.process.kill()
    own.until(lambda: not any(runs(pid) for pid in pids), 10)
    own.until(lambda: list(own.sockets.iterdir()) == [], 2)
    assert "Traceback" not in own.log


def test_it_listens_before_any_worker_does(own: Crewed, figure: Callable[[str], None]) -> None:
    figure(f"a daemon with 2 workers listens after {own.listen():.1f} s")
    assert httpx.get(f"{own.url}/readyz").json() == {"status": "loading"}
    assert httpx.get(own.url).status_code == 200
    assert len(own.get("/api/identities")) == 2
    offer: Any = {"content": CHROMIUM_OFFER, "headers": {**own.headers, **SDP}, "timeout": 60}
    assert httpx.post(f"{own.url}/whip", **offer).status_code == 201, "an offer waits for one"
    assert own.end() == 0


def test_networks_that_do_not_load_end_all_with_their_reason(own: Crewed) -> None:
    (own.state / UNLOADABLE).write_text("no weights; reinstall")
    assert own.process.wait(timeout=30) == 1
    assert own.log.endswith("reenactd: no weights; reinstall\n")
    assert own.log.count("no weights") == 1 and list(own.sockets.iterdir()) == []


@pytest.mark.parametrize(
    ("sections", "named"),
    [
        ({"tracking": {"driver": "vmc"}}, "tracking.driver = vmc"),
        ({"vmc": {"send": "127.0.0.1:39539"}}, "vmc.send = 127.0.0.1:39539"),
        ({"vtube_studio": {"url": "ws://127.0.0.1:8001"}}, "vtube_studio.url = ws://"),
    ],
)
def test_what_one_process_only_can_have_is_refused_at_the_start(
    sections: dict[str, Any], named: str
) -> None:
    config = config_with(server={"workers": 2}, **sections)
    with pytest.raises(StartupError, match="set server.workers = 1") as caught:
        Crew(config, LiveStudio)
    assert named in str(caught.value) and "\n" not in str(caught.value)


def test_a_studio_that_no_other_process_finds_is_refused() -> None:
    with pytest.raises(StartupError, match="cannot be imported"):
        Crew(config_with(server={"workers": 2}), lambda config: LiveStudio(config))
