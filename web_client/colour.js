/* The page's accent: the colour of the clothes of whoever is on stage. Pure.
 *
 * OKLab after B. Ottosson, "A perceptual color space for image processing" (2020). */

/**
 * @param {Uint8ClampedArray} rgba pixels; transparent ones do not count
 * @returns {{hue: number, chroma: number}} OKLCh hue in degrees, chroma as CSS oklch() has it
 */
export function meanColour(rgba) {
  let [red, green, blue, weight] = [0, 0, 0, 0];
  for (let at = 0; at < rgba.length; at += 4) {
    const alpha = rgba[at + 3] / 255;
    red += alpha * linear(rgba[at]);
    green += alpha * linear(rgba[at + 1]);
    blue += alpha * linear(rgba[at + 2]);
    weight += alpha;
  }
  if (weight === 0) return { hue: 0, chroma: 0 };
  const [a, b] = oklabAb(red / weight, green / weight, blue / weight);
  return { hue: ((Math.atan2(b, a) * 180) / Math.PI + 360) % 360, chroma: Math.hypot(a, b) };
}

/** sRGB 0..255 -> linear 0..1 (IEC 61966-2-1) */
function linear(value) {
  const v = value / 255;
  return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
}

function oklabAb(r, g, b) {
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}
