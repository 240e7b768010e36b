/* Which size of the avatar's picture a window needs. Pure. */

export const SIZES = ["full", "half", "quarter"];
const DIVISOR = { full: 1, half: 2, quarter: 4 };
/** The daemon makes no picture lower than that (realtime/sinks/sizes.py). */
const LEAST_HEIGHT_PX = 240;

/**
 * The smallest that is not enlarged by much.
 * @param {{width: number, height: number}} picture of size "full"
 * @param {{width: number, height: number}} box what it is shown in, in device pixels; it fits inside
 * @returns {"full"|"half"|"quarter"}
 */
export function fittingSize(picture, box) {
  const share = Math.min(box.width / picture.width, box.height / picture.height);
  if (share <= 0.27) return "quarter";
  return share <= 0.54 ? "half" : "full";
}

/**
 * What the whole picture measures, as far as the one that came tells it. Asked for as "full" in auto,
 * it is the whole one or, where the link carries no more, the half or the quarter of it.
 * @param {{width: number, height: number}|null} whole as it was before; null: not known
 * @param {{width: number, height: number}} shown the picture that came
 * @param {"full"|"half"|"quarter"} size which was asked for
 */
export function wholeOf(whole, shown, size) {
  const asked = size === "full" ? SIZES : [size];
  if (whole && asked.some((each) => isAlike(scaled(whole, each), shown))) return whole;
  const times = DIVISOR[size];
  return { width: shown.width * times, height: shown.height * times };
}

function scaled({ width, height }, size) {
  const share = Math.max(1 / DIVISOR[size], Math.min(1, LEAST_HEIGHT_PX / height));
  return { width: width * share, height: height * share };
}

/** But for the daemon's rounding to even numbers. */
function isAlike(one, other) {
  return Math.abs(one.width - other.width) <= 2 && Math.abs(one.height - other.height) <= 2;
}
