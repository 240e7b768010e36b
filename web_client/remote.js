/* A session whose camera is elsewhere, on a phone: the page watches it by WHEP with a token that may
 * do that only, reads its numbers from the list of sessions, and sends what the controls say.
 *
 * Stands in for `Session` (session.js): same callbacks, same methods as far as they mean something. */

import { ApiError, command, fetchSessions, makeViewToken } from "./api.js";
import { newestWins } from "./throttle.js";
import { Viewer, WhepError } from "./viewer.js";

const POLL_MS = 500;
/** Below the daemon's `server.post_rate_per_s`. */
const CONTROLS_INTERVAL_MS = 200;
const KINDS = { token: "token-wrong", nobody: "phone", busy: "full", gone: "gone" };

export class RemoteSession {
  #name;
  #handlers;
  #viewer = null;
  #over = false;
  #timer = 0;
  #openMs = null;
  #identity = null;
  /** the daemon agreed to take a new neutral face */
  #neutralAwaited = false;
  #sendControls = newestWins((message) => this.#command(message), CONTROLS_INTERVAL_MS);
  /** what the list of sessions calls it */
  id = null;

  /** @param {string} name the session's @param {import("./session.js").Handlers} handlers */
  constructor(name, handlers) {
    this.#name = name;
    this.#handlers = handlers;
  }

  get livedMs() {
    return this.#openMs === null ? 0 : performance.now() - this.#openMs;
  }

  /** Rejects with ApiError; of kind "phone" while the phone does not send. */
  async connect(identity) {
    this.#identity = identity;
    if (!(await this.#find())) throw new ApiError("phone");
    const { token } = await makeViewToken(this.#name);
    if (this.#over) return;
    const onStream = (stream) => this.#handlers.onVideo(stream);
    this.#viewer = new Viewer(token, ["video"], onStream, () => this.#lose());
    try {
      await this.#viewer.connect(`/whep/${this.#name}`);
    } catch (error) {
      if (this.#over) return;
      if (error instanceof WhepError) throw new ApiError(KINDS[error.kind], error.message);
      throw error;
    }
    await this.#poll();
  }

  /** @returns {boolean} whether the message goes out */
  send(message) {
    if (this.#over || this.id === null) return false;
    if (message.type === "controls") this.#sendControls(message);
    else this.#command(message);
    return true;
  }

  report() {
    return this.#viewer.report();
  }

  /** The phone chooses its own camera and voice. */
  async replaceTrack() {}
  async replaceVoice() {}

  /** Stop watching; the phone goes on. Idempotent. */
  hangUp() {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#viewer?.hangUp();
  }

  async #poll() {
    const neutralDue = this.#neutralAwaited; // a look that began before says nothing of it
    const found = await this.#find().catch((error) => {
      if (!(error instanceof ApiError)) throw error;
    });
    if (this.#over) return;
    if (!found) return this.#lose();
    this.#heed(found);
    if (neutralDue && found.calibrated) {
      this.#neutralAwaited = false;
      this.#handlers.onMessage({ type: "calibrated" });
    }
    this.#timer = setTimeout(() => this.#poll(), POLL_MS);
  }

  async #find() {
    return (await fetchSessions()).find(({ name }) => name === this.#name);
  }

  #heed(numbers) {
    if (this.id === null) {
      this.id = numbers.session;
      this.#openMs = performance.now();
      this.#handlers.onMessage({ type: "hello", name: this.#name });
      this.#handlers.onOpen();
      if (this.#identity && numbers.identity !== this.#identity) {
        this.send({ type: "identity", id: this.#identity });
      }
    } else if (numbers.identity !== this.#identity) {
      this.#handlers.onMessage({ type: "identity", id: numbers.identity });
    }
    this.#identity = numbers.identity;
    this.#handlers.onMessage({ type: "stats", ...numbers });
  }

  async #command(message) {
    if (this.#over) return;
    try {
      await command(this.#name, message);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#handlers.onMessage({ type: "error", message: error.detail });
      return;
    }
    if (message.type === "calibrate") this.#neutralAwaited = true;
  }

  #lose() {
    if (!this.#over) this.#handlers.onLost(this.livedMs);
  }
}
