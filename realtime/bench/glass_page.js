/* The browser's half of `bench glass`: a camera whose pictures carry numbers, and a clock on both.
 *
 * Given a clip's raw I420 pictures, it sends them at a steady rate, each with its number drawn in
 * (the code of `frame_code.py`), and notes when each number comes back on the screen. */

const CELLS = 24;
const CELLS_PER_WIDTH = 40;

const checkOf = (number) => (Math.floor((number * 40503) / 256) & 0xff) ^ 0x5a;
const rowsOf = (width, height) => {
  const cell = width / CELLS_PER_WIDTH;
  return [Math.round(height - 1.5 * cell), Math.round(height - 0.5 * cell)];
};
const edge = (index, width) => Math.round((index + 0.5) * (width / CELLS_PER_WIDTH));

function drawNumber(i420, width, height, number) {
  const value = number * 256 + checkOf(number);
  const [top, bottom] = rowsOf(width, height);
  for (let index = 0; index < CELLS; index++) {
    const bit = Math.floor(value / 2 ** (CELLS - 1 - index)) % 2;
    for (let row = top; row < bottom; row++) {
      i420.fill(bit ? 235 : 16, row * width + edge(index, width), row * width + edge(index + 1, width));
    }
  }
  const [left, right] = [edge(0, width) >> 1, (edge(CELLS, width) + 1) >> 1];
  for (const plane of [width * height, width * height * 1.25]) {
    for (let row = top >> 1; row < (bottom + 1) >> 1; row++) {
      i420.fill(128, plane + row * (width / 2) + left, plane + row * (width / 2) + right);
    }
  }
}

/** The number in a shown picture, or null: the strip is drawn as one pixel per cell and read. */
function readNumber(video, strip) {
  const width = video.videoWidth;
  const [top, bottom] = rowsOf(width, video.videoHeight);
  const third = (bottom - top) / 3;
  const [from, to] = [0.5 * (width / CELLS_PER_WIDTH), (CELLS + 0.5) * (width / CELLS_PER_WIDTH)];
  strip.drawImage(video, from, top + third, to - from, third, 0, 0, CELLS * 4, 1);
  const { data } = strip.getImageData(0, 0, CELLS * 4, 1);
  let value = 0;
  for (let index = 0; index < CELLS; index++) {
    const at = index * 16 + 5; // green of the second of four pixels
    value = value * 2 + (data[at] + data[at + 4] > 252 ? 1 : 0);
  }
  const number = Math.floor(value / 256);
  return checkOf(number) === value % 256 ? number : null;
}

class Bench {
  #sent = [];
  #seen = [];
  #stats = [];
  #peer = null;
  #ticker = null;
  #connected = null;

  /** @returns {Promise<string>} the SDP offer, with all candidates */
  async offer({ clip, width, height, fps, codec }) {
    const raw = new Uint8Array(await (await fetch(clip)).arrayBuffer());
    const camera = this.#camera(raw, width, height, fps);
    this.#peer = new RTCPeerConnection({ iceServers: [] });
    const transceiver = this.#peer.addTransceiver(camera, {
      direction: "sendrecv",
      streams: [new MediaStream([camera])],
    });
    const { codecs } = RTCRtpReceiver.getCapabilities("video");
    const chosen = codecs.filter(({ mimeType }) => mimeType.toLowerCase() === `video/${codec}`);
    transceiver.setCodecPreferences([...chosen, ...codecs.filter((c) => c.mimeType === "video/rtx")]);
    this.#peer.onconnectionstatechange = () => {
      if (this.#peer.connectionState === "connected") this.#connected ??= performance.now();
    };
    this.#peer.createDataChannel("controls");
    this.#peer.createDataChannel("stats").onmessage = ({ data }) =>
      this.#stats.push([performance.now(), JSON.parse(data)]);
    this.#peer.ontrack = ({ track }) => this.#watch(track);
    await this.#peer.setLocalDescription();
    if (this.#peer.iceGatheringState !== "complete") {
      await new Promise((done) => {
        this.#peer.onicegatheringstatechange = () =>
          this.#peer.iceGatheringState === "complete" && done();
      });
    }
    return this.#peer.localDescription.sdp;
  }

  async accept(sdp) {
    await this.#peer.setRemoteDescription({ type: "answer", sdp });
  }

  /** What was noted since the last call: [number, ms] each, and the daemon's messages. */
  take() {
    const taken = { sent: this.#sent, seen: this.#seen, stats: this.#stats };
    [this.#sent, this.#seen, this.#stats] = [[], [], []];
    return { ...taken, connected: this.#connected, now: performance.now() };
  }

  close() {
    this.#ticker?.terminate();
    this.#peer?.close();
  }

  /** A camera: the pictures forth and back for ever. A worker keeps the time: pages are throttled. */
  #camera(raw, width, height, fps) {
    const size = (width * height * 3) / 2;
    const pictures = raw.length / size;
    const camera = new MediaStreamTrackGenerator({ kind: "video" });
    const writer = camera.writable.getWriter();
    const source = `
      const began = performance.now();
      let ticks = 0;
      (function tick() {
        postMessage(0);
        setTimeout(tick, Math.max(0, began + ++ticks * ${1000 / fps} - performance.now()));
      })();`;
    this.#ticker = new Worker(URL.createObjectURL(new Blob([source])));
    let number = 0;
    this.#ticker.onmessage = () => {
      const turn = number % Math.max(2 * pictures - 2, 1);
      const index = turn < pictures ? turn : 2 * pictures - 2 - turn;
      const picture = raw.slice(index * size, (index + 1) * size);
      const now = performance.now();
      const code = number++ % 65536;
      drawNumber(picture, width, height, code);
      const frame = new VideoFrame(picture, {
        format: "I420",
        codedWidth: width,
        codedHeight: height,
        timestamp: Math.round(now * 1000),
        transfer: [picture.buffer],
      });
      this.#sent.push([code, now]);
      writer.write(frame).catch(() => frame.close());
    };
    return camera;
  }

  #watch(track) {
    const video = document.querySelector("video");
    const strip = new OffscreenCanvas(CELLS * 4, 1).getContext("2d", { willReadFrequently: true });
    const look = () => {
      const now = performance.now();
      this.#seen.push([readNumber(video, strip), now]);
      video.requestVideoFrameCallback(look);
    };
    video.srcObject = new MediaStream([track]);
    video.requestVideoFrameCallback(look);
    video.play();
  }
}

window.bench = new Bench();
