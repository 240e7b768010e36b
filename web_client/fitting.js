/* Which size of the avatar's picture a window needs. Pure. */

export const SIZES = ["full", "half", "quarter"];

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
