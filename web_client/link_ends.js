/* When the OBS links end that were copied in this browser. Nobody looks at OBS's page for a warning, so
 * the performer's page warns. Which of them OBS uses is not known: the first to end counts.
 *
 * Pure but for the store. */

const STORE_KEY = "reenactd.obs-ends";
const MOST = 24;
export const WARN_MS = 5 * 86_400_000;

/** A link was copied; one that ends soon needs no more warning, for this takes its place. */
export function noteLinkEnd(store, endMs, nowMs) {
  const others = kept(store).filter((other) => other > nowMs + WARN_MS && other !== endMs);
  keep(store, [...others, endMs].slice(-MOST));
}

/**
 * What to warn of. One that is over is told once.
 * @returns {{code: "obs-ends"|"obs-over", endMs: number}|null}
 */
export function endingLink(store, nowMs) {
  const ends = kept(store);
  const endMs = Math.min(...ends);
  if (endMs > nowMs + WARN_MS) return null; // also of none
  if (endMs > nowMs) return { code: "obs-ends", endMs };
  keep(store, ends.filter((end) => end > nowMs));
  return { code: "obs-over", endMs };
}

function keep(store, ends) {
  try {
    store.setItem(STORE_KEY, JSON.stringify(ends));
  } catch {
    // a full or a closed store: nobody is warned, and the link is as good
  }
}

function kept(store) {
  try {
    return JSON.parse(store.getItem(STORE_KEY) ?? "[]").filter(Number.isFinite);
  } catch {
    return []; // not ours, or cut off: as good as none
  }
}
