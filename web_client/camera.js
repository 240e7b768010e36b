/* The performer's camera: opening it, choosing it, and naming what went wrong.
 *
 * Holds the one MediaStream of the page. Knows nothing of the daemon; its picture is shown in the
 * page only. */

const DEVICE_KEY = "reenactd.camera";
const WISHES = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };

/** getUserMedia's exceptions (W3C Media Capture and Streams, section 10.2) -> keys of WORDS */
const PROBLEMS = {
  NotAllowedError: "camera-denied",
  SecurityError: "camera-denied",
  NotFoundError: "camera-absent",
  NotReadableError: "camera-busy",
  AbortError: "camera-busy",
  OverconstrainedError: "camera-unfit",
};

export class CameraError extends Error {
  constructor(problem, detail = "") {
    super(`${problem}: ${detail}`);
    this.problem = problem;
    this.detail = detail;
  }
}

export class Camera {
  /** false where another program tracks the performer: then an empty picture stands in */
  needed = true;
  /** "user" or "environment": which side of a phone; null where cameras are told apart by name */
  facing = null;
  #stream = null;
  #sides = {};
  #onEnded;

  /** @param {() => void} onEnded the camera went away by itself */
  constructor(onEnded) {
    this.#onEnded = onEnded;
  }

  get stream() {
    return this.#stream;
  }

  get track() {
    return this.#stream?.getVideoTracks()[0] ?? null;
  }

  /** @returns {{label: string, width: number, height: number, fps: number}|null} */
  get picture() {
    if (!this.track) return null;
    const { width, height, frameRate } = this.track.getSettings();
    return { label: this.track.label, width, height, fps: Math.round(frameRate ?? 0) };
  }

  /**
   * Open the remembered camera, or any when it is not there.
   * @returns {Promise<{replaced: boolean}>} `replaced`: another one than the remembered was taken
   * @throws {CameraError}
   */
  async open() {
    if (!this.needed) {
      this.close();
      this.#stream = emptyPicture();
      return { replaced: false };
    }
    if (!navigator.mediaDevices) throw new CameraError("insecure");
    if (this.facing) {
      await this.#takeFacing().catch((error) => {
        throw named(error);
      });
      return { replaced: false };
    }
    const wanted = localStorage.getItem(DEVICE_KEY);
    try {
      await this.#take(byId(wanted));
      return { replaced: false };
    } catch (error) {
      const missing = error.name === "OverconstrainedError" && error.constraint === "deviceId";
      if (!wanted || !(missing || error.name === "NotFoundError")) throw named(error);
    }
    await this.#take({}).catch((error) => {
      throw named(error);
    });
    return { replaced: true };
  }

  /** Remember a device for the next `open`. */
  choose(deviceId) {
    localStorage.setItem(DEVICE_KEY, deviceId);
  }

  close() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = null;
  }

  /** @returns {Promise<{id: string, label: string, current: boolean}[]>} labels need permission */
  async devices() {
    if (!navigator.mediaDevices) return [];
    const current = this.track?.getSettings().deviceId ?? localStorage.getItem(DEVICE_KEY);
    const inputs = (await navigator.mediaDevices.enumerateDevices()).filter(
      ({ kind, deviceId }) => kind === "videoinput" && deviceId !== "",
    );
    return inputs.map(({ deviceId, label }, index) => ({
      id: deviceId,
      label: label.replace(/ \([0-9a-f]{4}:[0-9a-f]{4}\)$/, "") || `Camera ${index + 1}`,
      current: deviceId === current,
    }));
  }

  /** The camera on that side; where none says on which it is, one for each side, in their order. */
  async #takeFacing() {
    try {
      return await this.#take({ facingMode: { exact: this.facing } });
    } catch (error) {
      if (error.name !== "OverconstrainedError") throw error;
    }
    const known = await this.devices();
    const others = known.filter(({ id }) => !Object.values(this.#sides).includes(id));
    const id = this.#sides[this.facing] ?? others[0]?.id ?? known[0]?.id;
    await this.#take(byId(id));
    this.#sides[this.facing] = this.track.getSettings().deviceId;
  }

  async #take(wish) {
    this.close(); // many systems give a camera to one taker only
    const video = { ...WISHES, ...wish };
    const stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
    const [track] = stream.getVideoTracks();
    track.contentHint = "motion";
    track.addEventListener("ended", () => {
      if (this.track === track) this.#onEnded();
    });
    this.#stream = stream;
  }
}

function byId(deviceId) {
  return deviceId ? { deviceId: { exact: deviceId } } : {};
}

/** A black picture once a second: a session is negotiated with a track, whatever it shows. */
function emptyPicture() {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [160, 120];
  canvas.getContext("2d").fillRect(0, 0, 160, 120);
  return canvas.captureStream(1);
}

function named(error) {
  if (error.name === "OverconstrainedError") {
    return new CameraError("camera-unfit", error.constraint);
  }
  const problem = PROBLEMS[error.name];
  return problem ? new CameraError(problem) : new CameraError("camera-failed", error.message);
}
