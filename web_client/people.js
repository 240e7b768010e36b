/* The identities that did not ship: whom there is, whether they may be used; revoke, delete, export,
 * import. Nothing is done without a question, and revoking asks why. */

import { deletePerson, exportPerson, fetchPeople, importPerson, revokePerson } from "./api.js";
import { reasonOf } from "./reason.js";
import { fill, PEOPLE, PROOF } from "./words.js";

const SUFFIX = ".reenactd-identity";
const byId = (id) => document.getElementById(id);

export class People {
  #dialog = byId("people");
  #onChange;
  #asked = null;

  /** @param {() => Promise<void>} onChange somebody came or went */
  constructor(onChange) {
    this.#onChange = onChange;
    byId("people-open").addEventListener("click", () => this.#open());
    byId("people-cancel").addEventListener("click", () => this.#ask(null));
    byId("people-ask").addEventListener("submit", (event) => {
      event.preventDefault();
      const { act } = this.#asked;
      const reason = byId("people-reason").value.trim();
      this.#ask(null);
      this.#work(() => act(reason));
    });
    byId("people-file").addEventListener("change", ({ target }) => {
      const [file] = target.files;
      if (file) this.#work(() => this.#import(file));
      target.value = "";
    });
  }

  async #open() {
    this.#ask(null);
    this.#say("");
    this.#dialog.showModal();
    await this.#work(async () => "");
  }

  /** Do something, say what became of it, and show who is there then. */
  async #work(act) {
    try {
      const said = await act();
      this.#fill(await fetchPeople());
      this.#say(said);
      if (said) await this.#onChange();
    } catch (error) {
      this.#say(reasonOf(error));
    }
  }

  #fill(people) {
    const rows = people.map((person) => this.#row(person));
    byId("people-list").replaceChildren(...(rows.length > 0 ? rows : [make("li", PEOPLE.none)]));
  }

  #row({ id, name, kind, proof, problem }) {
    const row = make("li");
    const words = make("div");
    const about = problem
      ? fill(PEOPLE.problem, problem)
      : fill(PEOPLE.usable, `${kind}. ${PROOF[proof]}`);
    words.append(make("strong", name), make("span", about));
    const buttons = make("div");
    buttons.className = "check-buttons";
    if (!problem) {
      buttons.append(
        this.#button("Export", name, () => this.#work(() => this.#export(id, name))),
        this.#button("Revoke", name, () =>
          this.#ask("revoke", name, async (reason) => {
            await revokePerson(id, reason);
            return fill(PEOPLE.revoked, name);
          }),
        ),
      );
    }
    buttons.append(
      this.#button("Delete", name, () =>
        this.#ask("delete", name, async () => {
          await deletePerson(id);
          return fill(PEOPLE.deleted, name);
        }),
      ),
    );
    row.append(words, buttons);
    return row;
  }

  #button(word, name, act) {
    const button = make("button", word);
    button.type = "button";
    button.className = "button";
    button.setAttribute("aria-label", `${word} ${name}`);
    button.addEventListener("click", act);
    return button;
  }

  /**
   * A question, instead of the list's end; null takes it away.
   * @param {"revoke"|"delete"|"trust"|null} what
   */
  #ask(what, detail = "", act = null) {
    this.#asked = what && { act };
    byId("people-ask").hidden = !what;
    byId("people-import-row").hidden = Boolean(what);
    byId("people-reason-row").hidden = what !== "revoke";
    byId("people-reason").required = what === "revoke";
    byId("people-reason").value = "";
    if (!what) return;
    this.#say("");
    byId("people-question").textContent = fill(PEOPLE[what], detail);
    byId("people-do").textContent = PEOPLE[`${what}-do`];
    byId(what === "revoke" ? "people-reason" : "people-cancel").focus();
  }

  async #export(id, name) {
    const address = URL.createObjectURL(await exportPerson(id));
    Object.assign(make("a"), { href: address, download: `${id}${SUFFIX}` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
    return fill(PEOPLE.exported, name);
  }

  async #import(file, trust = "") {
    try {
      return fill(PEOPLE.imported, await importPerson(file, trust));
    } catch (error) {
      if (!error.fingerprint) throw error;
      this.#ask("trust", error.fingerprint, () => this.#import(file, error.fingerprint));
      return "";
    }
  }

  #say(text) {
    byId("people-says").textContent = text;
  }
}

function make(tag, textContent = "") {
  return Object.assign(document.createElement(tag), { textContent });
}
