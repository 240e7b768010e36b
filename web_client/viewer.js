/* One WHEP viewer's connection (draft-ietf-wish-whep), from offer to hang-up. Knows no pictures
 * and no sound, and decides nothing about trying again. */

import { fetchWhole } from "./fetching.js";

/** Host candidates come at once; the daemon learns any other from the connection's own checks. */
const GATHER_MS = 400;
const PATIENCE_MS = 8000;

export class WhepError extends Error {
  /** @param {"token"|"nobody"|"busy"|"gone"} kind */
  constructor(kind, detail) {
    super(detail);
    this.kind = kind;
  }
}

export class Viewer {
  #peer = new RTCPeerConnection();
  #aborter = new AbortController();
  #token;
  #resource = null;

  /**
   * @param {string} token
   * @param {("video"|"audio")[]} kinds what to ask for
   * @param {(stream: MediaStream) => void} onStream
   * @param {() => void} onLost
   */
  constructor(token, kinds, onStream, onLost) {
    this.#token = token;
    const receivers = kinds.map((kind) => this.#peer.addTransceiver(kind, { direction: "recvonly" }).receiver);
    for (const receiver of receivers) {
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
    }
    onStream(new MediaStream(receivers.map(({ track }) => track)));
    this.#peer.addEventListener("connectionstatechange", () => {
      if (["failed", "closed"].includes(this.#peer.connectionState)) onLost();
    });
  }

  /**
   * Rejects with WhepError, or with what the browser throws over an answer that it does not take.
   * @param {string} endpoint path and query
   */
  async connect(endpoint) {
    const servers = iceServers(await this.#fetch("OPTIONS", endpoint));
    if (servers.length > 0) this.#peer.setConfiguration({ iceServers: servers });
    await this.#peer.setLocalDescription();
    await Promise.race([this.#gathered(), new Promise((resolve) => setTimeout(resolve, GATHER_MS))]);
    const body = this.#peer.localDescription.sdp;
    const response = await this.#fetch("POST", endpoint, body);
    if (this.#aborter.signal.aborted) return this.#delete();
    await this.#peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
  }

  /** @returns {Promise<RTCStatsReport>} */
  report() {
    return this.#peer.getStats();
  }

  /** Idempotent. */
  hangUp() {
    if (this.#aborter.signal.aborted) return;
    this.#aborter.abort();
    this.#peer.close();
    this.#delete();
  }

  #delete() {
    if (!this.#resource) return;
    const headers = { Authorization: `Bearer ${this.#token}` };
    fetch(this.#resource, { method: "DELETE", keepalive: true, headers }).catch(() => {});
  }

  #gathered() {
    return new Promise((resolve) => {
      this.#peer.addEventListener("icecandidate", ({ candidate }) => candidate ?? resolve());
    });
  }

  async #fetch(method, path, body) {
    const headers = { Authorization: `Bearer ${this.#token}` };
    if (body) headers["Content-Type"] = "application/sdp";
    const { signal } = this.#aborter;
    // what the daemon has made is taken back also where the rest of its answer is lost
    const note = (answered) => (this.#resource ??= answered.get("Location"));
    const wish = { method, headers, body, signal, cache: "no-store" };
    let response;
    try {
      response = await fetchWhole(path, wish, PATIENCE_MS, note);
    } catch (error) {
      throw new WhepError("gone", error.message);
    }
    if (response.ok) return response;
    const { error = `HTTP ${response.status}` } = await response.json().catch(() => ({}));
    const kinds = { 401: "token", 403: "token", 404: "nobody", 503: "busy" };
    throw new WhepError(kinds[response.status] ?? "gone", error);
  }
}

const LINK = /<([^>]+)>((?:\s*;\s*[\w-]+\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s",;]+))*)/g;
const PARAMETER = /([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",;]+))/g;

/** Those that Link headers name: RFC 9725 section 4.6. @returns {RTCIceServer[]} */
export function iceServers(response) {
  const links = [...(response.headers.get("Link") ?? "").matchAll(LINK)];
  return links.flatMap(([, urls, rest]) => {
    const said = Object.fromEntries(
      [...rest.matchAll(PARAMETER)].map(([, name, quoted, bare]) => [
        name.toLowerCase(),
        bare ?? quoted.replace(/\\(.)/g, "$1"),
      ]),
    );
    if (said.rel !== "ice-server") return [];
    const { username, credential } = said;
    return [username === undefined ? { urls } : { urls, username, credential }];
  });
}
