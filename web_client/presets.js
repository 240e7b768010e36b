/* Looks that a performer keeps under a name: all of the controls, and who is on stage. They stay in
 * this browser.
 *
 * Knows neither sliders nor the daemon: it is asked what is in use, and says what to use. */

const STORE_KEY = "reenactd.presets";
const MOST = 24;
const LONGEST_NAME = 40;

export class Presets {
  #presets = stored();
  #now;
  #use;
  #page = Object.fromEntries(
    ["preset", "preset-keep", "preset-drop", "preset-form", "preset-name"].map((id) => [
      id,
      document.getElementById(id),
    ]),
  );

  /**
   * @param {() => {values: object, identity: string}} now what is in use
   * @param {(preset: {name: string, values: object, identity: string}) => void} use
   */
  constructor(now, use) {
    this.#now = now;
    this.#use = use;
    const { preset, "preset-keep": keep, "preset-drop": drop, "preset-form": form } = this.#page;
    preset.addEventListener("change", () => this.#choose(preset.value));
    keep.addEventListener("click", () => this.#ask());
    drop.addEventListener("click", () => this.#drop(preset.value));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#keep();
    });
    form.addEventListener("keydown", (event) => event.key === "Escape" && this.#showForm(false));
    this.show();
  }

  /** Name the preset that is in use, if it is one. */
  show() {
    const now = comparable(this.#now());
    const used = this.#presets.find((kept) => comparable(kept) === now);
    const { preset, "preset-drop": drop } = this.#page;
    const none = new Option(this.#presets.length > 0 ? "Own settings" : "No presets yet", "");
    none.hidden = this.#presets.length > 0;
    preset.replaceChildren(none, ...this.#presets.map(({ name }) => new Option(name, name)));
    preset.value = used?.name ?? "";
    preset.disabled = this.#presets.length === 0;
    drop.hidden = !used;
  }

  #choose(name) {
    const chosen = this.#presets.find((kept) => kept.name === name);
    if (chosen) this.#use(chosen);
    this.show();
  }

  #ask() {
    this.#page["preset-name"].value = this.#page.preset.value;
    this.#showForm(true);
    this.#page["preset-name"].select();
  }

  /** The newest of a name counts; of too many, the oldest goes. */
  #keep() {
    const name = this.#page["preset-name"].value.trim().slice(0, LONGEST_NAME);
    if (!name) return;
    const others = this.#presets.filter((kept) => kept.name !== name);
    this.#store([...others, { name, ...this.#now() }].slice(-MOST));
    this.#showForm(false);
  }

  #drop(name) {
    this.#store(this.#presets.filter((kept) => kept.name !== name));
    this.#page["preset-keep"].focus(); // the button that had it is gone
  }

  #store(presets) {
    this.#presets = presets;
    localStorage.setItem(STORE_KEY, JSON.stringify(presets));
    this.show();
  }

  #showForm(shown) {
    this.#page["preset-form"].hidden = !shown;
    this.#page["preset-keep"].setAttribute("aria-expanded", shown);
    this.#page[shown ? "preset-name" : "preset-keep"].focus();
  }
}

/** Equal for equal looks, whatever the order of their values. */
function comparable({ values, identity }) {
  return JSON.stringify([identity, Object.entries(values).sort()]);
}

/** What was kept, as far as it still makes sense; values are checked where they are used. */
function stored() {
  let kept;
  try {
    kept = JSON.parse(localStorage.getItem(STORE_KEY));
  } catch {
    return []; // not ours, or cut off: as good as none
  }
  if (!Array.isArray(kept)) return [];
  return kept
    .filter((one) => typeof one?.name === "string" && one.values && typeof one.identity === "string")
    .slice(-MOST);
}
