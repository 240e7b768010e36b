// What goes on after a break, and what runs out: recordings, OBS links, requests.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";

import { fetchWhole } from "../../web_client/fetching.js";
import { FilmKeeper, STALE_MS } from "../../web_client/film_keeper.js";
import { WARN_MS, endingLink, noteLinkEnd } from "../../web_client/link_ends.js";

const ON = { state: "on" };

function store() {
  const kept = new Map();
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => kept.set(key, value),
    removeItem: (key) => kept.delete(key),
  };
}

/** A keeper, what it asked the daemon for, and what it said; `fails` is thrown by the daemon. */
function keeper({ kept = store(), fails = [] } = {}) {
  const asked = [];
  const said = [];
  const start = async (session) => {
    asked.push(session);
    const error = fails.shift();
    if (error) throw Object.assign(new Error(error.kind), error);
  };
  return { films: new FilmKeeper(kept, start, (...words) => said.push(words)), asked, said, kept };
}

test("a recording goes on in the next session, and it is said what is missing", async () => {
  const { films, asked, said } = keeper();
  await films.heed("a", null, 0);
  await films.heed("a", ON, 1000);
  await films.heed("b", null, 13_400);
  assert.deepEqual(asked, ["b"]);
  assert.deepEqual(said, [["resumed", "12"]]);
  assert.equal(films.gapS, 12);
  await films.heed("b", null, 13_900);
  assert.deepEqual(asked, ["b"], "once");
  await films.heed("b", ON, 14_400);
  await films.heed("c", ON, 15_000);
  assert.deepEqual(asked, ["b"], "what is being recorded needs no help");
  assert.equal(films.gapS, null);
});

test("a reload keeps it, for a while", async () => {
  const { films, kept } = keeper();
  await films.heed("a", ON, 1000);
  const soon = keeper({ kept });
  await soon.films.heed("b", null, 1000 + STALE_MS);
  assert.deepEqual(soon.asked, ["b"]);
  await soon.films.heed("b", ON, 2000 + STALE_MS);
  const late = keeper({ kept });
  await late.films.heed("c", null, 2000 + 2 * STALE_MS + 60_000);
  assert.deepEqual(late.asked, []);
  assert.deepEqual(late.said, [["stale", "11"]]);
  await late.films.heed("d", null, 2000 + 2 * STALE_MS + 61_000);
  assert.equal(late.said.length, 1);
});

test("what the performer, somebody else or a full disk ended stays ended", async () => {
  for (const end of [
    (films) => films.decide(false),
    (films) => films.heed("a", { state: "stopped" }, 2000),
    (films) => films.heed("a", { state: "failed" }, 2000),
  ]) {
    const { films, asked } = keeper();
    await films.heed("a", ON, 1000);
    await end(films);
    await films.heed("b", null, 3000);
    assert.deepEqual(asked, []);
  }
});

test("a film that is still being ended is not begun anew", async () => {
  const { films, asked } = keeper();
  await films.heed("a", ON, 1000);
  films.decide(false);
  await films.heed("a", ON, 1500);
  await films.heed("b", null, 3000);
  assert.deepEqual(asked, []);
  films.decide(true);
  await films.heed("b", ON, 4000);
  await films.heed("c", null, 5000);
  assert.deepEqual(asked, ["c"]);
});

test("where it cannot go on a warning stays, until something is recorded again", async () => {
  const { films, said } = keeper({ fails: [{ kind: "refused", detail: "no room" }] });
  await films.heed("a", ON, 1000);
  await films.heed("b", null, 3000);
  assert.deepEqual(said, [["lost", "no room"]]);
  await films.heed("b", null, 3500);
  await films.heed("c", null, 4000);
  assert.equal(said.length, 1, "refused once is enough");
  await films.heed("c", ON, 5000);
  assert.deepEqual(said.at(-1), [null, undefined]);
});

test("a daemon that does not answer is asked again in the session after", async () => {
  const { films, asked, said } = keeper({ fails: [{ kind: "gone", detail: "" }] });
  await films.heed("a", ON, 1000);
  await films.heed("b", null, 3000);
  await films.heed("c", null, 9000);
  assert.deepEqual(asked, ["b", "c"]);
  assert.deepEqual(said.map(([code]) => code), ["lost", "resumed"]);
});

test("of the OBS links that were copied the first to end is warned of, in time", () => {
  const kept = store();
  const month = 30 * 86_400_000;
  assert.equal(endingLink(kept, 0), null);
  noteLinkEnd(kept, month, 0);
  noteLinkEnd(kept, month + 10, 10);
  assert.equal(endingLink(kept, month - WARN_MS - 1), null);
  assert.deepEqual(endingLink(kept, month - WARN_MS), { code: "obs-ends", endMs: month });
  noteLinkEnd(kept, 2 * month, month - 1000);
  assert.equal(endingLink(kept, month), null, "a new one was copied after the warning");
  assert.deepEqual(endingLink(kept, 2 * month), { code: "obs-over", endMs: 2 * month });
  assert.equal(endingLink(kept, 2 * month), null, "told once");
  kept.setItem("reenactd.obs-ends", "[1, ");
  assert.equal(endingLink(kept, 0), null);
});

/** Answers by the path: whole, cut off, never ending. */
async function served(run) {
  const server = createServer((request, response) => {
    response.writeHead(201, { Location: "/there", "Content-Length": 10 });
    if (request.url === "/whole") return response.end("0123456789");
    response.write("01234");
    if (request.url === "/cut") setTimeout(() => response.destroy(), 20);
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  try {
    await run(`http://127.0.0.1:${server.address().port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test("an answer is whole or a failure, in its time", async () => {
  const { any } = AbortSignal;
  delete AbortSignal.any;
  await served(async (at) => {
    const response = await fetchWhole(`${at}/whole`, {}, 2000);
    assert.equal(response.status, 201);
    assert.equal(response.headers.get("Location"), "/there");
    assert.equal(await response.text(), "0123456789");
    await assert.rejects(fetchWhole(`${at}/cut`, {}, 2000), TypeError);
    await assert.rejects(fetchWhole(`${at}/endless`, {}, 100), /no answer in 0.1 s/);
    const aborter = new AbortController();
    setTimeout(() => aborter.abort(new Error("hung up")), 50);
    await assert.rejects(fetchWhole(`${at}/endless`, { signal: aborter.signal }, 2000), /hung up/);
    await assert.rejects(fetchWhole(`${at}/whole`, { signal: aborter.signal }, 2000), /hung up/);
  });
  AbortSignal.any = any;
});
