/* When the page checks, connects, waits and gives up: the decisions only, as a pure reducer.
 *
 *   checking -> ready -> connecting -> live          the way up; `wanted` says how far to go
 *       ^         |          |          |
 *       +------ waiting <----+----------+            try again by itself, ever more slowly
 *   blocked                                          only a person can help: token, refusal
 *
 * Knows no timers, sockets or DOM: `step` returns the next state and the commands to carry out
 * (check, connect, hangup, wait), and whoever carries them out reports back with an event. */

export const FIRST_DELAY_MS = 500;
export const LONGEST_DELAY_MS = 8000;
export const FULL_DELAY_MS = 4000;
/** How often a page that shows a phone's session looks whether it has begun. */
export const PHONE_DELAY_MS = 1500;
/** A session that lived this long was a good one: the next delay starts small again. */
export const SETTLED_MS = 10_000;
/** Sessions in a row that the daemon itself ended early, before the page stops asking. */
export const MOST_CLOSED = 3;

/**
 * @typedef {object} LinkState
 * @property {"checking"|"ready"|"connecting"|"live"|"waiting"|"blocked"} phase
 * @property {boolean} wanted the performer wants a session
 * @property {number} attempt failures in a row
 * @property {string|null} problem key of WORDS
 * @property {string} detail the daemon's own words, if any
 */

/** @type {LinkState} */
export const INITIAL = Object.freeze({
  phase: "checking",
  wanted: false,
  attempt: 0,
  problem: null,
  detail: "",
});

/**
 * @param {LinkState} state
 * @param {{type: string, kind?: string, detail?: string, livedMs?: number, ending?: boolean,
 *   random?: number}} event
 *   open | checked | start | stop | connected | retry | token: no more fields.
 *   failed: a check or a connection did not come about; `kind` gone, token-missing, token-wrong,
 *   full, phone or refused. lost: it broke after `livedMs`. closed: the daemon ended it, see `detail`;
 *   with `ending`, because it ends itself, which is nothing about this session.
 *   `random` 0..1 spreads the delays of several pages.
 * @returns {{state: LinkState, commands: {do: string, ms?: number}[]}}
 */
export function step(state, event) {
  switch (event.type) {
    case "open":
    case "token":
    case "retry":
      return to(state, { phase: "checking" }, [{ do: "hangup" }, { do: "check" }]);
    case "checked":
      return checked(state);
    case "start":
      return start(state);
    case "stop":
      return stop(state);
    case "connected":
      if (state.phase !== "connecting") return stay(state);
      return to(state, { phase: "live", problem: null, detail: "" });
    case "failed":
      return failed(state, event);
    case "lost":
      if (!isUp(state)) return stay(state);
      return wait(settle(state, event), "lost", "", event.random);
    case "closed":
      return closed(state, event);
    default:
      throw new Error(`link event "${event.type}" is not known`);
  }
}

const stay = (state) => ({ state, commands: [] });
const isUp = (state) => state.phase === "connecting" || state.phase === "live";

function to(state, change, commands = []) {
  return { state: Object.freeze({ ...state, ...change }), commands };
}

function checked(state) {
  if (state.phase !== "checking") return stay(state);
  if (state.wanted) return to(state, { phase: "connecting" }, [{ do: "connect" }]);
  return to(state, { phase: "ready", attempt: 0, problem: null, detail: "" });
}

function start(state) {
  const wanted = { ...state, wanted: true };
  if (isUp(state) || state.phase === "checking") return to(wanted, {});
  return to(wanted, { phase: "checking", problem: null, detail: "" }, [{ do: "check" }]);
}

function stop(state) {
  const unwanted = { ...state, wanted: false, attempt: 0 };
  if (state.problem?.startsWith("token")) return to(unwanted, {}, [{ do: "hangup" }]);
  if (state.phase === "checking" || state.phase === "waiting") return to(unwanted, {});
  return to(unwanted, { phase: "ready", problem: null, detail: "" }, [{ do: "hangup" }]);
}

function failed(state, { kind, detail = "", random }) {
  if (["gone", "full", "phone"].includes(kind)) return wait(state, kind, detail, random);
  return to(state, { phase: "blocked", problem: kind, detail }, [{ do: "hangup" }]);
}

/** The daemon ended it, for a reason. One that keeps ending early is left for a person to judge. */
function closed(state, event) {
  if (!isUp(state)) return stay(state);
  const settled = settle(state, event);
  const { detail = "", random } = event;
  if (event.ending) return wait(settled, "ended", "", random);
  if (settled.attempt + 1 < MOST_CLOSED) return wait(settled, "closed", detail, random);
  return to(state, { phase: "blocked", problem: "closed", detail }, [{ do: "hangup" }]);
}

function settle(state, { livedMs = 0 }) {
  return livedMs >= SETTLED_MS ? { ...state, attempt: 0 } : state;
}

function wait(state, problem, detail, random = 0.5) {
  const grown = Math.min(FIRST_DELAY_MS * 2 ** state.attempt, LONGEST_DELAY_MS);
  const steady = { full: FULL_DELAY_MS, phone: PHONE_DELAY_MS };
  const ms = Math.round((steady[problem] ?? grown) * (0.8 + 0.4 * random));
  const change = { phase: "waiting", attempt: state.attempt + 1, problem, detail };
  return to(state, change, [{ do: "hangup" }, { do: "wait", ms }]);
}
