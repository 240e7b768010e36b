/* The performer's microphone: off until it is switched on, and remembered then.
 *
 * Holds one track of sound. Knows nothing of the daemon; what is heard is sent as it is, so the
 * browser is asked to take out echo and noise before. */

const STORE_KEY = "reenactd.microphone";
/** For one person who speaks: W3C Media Capture and Streams, section 4.3.5. */
const WISHES = {
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
  channelCount: { ideal: 1 },
};

/** getUserMedia's exceptions -> keys of TOASTS */
const PROBLEMS = {
  NotAllowedError: "microphone-denied",
  SecurityError: "microphone-denied",
  NotFoundError: "microphone-absent",
  NotReadableError: "microphone-busy",
  AbortError: "microphone-busy",
};

export class MicrophoneError extends Error {
  constructor(problem, detail = "") {
    super(`${problem}: ${detail}`);
    this.problem = problem;
    this.detail = detail;
  }
}

export class Microphone {
  #track = null;
  #asked = 0;
  #onEnded;

  /** @param {() => void} onEnded it went away by itself */
  constructor(onEnded) {
    this.#onEnded = onEnded;
  }

  /** Whether the performer has switched it on; survives the page. */
  get wanted() {
    return localStorage.getItem(STORE_KEY) === "on";
  }

  set wanted(on) {
    localStorage.setItem(STORE_KEY, on ? "on" : "off");
  }

  get track() {
    return this.#track;
  }

  /**
   * Open it, unless it is open; one that is closed meanwhile stays closed.
   * @throws {MicrophoneError}
   */
  async open() {
    if (this.#track) return;
    const asked = ++this.#asked;
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: WISHES, video: false });
    } catch (error) {
      const problem = PROBLEMS[error.name] ?? "microphone-failed";
      throw new MicrophoneError(problem, error.message);
    }
    const [track] = stream.getAudioTracks();
    if (asked !== this.#asked) return track.stop();
    track.contentHint = "speech";
    track.addEventListener("ended", () => {
      if (this.#track !== track) return;
      this.#track = null;
      this.#onEnded();
    });
    this.#track = track;
  }

  close() {
    this.#asked += 1;
    this.#track?.stop();
    this.#track = null;
  }
}
