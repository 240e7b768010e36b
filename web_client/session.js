/* One session with the daemon, from offer to hang-up: a peer connection, the camera's and the
 * microphone's tracks up, the avatar's track down, and the two data channels.
 *
 * Decides nothing about retrying (link.js does) and shows nothing: it reports through callbacks. */

import { deleteSession, patchCandidates, postOffer, sessionName } from "./api.js";
import { sdpFragment } from "./sdp.js";

/** Host candidates come at once; what comes later (STUN, TURN) is trickled. */
const GATHER_MS = 400;
const CONNECT_MS = 10_000;
/** The daemon speaks every 500 ms; silence for this long means that it is gone. */
const SILENCE_MS = 3500;
const MAX_BITRATE_BPS = 2_500_000;

/**
 * @typedef {object} Handlers
 * @property {(stream: MediaStream) => void} onVideo
 * @property {(message: object) => void} onMessage from the stats channel and the controls channel
 * @property {() => void} onOpen both channels are open
 * @property {(livedMs: number) => void} onLost
 */

export class Session {
  #peer;
  #name;
  #controls;
  #stats;
  #sender;
  #voiceSender;
  #handlers;
  #aborter = new AbortController();
  #resource = null;
  #answeredMs = null;
  #heardMs = performance.now();
  #openMs = null;
  #timers = [];

  /**
   * @param {RTCIceServer[]} iceServers
   * @param {{camera: MediaStreamTrack, voice: MediaStreamTrack|null}} tracks
   * @param {Handlers} handlers
   * @param {{name?: string|null, returns?: boolean}} [wishes] under which name viewers find it, null
   *   where the token says it; whether the avatar comes back to this page
   */
  constructor(iceServers, { camera, voice }, handlers, wishes = {}) {
    const { name = sessionName(), returns = true } = wishes;
    this.#handlers = handlers;
    this.#name = name;
    this.#peer = new RTCPeerConnection({ iceServers });
    const transceiver = this.#peer.addTransceiver(camera, {
      direction: returns ? "sendrecv" : "sendonly",
    });
    this.#sender = transceiver.sender;
    // There from the start, so that the voice can come and go. It does not return: nobody wants to
    // hear themselves, and a player that has sound holds the picture back to fit it.
    this.#voiceSender = this.#peer.addTransceiver(voice ?? "audio", { direction: "sendonly" }).sender;
    if ("jitterBufferTarget" in transceiver.receiver) transceiver.receiver.jitterBufferTarget = 0;
    if (returns) handlers.onVideo(new MediaStream([transceiver.receiver.track]));
    this.#controls = this.#channel("controls");
    this.#stats = this.#channel("stats");
    this.#peer.addEventListener("connectionstatechange", () => {
      if (["failed", "closed"].includes(this.#peer.connectionState)) this.#lose();
    });
  }

  get livedMs() {
    return this.#openMs === null ? 0 : performance.now() - this.#openMs;
  }

  /** Offer, answer, candidates. Rejects with ApiError, or AbortError after `hangUp`. */
  async connect(identity) {
    const late = this.#collectCandidates();
    await this.#peer.setLocalDescription();
    await Promise.race([late.done, this.#after(GATHER_MS)]);
    const offer = this.#peer.localDescription.sdp;
    late.restart();
    const { signal } = this.#aborter;
    const { answer, location, etag } = await postOffer(offer, { identity, name: this.#name }, signal);
    if (signal.aborted) {
      await deleteSession(location);
      throw signal.reason;
    }
    this.#resource = location;
    this.#answeredMs = performance.now();
    await this.#peer.setRemoteDescription({ type: "answer", sdp: answer });
    await this.#tuneSender();
    this.#timers.push(setInterval(() => this.#watch(), 500));
    await late.done;
    if (late.found.length > 0) {
      await patchCandidates(location, sdpFragment(offer, late.found), etag, signal);
    }
  }

  /** @returns {boolean} whether the message went out */
  send(message) {
    if (this.#controls.readyState !== "open") return false;
    this.#controls.send(JSON.stringify(message));
    return true;
  }

  /** Another camera, same session. */
  replaceTrack(track) {
    return this.#sender.replaceTrack(track);
  }

  /** The voice, or null for none; same session. */
  replaceVoice(track) {
    return this.#voiceSender.replaceTrack(track);
  }

  /** @returns {string|null} what the daemon calls it, once it has answered */
  get id() {
    return this.#resource?.split("/").at(-1) ?? null;
  }

  /** @returns {Promise<RTCStatsReport>} */
  report() {
    return this.#peer.getStats();
  }

  /** Idempotent; tells the daemon where that is possible. */
  hangUp() {
    if (this.#aborter.signal.aborted) return;
    this.#aborter.abort(new DOMException("hung up", "AbortError"));
    this.#timers.forEach(clearInterval);
    // before its connection ends, or the daemon may know it no longer; it may be gone: that is fine
    if (this.#resource) deleteSession(this.#resource).catch(() => {});
    this.#peer.close();
  }

  #channel(label) {
    const channel = this.#peer.createDataChannel(label);
    channel.addEventListener("open", () => this.#opened());
    channel.addEventListener("close", () => this.#lose());
    channel.addEventListener("message", ({ data }) => {
      this.#heardMs = performance.now();
      this.#handlers.onMessage(JSON.parse(data));
    });
    return channel;
  }

  #opened() {
    if (this.#controls.readyState !== "open" || this.#stats.readyState !== "open") return;
    this.#openMs = this.#heardMs = performance.now();
    this.#handlers.onOpen();
  }

  #watch() {
    const nowMs = performance.now();
    const silent = this.#openMs !== null && nowMs - this.#heardMs > SILENCE_MS;
    const late = this.#openMs === null && nowMs - this.#answeredMs > CONNECT_MS;
    if (silent || late) this.#lose();
  }

  #lose() {
    if (!this.#aborter.signal.aborted) this.#handlers.onLost(this.livedMs);
  }

  #collectCandidates() {
    const late = { found: [], restart: () => late.found.splice(0) };
    late.done = new Promise((resolve) => {
      this.#peer.addEventListener("icecandidate", ({ candidate }) => {
        if (candidate?.candidate) late.found.push(candidate);
        else if (candidate === null) resolve();
      });
    });
    return late;
  }

  /** A moving face is worth more frames, not more pixels. */
  async #tuneSender() {
    const parameters = this.#sender.getParameters();
    parameters.degradationPreference = "maintain-framerate";
    for (const encoding of parameters.encodings) encoding.maxBitrate = MAX_BITRATE_BPS;
    await this.#sender.setParameters(parameters);
  }

  #after(ms) {
    return new Promise((resolve) => setTimeout(resolve, ms));
  }
}
