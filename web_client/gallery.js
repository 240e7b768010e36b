/* The identities to choose from: portraits, the consent statement of the chosen one, its poster on
 * the empty stage, and the page's accent colour.
 *
 * Portraits need the access token, so they are fetched and drawn on canvases; nothing is given to
 * an <img>. Switching is asked for through a callback and shown as done only when the daemon says
 * so. */

import { ApiError, fetchPortrait } from "./api.js";
import { meanColour } from "./colour.js";
import { PROOF } from "./words.js";

const STORE_KEY = "reenactd.identity";
const TILE_PX = 160;

export class Gallery {
  #list = document.getElementById("gallery");
  #poster = document.getElementById("poster");
  #cards = new Map();
  #onChoose;

  /** @param {(id: string) => void} onChoose */
  constructor(onChoose) {
    this.#onChoose = onChoose;
    this.#list.addEventListener("change", ({ target }) => this.choose(target.value));
  }

  /** The chosen identity's id; null until the daemon's list is here. */
  get chosen() {
    const id = localStorage.getItem(STORE_KEY);
    return this.#cards.has(id) ? id : null;
  }

  nameOf(id) {
    return this.#cards.get(id)?.identity.name ?? id;
  }

  /** Show the daemon's list; keep the choice if it is still in it. */
  async fill(identities, fallback) {
    const known = [...this.#cards.keys()].join();
    if (known !== identities.map(({ id }) => id).join()) {
      this.#cards.clear();
      this.#list.replaceChildren(...identities.map((identity, at) => this.#card(identity, at + 1)));
      await Promise.all([...this.#cards.values()].map((card) => draw(card)));
    }
    this.showChosen(this.chosen ?? fallback);
  }

  /** Ask for an identity; the card waits until `showChosen` confirms it. */
  choose(id) {
    if (!this.#cards.has(id)) return;
    localStorage.setItem(STORE_KEY, id);
    this.showChosen(id);
    this.#onChoose(id);
  }

  /** @param {number} position 1 is the first */
  chooseAt(position) {
    const id = [...this.#cards.keys()][position - 1];
    if (id) this.choose(id);
  }

  /** Mark the identity that a session is switching to; null when the switch is done. */
  await(id) {
    for (const [key, { label }] of this.#cards) label.setAttribute("aria-busy", key === id);
  }

  showChosen(id) {
    const card = this.#cards.get(id);
    if (!card) return;
    localStorage.setItem(STORE_KEY, id);
    card.input.checked = true;
    document.getElementById("consent-name").textContent = card.identity.name;
    document.getElementById("consent-text").textContent = consentWords(card.identity);
    if (card.portrait) {
      this.#drawPoster(card.portrait);
      document.documentElement.style.setProperty("--accent-hue", card.colour.hue.toFixed(1));
      const chroma = Math.min(Math.max(card.colour.chroma * 1.2, 0.02), 0.13);
      document.documentElement.style.setProperty("--accent-chroma", chroma.toFixed(3));
    }
  }

  #card(identity, position) {
    const label = make("label", { className: "card", title: identity.statement });
    const input = make("input", { type: "radio", name: "identity", value: identity.id });
    if (position < 10) input.setAttribute("aria-keyshortcuts", position);
    const canvas = make("canvas", { width: TILE_PX, height: TILE_PX });
    canvas.setAttribute("aria-hidden", "true");
    label.append(input, canvas, make("span", { className: "card-name", textContent: identity.name }));
    this.#cards.set(identity.id, { identity, label, input, canvas, portrait: null, colour: null });
    return label;
  }

  #drawPoster(portrait) {
    const { width, height } = this.#poster;
    const side = height * 1.04; // beside the words, which stand on the left
    const context = this.#poster.getContext("2d");
    context.clearRect(0, 0, width, height);
    context.drawImage(portrait, width * 0.66 - side / 2, height * 0.04, side, side);
  }
}

/** The statement; and of oneself, whether it was checked. */
function consentWords({ kind, statement, proof }) {
  return kind === "self" ? `${statement} ${PROOF[proof]}` : statement;
}

async function draw(card) {
  try {
    card.portrait = await fetchPortrait(card.identity.portrait);
  } catch (error) {
    if (error instanceof ApiError && error.kind !== "refused") throw error;
    return; // this one's picture is damaged: its card stays empty, and the daemon says why
  }
  const context = card.canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(card.portrait, 0, 0, TILE_PX, TILE_PX);
  const clothes = context.getImageData(0, TILE_PX * 0.85, TILE_PX, TILE_PX * 0.15).data;
  card.colour = meanColour(clothes);
}

function make(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}
