/* A recording goes on when the connection broke: the daemon's recorder ends with its session, and the
 * performer, who did not stop it, performs on.
 *
 * What was recorded last is kept for this tab, over a reload. After STALE_MS nobody is filmed by
 * surprise; then it is said instead. Knows no DOM; the store and the daemon are given to it. */

const STORE_KEY = "reenactd.recording";
/** Between the last of one session and the first of the next. */
export const STALE_MS = 600_000;

export class FilmKeeper {
  #store;
  #start;
  #say;
  #session = null;
  #unwanted = false;
  #warned = false;
  /** seconds that are missing before the film that is being recorded; null: none */
  gapS = null;

  /**
   * @param {Storage} store
   * @param {(session: string) => Promise<void>} start a recording; rejects with ApiError
   * @param {(code: "resumed"|"lost"|"stale"|null, detail?: string) => void} say null: all is well
   */
  constructor(store, start, say) {
    this.#store = store;
    this.#start = start;
    this.#say = say;
  }

  /** The performer says whether there shall be a recording. @param {boolean} wanted */
  decide(wanted) {
    this.#unwanted = !wanted; // it may be told to be on once more, until it has ended
    this.#forget();
  }

  /**
   * Each time that the daemon tells how a session's recording goes.
   * @param {string} session its id @param {{state: string}|null} recording @param {number} nowMs since 1970
   * @returns {Promise<void>}
   */
  async heed(session, recording, nowMs) {
    const isNew = session !== this.#session;
    this.#session = session;
    if (isNew) this.gapS = null;
    if (recording?.state === "on") {
      if (!this.#unwanted) this.#store.setItem(STORE_KEY, String(nowMs));
      if (this.#warned) this.#tell(null);
      return;
    }
    this.#unwanted = false;
    const lastMs = Number(this.#store.getItem(STORE_KEY) ?? NaN);
    if (recording) this.#store.removeItem(STORE_KEY); // it was ended elsewhere, or failed and says so
    else if (isNew && Number.isFinite(lastMs)) await this.#resume(session, nowMs - lastMs);
  }

  async #resume(session, gapMs) {
    if (gapMs > STALE_MS) {
      this.#store.removeItem(STORE_KEY);
      return this.#tell("stale", String(Math.round(gapMs / 60_000)));
    }
    try {
      await this.#start(session);
    } catch (error) {
      if (error.kind === undefined) throw error; // a fault of the page
      if (error.kind !== "gone") this.#store.removeItem(STORE_KEY); // else the next session tries again
      return this.#tell("lost", error.detail || error.kind);
    }
    if (session !== this.#session) return; // it broke again meanwhile
    this.gapS = Math.max(1, Math.round(gapMs / 1000));
    this.#tell("resumed", String(this.gapS));
  }

  #tell(code, detail) {
    this.#warned = code === "lost" || code === "stale";
    this.#say(code, detail);
  }

  #forget() {
    this.#store.removeItem(STORE_KEY);
    this.gapS = null;
    this.#tell(null);
  }
}
