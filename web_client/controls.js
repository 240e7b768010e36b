/* What the performer changes live: sliders, background, mirror. Builds the sliders, keeps the
 * values in localStorage, and reports each change as one whole set of values.
 *
 * Knows the names and ranges of the daemon's Controls, not how they are sent. */

import { BACKGROUND } from "./words.js";

const STORE_KEY = "reenactd.controls";

/** name, label, what it does, range, value at rest; gains are 0 off, 1 as performed */
const SLIDERS = [
  ["expression", "Expression", "All of mouth, blink, brows and gaze", 2, 1],
  ["mouth", "Mouth", "How far the mouth follows yours", 2, 1],
  ["blink", "Blink", "How far the lids follow yours", 2, 1],
  ["brows", "Brows", "How far the brows follow yours", 2, 1],
  ["gaze", "Gaze", "How far the eyes turn with yours", 2, 1],
  ["head", "Head", "How far the head turns with yours", 2, 1],
  ["smoothing", "Smoothing", "Low is fast, high is calm", 1, 0.5],
];
const RESTING = Object.freeze({
  ...Object.fromEntries(SLIDERS.map(([name, , , , rest]) => [name, rest])),
  background: "identity",
  color: "#00b140",
  mirror: false,
});

export class Controls {
  #values;
  #onChange;
  #rows = new Map();
  #page = Object.fromEntries(
    ["sliders", "background", "background-hint", "color", "color-label", "color-value", "mirror"].map(
      (id) => [id, document.getElementById(id)],
    ),
  );

  /** @param {(values: object) => void} onChange */
  constructor(onChange) {
    this.#onChange = onChange;
    this.#values = stored();
    for (const slider of SLIDERS) this.#page.sliders.append(this.#row(...slider));
    this.#page.background.addEventListener("change", ({ target }) =>
      this.#set({ background: target.value }),
    );
    this.#page.color.addEventListener("input", ({ target }) => this.#set({ color: target.value }));
    this.#page.mirror.addEventListener("click", () => this.toggleMirror());
    this.#show();
  }

  /** The whole set, as the daemon's Controls names it. */
  get values() {
    return { ...this.#values };
  }

  /** Use a set that was kept; what makes no sense in it is at rest. */
  use(values) {
    this.#set(sensible(values));
  }

  toggleMirror() {
    this.#set({ mirror: !this.#values.mirror });
  }

  nextBackground() {
    const kinds = Object.keys(BACKGROUND);
    const next = (kinds.indexOf(this.#values.background) + 1) % kinds.length;
    this.#set({ background: kinds[next] });
  }

  /** Sliders back to rest; background and mirror are choices, not settings, and stay. */
  resetSliders() {
    this.#set(Object.fromEntries(SLIDERS.map(([name, , , , rest]) => [name, rest])));
  }

  #set(change) {
    this.#values = { ...this.#values, ...change };
    localStorage.setItem(STORE_KEY, JSON.stringify(this.#values));
    this.#show();
    this.#onChange(this.values);
  }

  #row(name, label, hint, max, rest) {
    const row = element("div", { className: "slider", title: `${hint}. Double-click: reset` });
    const id = `slider-${name}`;
    const input = element("input", { type: "range", id, min: 0, max, step: max / 40 });
    const output = element("output", { htmlFor: id });
    row.append(element("label", { htmlFor: id, textContent: label }), output, input);
    input.style.setProperty("--rest", rest / max);
    input.addEventListener("input", () => this.#set({ [name]: input.valueAsNumber }));
    row.addEventListener("dblclick", () => this.#set({ [name]: rest }));
    input.addEventListener("keydown", (event) => {
      if (event.key === "Delete" || event.key === "Backspace") this.#set({ [name]: rest });
    });
    this.#rows.set(name, { row, input, output, max, rest });
    return row;
  }

  #show() {
    for (const [name, { row, input, output, max, rest }] of this.#rows) {
      const value = this.#values[name];
      const percent = `${Math.round(value * 100)} %`;
      input.value = value;
      input.setAttribute("aria-valuetext", percent);
      input.style.setProperty("--fill", value / max);
      output.value = percent;
      row.dataset.rest = Math.abs(value - rest) < 1e-6;
    }
    const { background, color, mirror } = this.#values;
    this.#page.background.querySelector(`[value="${background}"]`).checked = true;
    this.#page["background-hint"].textContent = BACKGROUND[background];
    this.#page["background-hint"].dataset.reveals = background === "blur" || background === "camera";
    this.#page["color-label"].hidden = background !== "color";
    this.#page["color-value"].textContent = color;
    this.#page.color.value = color;
    this.#page.mirror.setAttribute("aria-pressed", mirror);
  }
}

function stored() {
  try {
    return sensible(JSON.parse(localStorage.getItem(STORE_KEY)) ?? {});
  } catch {
    return { ...RESTING }; // not ours, or cut off: as good as none
  }
}

/** What was kept, as far as it still makes sense. */
function sensible(kept) {
  const values = { ...RESTING };
  for (const [name, , , max] of SLIDERS) {
    if (Number.isFinite(kept[name])) values[name] = Math.min(Math.max(kept[name], 0), max);
  }
  if (kept.background in BACKGROUND) values.background = kept.background;
  if (/^#[0-9a-f]{6}$/.test(kept.color)) values.color = kept.color;
  if (typeof kept.mirror === "boolean") values.mirror = kept.mirror;
  return values;
}

function element(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}
