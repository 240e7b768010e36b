/* Adding a person: a picture, whose it is, and why it may be shown.
 *
 * The daemon looks at the picture and says what it found; nothing is kept until the statement is
 * confirmed and the form sent. A release document is hashed here and stays here. */

import { addIdentity, lookAtPicture } from "./api.js";
import { LiveCheck } from "./check.js";
import { reasonOf } from "./reason.js";

const byId = (id) => document.getElementById(id);

export class Enrolment {
  #dialog = byId("enrol");
  #form = byId("enrol-form");
  #onAdded;
  #statements = {};
  #picture = null;
  #looking = 0;
  #check;

  /**
   * @param {(id: string) => void} onAdded
   * @param {import("./check.js").Performance} performance for the check that it is oneself
   */
  constructor(onAdded, performance) {
    this.#onAdded = onAdded;
    this.#check = new LiveCheck(performance, () => this.#show());
    this.#dialog.addEventListener("close", () => this.#check.forget());
    byId("enrol-open").addEventListener("click", () => this.#open());
    byId("enrol-close").addEventListener("click", () => this.#dialog.close());
    byId("enrol-picture").addEventListener("change", () => this.#look());
    byId("enrol-kind").addEventListener("change", () => {
      byId("enrol-agreed").checked = false; // it was another statement
      this.#check.forget();
      this.#show();
    });
    this.#form.addEventListener("input", () => this.#show());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#add();
    });
  }

  #open() {
    this.#form.reset();
    this.#forget();
    this.#dialog.showModal();
  }

  #forget() {
    this.#picture = null;
    this.#check.forget();
    byId("enrol-crop").hidden = true;
    byId("enrol-crop").removeAttribute("src");
    byId("enrol-advice").replaceChildren();
    this.#say("");
    this.#show();
  }

  async #look() {
    this.#forget();
    const [picture] = byId("enrol-picture").files;
    if (!picture) return;
    const mine = (this.#looking += 1);
    this.#say("Looking for the face…");
    try {
      const found = await lookAtPicture(picture);
      if (mine !== this.#looking) return; // another picture was chosen meanwhile
      this.#picture = picture;
      this.#statements = found.statements;
      byId("enrol-crop").src = found.crop;
      byId("enrol-crop").hidden = false;
      const lines = found.advice.length > 0 ? found.advice : ["A good portrait."];
      byId("enrol-advice").replaceChildren(...lines.map(item));
      this.#say("");
    } catch (error) {
      if (mine === this.#looking) this.#say(reasonOf(error));
    }
    this.#show();
  }

  /** The statement of the chosen kind, and whether everything is there. */
  #show() {
    const kind = byId("enrol-kind").value;
    byId("enrol-release-row").hidden = kind !== "third-party";
    byId("enrol-statement").textContent = this.#statements[kind] ?? "";
    byId("enrol-agreed-row").hidden = !this.#statements[kind];
    const released = kind !== "third-party" || byId("enrol-release").files.length > 0;
    this.#check.show(kind === "self", this.#picture);
    const checked = kind !== "self" || this.#check.passed !== null;
    byId("enrol-add").disabled = !(
      this.#picture && byId("enrol-name").value.trim() && byId("enrol-agreed").checked && released && checked
    );
  }

  async #add() {
    const kind = byId("enrol-kind").value;
    byId("enrol-add").disabled = true;
    this.#say("Adding…");
    try {
      const id = await addIdentity(this.#picture, {
        name: byId("enrol-name").value.trim(),
        kind,
        statement: this.#statements[kind],
        expires: byId("enrol-expires").value,
        check: kind === "self" ? this.#check.passed : "",
        release_sha256: kind === "third-party" ? await sha256(byId("enrol-release").files[0]) : "",
      });
      this.#dialog.close();
      this.#onAdded(id);
    } catch (error) {
      this.#say(reasonOf(error));
      this.#show();
    }
  }

  #say(text) {
    byId("enrol-says").textContent = text;
  }
}

async function sha256(file) {
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}


function item(text) {
  return Object.assign(document.createElement("li"), { textContent: text });
}
