/* The stage: the avatar's picture or the poster, the notice over or under it, the lamp, the toast,
 * the warnings, full screen. Shows what it is told; decides nothing. */

import { ACTIONS, LAMP, TOASTS, WARNINGS, WORDS, fill } from "./words.js";

const TOAST_MS = 4000;
const byId = (id) => document.getElementById(id);

export class Stage {
  #root = byId("stage");
  #video = byId("avatar");
  #shown = null;
  #toastTimer = 0;
  #warnings = new Map();

  /** @param {(action: "start"|"retry") => void} onAction */
  constructor(onAction, onToken) {
    byId("notice-action").addEventListener("click", ({ target }) => onAction(target.dataset.action));
    byId("token-form").addEventListener("submit", (event) => {
      event.preventDefault();
      onToken(byId("token").value);
      byId("token").value = "";
    });
    byId("warnings-close").addEventListener("click", () => {
      this.#warnings.clear();
      this.#showWarnings();
    });
  }

  /** The returned picture's shape, which the daemon knows. */
  setShape({ width, height }) {
    document.documentElement.style.setProperty("--aspect", (width / height).toFixed(4));
    const poster = byId("poster");
    if (poster.width === width * 2 && poster.height === height * 2) return;
    [poster.width, poster.height] = [width * 2, height * 2];
  }

  /** @param {MediaStream|null} stream */
  setVideo(stream) {
    this.#video.srcObject = stream;
  }

  /**
   * @param {{code: string, detail: string, over: boolean}|null} notice
   * @param {keyof typeof LAMP} lamp
   * @param {boolean} live a picture of the daemon is on the stage
   */
  show(notice, lamp, live) {
    byId("lamp").dataset.state = lamp;
    byId("lamp-word").textContent = LAMP[lamp];
    document.title = lamp === "off" ? "reenactd" : `${LAMP[lamp]} – reenactd`;
    this.#root.dataset.live = live;
    this.#root.dataset.state = lamp;
    const key = JSON.stringify(notice);
    if (key === this.#shown) return; // or a screen reader would hear it twice a second
    this.#shown = key;
    this.#showNotice(notice);
  }

  toast(code, detail = "") {
    const toast = byId("toast");
    toast.textContent = fill(TOASTS[code], detail);
    toast.hidden = false;
    clearTimeout(this.#toastTimer);
    this.#toastTimer = setTimeout(() => (toast.hidden = true), TOAST_MS);
  }

  /** Say it until it is closed, or taken back. */
  warn(code, detail = "") {
    this.#warnings.set(code, fill(WARNINGS[code], detail));
    this.#showWarnings();
  }

  /** That is no longer so. */
  unwarn(...codes) {
    for (const code of codes) this.#warnings.delete(code);
    this.#showWarnings();
  }

  async toggleFullScreen() {
    if (document.fullscreenElement) return document.exitFullscreen();
    if (!document.fullscreenEnabled) return this.toast("no-fullscreen");
    return this.#root.requestFullscreen();
  }

  #showWarnings() {
    const words = [...this.#warnings.values()].join(" ");
    byId("warnings").hidden = words === "";
    if (byId("warnings-text").textContent !== words) byId("warnings-text").textContent = words;
  }

  #showNotice(notice) {
    const box = byId("notice");
    box.hidden = notice === null;
    if (notice === null) {
      byId("status").textContent = "";
      return;
    }
    const { title, text, action, tone = "plain" } = WORDS[notice.code];
    const said = fill(text, notice.detail);
    box.dataset.tone = tone;
    box.dataset.code = notice.code;
    box.dataset.over = notice.over;
    byId("notice-title").textContent = title;
    byId("notice-text").textContent = said;
    byId("status").textContent = `${title}. ${said}`;
    byId("token-form").hidden = action !== "token";
    const button = byId("notice-action");
    button.hidden = !ACTIONS[action];
    button.textContent = ACTIONS[action] ?? "";
    button.dataset.action = action ?? "";
  }
}
