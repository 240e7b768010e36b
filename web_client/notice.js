/* Decides what the stage says, from everything the page knows. Pure: no DOM, no clock.
 *
 * The most urgent fact wins: a page without token cannot talk to the daemon, a camera that is
 * denied makes all else moot, then the connection, then what the daemon reports. */

/**
 * @typedef {object} View
 * @property {{phase: "off"|"asking"|"on"|"error", problem: string|null, detail: string}} camera
 * @property {import("./link.js").LinkState} link
 * @property {object|null} stats the last stats message of the session, if any
 * @property {boolean} [loading] the daemon has not loaded its networks yet
 * @property {number|null} [endsWithinS] the daemon has said that it ends; 0: at once
 */

/**
 * @param {View} view
 * @returns {{code: string, detail: string, over: boolean}|null}
 *   the key in WORDS; `over`: it may cover the picture, because there is none worth seeing
 */
export function noticeFor({ camera, link, stats, loading = false, endsWithinS = null }) {
  const over = (code, detail = "") => ({ code, detail, over: true });
  if (link.problem === "token-missing" || link.problem === "token-wrong") return over(link.problem);
  if (camera.phase === "asking") return over("asking");
  if (camera.phase === "error") return over(camera.problem, camera.detail);
  if (link.problem) return over(link.problem, link.detail);
  if (link.phase === "checking") return over(link.wanted ? "connecting" : "checking");
  if (link.phase === "ready") return over("idle");
  if (link.phase === "connecting") return over(loading ? "loading" : "connecting");
  if (endsWithinS) return { code: "ending", detail: `${endsWithinS}`, over: false };
  return stats ? liveNotice(stats) : over("connecting");
}

/** What to say below a running picture; null when all is well. */
function liveNotice(stats) {
  const under = (code, detail = "") => ({ code, detail, over: false });
  if (stats.state === "LIVE") return stats.unrecorded ? under("unrecorded", stats.unrecorded) : null;
  if (stats.state === "START" && stats.reason === "starting") return under("start");
  if (stats.face && stats.face !== "ok") return under(`face-${stats.face}`);
  if (!stats.calibrated) return under("calibrating");
  if (stats.state === "HOLD") return under("hold", stats.reason);
  if (stats.state === "CARD") return under("card", stats.reason);
  return under("start");
}
