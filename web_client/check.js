/* The check that the person at the camera is the one in a picture.
 *
 * The daemon draws the steps, watches them and decides; the page says what to do now, in words, with
 * an arrow, and to screen readers. It asks how it goes several times a second, for a check that
 * nobody asks about loses sight of the face. */

import { beginCheck, fetchCheck, giveUpCheck } from "./api.js";
import { reasonOf } from "./reason.js";
import { CHECK, CHECK_STEPS, fill } from "./words.js";

const ASK_MS = 150;
const CAMERA_PATIENCE_MS = 30_000;
const byId = (id) => document.getElementById(id);

/**
 * @typedef {object} Performance
 * @property {() => Promise<void>} start the camera and a session
 * @property {() => string|null} session its id, while it is live
 * @property {() => MediaStream|null} stream the own camera
 */

export class LiveCheck {
  #performance;
  #onChange;
  #picture = null;
  #run = 0;
  #running = null;
  /** @type {string|null} the id of a check that was passed */
  passed = null;

  /**
   * @param {Performance} performance
   * @param {() => void} onChange it was passed, or no longer is
   */
  constructor(performance, onChange) {
    this.#performance = performance;
    this.#onChange = onChange;
    byId("check-intro").textContent = CHECK.intro;
    byId("check-start").textContent = CHECK.begin;
    byId("check-start").addEventListener("click", () => this.#begin());
    byId("check-stop").addEventListener("click", () => {
      this.forget();
      this.#say(CHECK["given-up"]);
      byId("check-start").focus();
    });
  }

  /** @param {boolean} wanted @param {File|null} picture it is made for */
  show(wanted, picture) {
    this.#picture = picture;
    byId("check").hidden = !wanted;
    byId("check-start").disabled = picture === null;
  }

  /** End what runs; nothing is passed any more. */
  forget() {
    this.#run += 1;
    if (this.#running) giveUpCheck(this.#running).catch(() => {}); // it may have ended by itself
    this.#running = this.passed = null;
    byId("check-start").textContent = CHECK.begin;
    this.#rest();
    this.#say("");
  }

  async #begin() {
    this.forget();
    this.#onChange();
    const mine = this.#run;
    const picture = this.#picture;
    byId("check-start").hidden = true;
    byId("check-stop").hidden = false;
    byId("check-stop").focus();
    byId("enrol-form").dataset.checking = "true";
    byId("check-sign").textContent = byId("check-step").textContent = "";
    try {
      const session = await this.#live(mine);
      if (mine !== this.#run) return;
      this.#say(CHECK.looking);
      byId("check-self").srcObject = this.#performance.stream();
      byId("check-run").hidden = false;
      const state = await beginCheck(picture, session);
      if (mine !== this.#run) return void giveUpCheck(state.check).catch(() => {});
      await this.#watch(mine, state);
    } catch (error) {
      if (mine === this.#run) this.#end(fill(CHECK.failed, reasonOf(error)));
    }
  }

  /** The session, once it is live; the camera is started for it. */
  async #live(mine) {
    if (this.#performance.session()) return this.#performance.session();
    this.#say(CHECK.camera);
    this.#performance.start();
    for (let waited = 0; waited < CAMERA_PATIENCE_MS && mine === this.#run; waited += ASK_MS) {
      await after(ASK_MS);
      if (this.#performance.session()) return this.#performance.session();
    }
    if (mine === this.#run) this.#end(CHECK["no-camera"]);
    this.#run += 1;
    return null;
  }

  async #watch(mine, state) {
    this.#running = state.check;
    while (state.phase !== "passed" && state.phase !== "failed") {
      this.#ask(state);
      await after(ASK_MS);
      if (mine !== this.#run) return;
      state = await fetchCheck(state.check);
      if (mine !== this.#run) return;
    }
    this.#running = null;
    if (state.phase === "failed") return this.#end(fill(CHECK.failed, state.problem));
    this.passed = state.check;
    this.#end(fill(CHECK.passed, `${state.score} apart, at most ${state.threshold} is let through`));
    this.#onChange();
  }

  #ask({ phase, ask, done, of, left_s }) {
    const step = CHECK_STEPS[ask ?? phase];
    byId("check-sign").textContent = step.sign;
    byId("check-step").textContent = `${fill(CHECK.step, `${Math.min(done + 1, of)} of ${of}`)}, ${Math.ceil(left_s)} s`;
    this.#say(step.text);
  }

  /** Back to where it can begin again. */
  #rest() {
    byId("check-run").hidden = true;
    byId("check-self").srcObject = null;
    byId("check-start").hidden = false;
    byId("check-stop").hidden = true;
    delete byId("enrol-form").dataset.checking;
  }

  #end(text) {
    byId("check-start").textContent = CHECK.again;
    this.#rest();
    this.#say(text);
  }

  #say(text) {
    if (byId("check-ask").textContent !== text) byId("check-ask").textContent = text; // once to readers
  }
}

function after(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
