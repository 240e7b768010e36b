/* Newest wins: at most one call per interval, and the last value always goes out. */

/**
 * @template T
 * @param {(value: T) => void} act
 * @param {number} intervalMs
 * @param {(run: () => void, ms: number) => void} [later] setTimeout, or a test's own
 * @returns {(value: T) => void}
 */
export function newestWins(act, intervalMs, later = setTimeout) {
  let resting = false;
  let waiting = null;
  const rest = () => {
    resting = true;
    later(() => {
      resting = false;
      if (waiting) offer(waiting.value);
    }, intervalMs);
  };
  const offer = (value) => {
    waiting = resting ? { value } : null;
    if (waiting) return;
    act(value);
    rest();
  };
  return offer;
}
