/* The readout: latency, rates, drops, milliseconds per stage, and a minute of history.
 *
 * Shows what the daemon's stats messages and the browser's WebRTC report say; measures nothing. */

import { qualityWords } from "./words.js";

const HISTORY = 120; // messages, two a second: one minute
const STAGES = [
  ...["receive", "ingest", "track", "matte", "retarget"],
  ...["reenact", "composite", "mark", "emit", "send"],
];
/** One frame at 30 fps: what is above it costs frames. */
const BUDGET_MS = 1000 / 30;

const byId = (id) => document.getElementById(id);
const show = (id, value, digits = 0) => {
  byId(id).textContent = Number.isFinite(value) ? value.toFixed(digits) : "–";
};

export class Readout {
  #history = [];
  #rows = new Map();
  #lastBuffer = null;

  constructor() {
    for (const name of STAGES) byId("stages").append(this.#row(name));
    new ResizeObserver(() => this.#draw()).observe(byId("spark"));
  }

  /** @param {object} stats a stats message of the daemon */
  update({ latency_ms, fps_in, fps_out, drops, stages_ms, quality }) {
    const { p50 = null, p95 = null } = fps_out > 0 ? latency_ms : {}; // no frames, no latency
    show("p50", p50);
    show("p95", p95);
    show("fps-in", fps_in);
    show("fps-out", fps_out);
    const kinds = Object.entries(drops ?? {});
    show("drops", kinds.reduce((sum, [, count]) => sum + count, 0));
    byId("drops").title = kinds.map(([name, count]) => `${name} ${count}`).join(", ");
    this.#showQuality(quality);
    for (const [name, row] of this.#rows) this.#showStage(row, stages_ms?.[name]);
    this.#history.push({ p50, p95 });
    if (this.#history.length > HISTORY) this.#history.shift();
    this.#draw();
  }

  /** @param {RTCStatsReport} report of the peer connection */
  network(report) {
    const parts = [];
    for (const entry of report.values()) {
      if (entry.type === "transport") {
        const pair = report.get(entry.selectedCandidatePairId);
        const tripMs = (pair?.currentRoundTripTime ?? 0) * 1000;
        if (tripMs) parts.unshift(`network ${tripMs.toFixed(0)} ms`);
      }
      if (entry.type === "inbound-rtp" && entry.kind === "video") {
        const held = this.#bufferMs(entry);
        if (held !== null) parts.push(`browser buffer ${held.toFixed(0)} ms`);
      }
    }
    byId("network").textContent = parts.join(" · ");
  }

  clear() {
    this.#history = [];
    this.#lastBuffer = null;
    for (const id of ["p50", "p95", "fps-in", "fps-out", "drops"]) show(id, NaN);
    for (const row of this.#rows.values()) this.#showStage(row, undefined);
    byId("network").textContent = "";
    this.#showQuality(null);
    this.#draw();
  }

  /** How long the browser held each frame lately, in ms; null before the second report. */
  #bufferMs({ jitterBufferDelay, jitterBufferEmittedCount }) {
    const last = this.#lastBuffer;
    this.#lastBuffer = { delay: jitterBufferDelay, count: jitterBufferEmittedCount };
    if (!last || jitterBufferEmittedCount <= last.count) return null;
    return (1000 * (jitterBufferDelay - last.delay)) / (jitterBufferEmittedCount - last.count);
  }

  #row(name) {
    const row = document.createElement("li");
    const [label, bar, value] = ["stage-name", "stage-bar", "stage-value"].map((className) =>
      Object.assign(document.createElement("span"), { className }),
    );
    label.textContent = name;
    row.append(label, bar, value);
    this.#rows.set(name, { row, bar, value });
    return row;
  }

  #showQuality(quality) {
    byId("picture").textContent = quality ? `${quality.width}×${quality.height}` : "–";
    const limit = quality?.max_fps ?? null;
    byId("picture-label").textContent = limit === null ? "picture" : `≤ ${limit} fps`;
    byId("quality").title = quality ? qualityWords(quality) : "";
    byId("quality").dataset.lowered = quality?.step > 0;
  }

  #showStage({ row, bar, value }, ms) {
    const known = Number.isFinite(ms);
    row.dataset.idle = !known;
    value.textContent = known ? ms.toFixed(1) : "–";
    bar.style.setProperty("--share", known ? Math.min(ms / BUDGET_MS, 1).toFixed(3) : 0);
  }

  #draw() {
    const canvas = byId("spark");
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    canvas.width = width * devicePixelRatio;
    canvas.height = height * devicePixelRatio;
    const context = canvas.getContext("2d");
    context.scale(devicePixelRatio, devicePixelRatio);
    const highest = Math.max(BUDGET_MS * 1.5, ...this.#history.map(({ p95 }) => p95 ?? 0)) * 1.05;
    const x = (at) => (width * (HISTORY - this.#history.length + at)) / (HISTORY - 1);
    const y = (ms) => height - 1 - (height - 2) * (ms / highest);
    const style = getComputedStyle(canvas);
    this.#drawBudget(context, width, y(BUDGET_MS), style);
    context.fillStyle = context.strokeStyle = style.color;
    this.#trace(context, "p95", x, y);
    context.globalAlpha = 0.16;
    fillDown(context, x(this.#history.length - 1), x(0), height);
    context.globalAlpha = 1;
    this.#trace(context, "p50", x, y);
    context.lineWidth = 1.5;
    context.stroke();
  }

  #drawBudget(context, width, level, style) {
    context.strokeStyle = context.fillStyle = style.getPropertyValue("--line-strong");
    context.setLineDash([2, 4]);
    context.beginPath();
    context.moveTo(0, level);
    context.lineTo(width, level);
    context.stroke();
    context.setLineDash([]);
    context.font = "10px system-ui, sans-serif";
    context.fillText("33 ms, one frame", 2, level - 4);
  }

  #trace(context, key, x, y) {
    context.beginPath();
    this.#history.forEach((entry, at) => {
      if (entry[key] !== null) context.lineTo(x(at), y(entry[key]));
    });
  }
}

function fillDown(context, right, left, bottom) {
  context.lineTo(right, bottom);
  context.lineTo(left, bottom);
  context.fill();
}
