// When the page connects, waits, and leaves it to a person.
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  FIRST_DELAY_MS,
  FULL_DELAY_MS,
  INITIAL,
  LONGEST_DELAY_MS,
  MOST_CLOSED,
  PHONE_DELAY_MS,
  SETTLED_MS,
  step,
} from "../../web_client/link.js";

/** Run events one after another; the last state and the last step's commands. */
function run(...events) {
  let state = INITIAL;
  let commands = [];
  for (const event of events) ({ state, commands } = step(state, { random: 0.5, ...event }));
  return { state, commands, does: commands.map((command) => command.do) };
}

const UP = [{ type: "open" }, { type: "checked" }, { type: "start" }, { type: "checked" }];
const LIVE = [...UP, { type: "connected" }];

test("a page that is opened looks for the daemon and does not connect", () => {
  const { state, does } = run({ type: "open" }, { type: "checked" });
  assert.equal(state.phase, "ready");
  assert.deepEqual(does, []);
});

test("start looks again before it connects", () => {
  assert.deepEqual(run(...UP.slice(0, 3)).does, ["check"]);
  const { state, does } = run(...UP);
  assert.equal(state.phase, "connecting");
  assert.deepEqual(does, ["connect"]);
});

test("a start before the first check is done is not forgotten", () => {
  const { state, does } = run({ type: "open" }, { type: "start" }, { type: "checked" });
  assert.equal(state.phase, "connecting");
  assert.deepEqual(does, ["connect"]);
});

test("a lost session hangs up, waits, and comes back by itself", () => {
  const lost = run(...LIVE, { type: "lost", livedMs: SETTLED_MS });
  assert.deepEqual(lost.commands, [{ do: "hangup" }, { do: "wait", ms: FIRST_DELAY_MS }]);
  assert.equal(lost.state.problem, "lost");
  const back = run(
    ...LIVE,
    { type: "lost", livedMs: SETTLED_MS },
    { type: "retry" },
    { type: "checked" },
    { type: "connected" },
  );
  assert.equal(back.state.phase, "live");
  assert.equal(back.state.problem, null);
});

test("delays double and stop growing", () => {
  const delays = [];
  let state = run(...UP).state;
  for (let at = 0; at < 8; at++) {
    const next = step(state, { type: "failed", kind: "gone", random: 0.5 });
    delays.push(next.commands.at(-1).ms);
    ({ state } = step(next.state, { type: "retry" }));
  }
  assert.deepEqual(delays.slice(0, 3), [FIRST_DELAY_MS, 2 * FIRST_DELAY_MS, 4 * FIRST_DELAY_MS]);
  assert.equal(delays.at(-1), LONGEST_DELAY_MS);
});

test("delays are spread by a fifth either way", () => {
  const delay = (random) => run(...UP, { type: "failed", kind: "gone", random }).commands.at(-1).ms;
  assert.equal(delay(0), 0.8 * FIRST_DELAY_MS);
  assert.equal(delay(1), 1.2 * FIRST_DELAY_MS);
});

test("a phone that does not send yet is looked for at a steady pace", () => {
  const again = [{ type: "failed", kind: "phone" }, { type: "retry" }, { type: "checked" }];
  for (const tries of [0, 1, 5]) {
    const events = [...UP, ...Array(tries).fill(again).flat(), { type: "failed", kind: "phone" }];
    const { state, commands } = run(...events);
    assert.equal(state.problem, "phone");
    assert.deepEqual(commands.at(-1), { do: "wait", ms: PHONE_DELAY_MS });
  }
});

test("a full daemon is asked again at a steady pace", () => {
  const { state, commands } = run(...UP, { type: "failed", kind: "full" });
  assert.equal(state.problem, "full");
  assert.equal(commands.at(-1).ms, FULL_DELAY_MS);
});

test("a wrong token and a refusal are not tried again", () => {
  for (const kind of ["token-missing", "token-wrong", "refused"]) {
    const { state, does } = run({ type: "open" }, { type: "failed", kind, detail: "why" });
    assert.equal(state.phase, "blocked");
    assert.equal(state.problem, kind);
    assert.equal(state.detail, "why");
    assert.deepEqual(does, ["hangup"]);
  }
});

test("a new token looks again, and still connects what was wanted", () => {
  const { state } = run(
    ...LIVE,
    { type: "lost", livedMs: 0 },
    { type: "retry" },
    { type: "failed", kind: "token-wrong" },
    { type: "token" },
    { type: "checked" },
  );
  assert.equal(state.phase, "connecting");
});

test("a session that the daemon keeps ending early is left for a person", () => {
  const round = [{ type: "closed", detail: "too large", livedMs: 100 }];
  const events = [...UP];
  for (let at = 1; at < MOST_CLOSED; at++) {
    events.push(...round, { type: "retry" }, { type: "checked" });
    assert.equal(run(...events).state.phase, "connecting");
  }
  const { state } = run(...events, ...round);
  assert.equal(state.phase, "blocked");
  assert.equal(state.problem, "closed");
  assert.equal(state.detail, "too large");
});

test("a daemon that ends itself is waited for, however young its sessions were", () => {
  const end = { type: "closed", detail: "shutting down", livedMs: 100, ending: true };
  const events = [...LIVE];
  for (let at = 0; at < 2 * MOST_CLOSED; at++) {
    const { state, does } = run(...events, end);
    assert.equal(state.problem, "ended");
    assert.deepEqual(does, ["hangup", "wait"]);
    events.push(end, { type: "retry" }, { type: "checked" }, { type: "connected" });
  }
});

test("a session that ended after a good while is always tried again", () => {
  const events = [...LIVE];
  for (let at = 0; at < 2 * MOST_CLOSED; at++) {
    events.push({ type: "closed", detail: "restarting", livedMs: SETTLED_MS });
    assert.equal(run(...events).state.phase, "waiting");
    events.push({ type: "retry" }, { type: "checked" }, { type: "connected" });
  }
});

test("stop ends a session, and a wait, for good", () => {
  assert.deepEqual(run(...LIVE, { type: "stop" }).does, ["hangup"]);
  assert.equal(run(...LIVE, { type: "stop" }).state.phase, "ready");
  const waiting = [...UP, { type: "failed", kind: "gone" }, { type: "stop" }];
  const { state } = run(...waiting, { type: "retry" }, { type: "checked" });
  assert.equal(state.phase, "ready");
  assert.equal(state.problem, null);
});

test("news of a session that is over changes nothing", () => {
  const over = run(...LIVE, { type: "stop" }).state;
  for (const type of ["lost", "closed", "connected"]) {
    assert.equal(step(over, { type, livedMs: 0 }).state, over);
  }
});

test("an unknown event is a fault, not a shrug", () => {
  assert.throws(() => step(INITIAL, { type: "hello" }), /"hello" is not known/);
});
