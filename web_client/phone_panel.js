/* The panel on the computer that brings a phone in as the camera: a code to scan while the daemon
 * can be reached by one, else what to type so that it can. Closes when the phone has begun. */

import { ApiError, fetchPhoneWays, fetchSessions, invitePhone } from "./api.js";
import { PHONE, fill } from "./words.js";

const POLL_MS = 700;
const byId = (id) => document.getElementById(id);

export class PhonePanel {
  #dialog = byId("phone");
  #onPhone;
  #onRefused;
  #invitation = null;
  #timer = 0;
  #picture = "";

  /**
   * @param {(session: string) => void} onPhone a phone performs, under this name
   * @param {(detail: string) => void} onRefused the daemon does not give what the panel needs
   */
  constructor(onPhone, onRefused) {
    this.#onPhone = onPhone;
    this.#onRefused = onRefused;
    byId("phone-open").addEventListener("click", () => this.open());
    byId("phone-hosts").addEventListener("change", () => this.#invite());
    byId("phone-again").addEventListener("click", () => this.#invite());
    this.#dialog.addEventListener("close", () => this.#forget());
  }

  async open() {
    const ways = await this.#asked(fetchPhoneWays);
    if (!ways) return;
    byId("phone-way").hidden = ways.problem !== null;
    byId("phone-no-way").hidden = ways.problem === null;
    if (ways.problem === null) {
      byId("phone-fingerprint").textContent = ways.fingerprint;
      byId("phone-hosts").replaceChildren(...ways.hosts.map((host) => new Option(host, host)));
      byId("phone-hosts-row").hidden = ways.hosts.length < 2;
      if (!(await this.#invite())) return;
    } else {
      showProblem(ways);
    }
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  /** A new code; the one before stays good until its time is over. */
  async #invite() {
    clearTimeout(this.#timer);
    const invitation = await this.#asked(() => invitePhone(byId("phone-hosts").value));
    if (!invitation) return false;
    this.#invitation = invitation;
    URL.revokeObjectURL(this.#picture);
    this.#picture = URL.createObjectURL(new Blob([invitation.qr], { type: "image/svg+xml" }));
    byId("phone-qr").src = this.#picture;
    byId("phone-qr").hidden = false;
    byId("phone-url").value = invitation.url;
    byId("phone-again").hidden = true;
    const until = new Date(invitation.expires).toLocaleTimeString([], { timeStyle: "short" });
    byId("phone-says").textContent = fill(PHONE.waiting, until);
    this.#timer = setTimeout(() => this.#look(), POLL_MS);
    return true;
  }

  async #look() {
    const { session, expires } = this.#invitation;
    const sessions = await fetchSessions().catch((error) => {
      if (!(error instanceof ApiError)) throw error;
      return []; // the daemon is away for a moment
    });
    if (this.#invitation?.session !== session) return;
    if (sessions.some(({ name }) => name === session)) {
      this.#dialog.close();
      return this.#onPhone(session);
    }
    if (Date.now() > Date.parse(expires)) this.#expire();
    this.#timer = setTimeout(() => this.#look(), POLL_MS);
  }

  /** A phone that scanned it in time may still begin. */
  #expire() {
    byId("phone-qr").hidden = true;
    byId("phone-url").value = "";
    byId("phone-says").textContent = PHONE.over;
    byId("phone-again").hidden = false;
  }

  #forget() {
    clearTimeout(this.#timer);
    this.#invitation = null;
    URL.revokeObjectURL(this.#picture);
    byId("phone-url").value = "";
  }

  async #asked(request) {
    try {
      return await request();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#onRefused(error.detail || error.kind);
      return null;
    }
  }
}

function showProblem({ problem, own, commands }) {
  byId("phone-problem").textContent = fill(PHONE[problem], own.join(", "));
  byId("phone-commands").replaceChildren(...commands.map(line));
  byId("phone-then").textContent = commands.length > 0 ? PHONE.then : "";
}

function line(text) {
  const code = Object.assign(document.createElement("code"), { textContent: text });
  const item = document.createElement("li");
  item.append(code);
  return item;
}
