/* The avatar and nothing else, for OBS's browser source: /view/SESSION#TOKEN, /view/#TOKEN for
 * whoever performs. `?background=scene` shows the whole picture instead of the avatar alone;
 * `?size=half` takes a smaller picture, where without it (`auto`) the window's own size decides;
 * `?sound=off` leaves the voice out.
 *
 * The voice plays at once where that is allowed, as in OBS. A browser that wants a click or a key
 * first gets it then; nothing is shown for it but the tab's title.
 *
 * Tries again for ever, whatever went wrong. The last picture stays meanwhile, so that a short break
 * is no flash; after KEEP_MS it fades out, because nobody wants a frozen face on stream. Why there is
 * no picture stands on the page only until the first one: who pasted the link needs it, and an
 * audience does not. From then on the tab's title and the console say it. */

import { SIZES, fittingSize, wholeOf } from "./fitting.js";
import { Painter } from "./matte.js";
import { Viewer, WhepError } from "./viewer.js";

const KEEP_MS = 5000;
/** The daemon sends ten pictures a second at least. */
const SILENCE_MS = 3000;
/** To the first picture: from the answer; and from the offer, where nothing is ever answered. */
const CONNECT_MS = 13_000;
const ATTEMPT_MS = 25_000;
/** A window that is being dragged asks once. */
const RESIZED_MS = 500;
const RETRY_MS = { nobody: 1500, token: 10_000, busy: 5000, gone: 1000 };

const canvas = document.getElementById("avatar");
const session = decodeURIComponent(location.pathname.replace(/^\/view\/?/, ""));
const wishes = new URLSearchParams(location.search);
const wanted = wishes.get("background") ?? "transparent";
const sound = wishes.get("sound") ?? "on";
const title = document.title;
/** Plays the stream; the canvas shows its pictures, and the sound is its own. */
let player = document.createElement("video");
const wantedSize = wishes.get("size") ?? "auto";
let painter = null;
let viewer = null;
let drawnMs = -Infinity;
let dueMs = Infinity; // when the first picture of this attempt is late
let silenced = false; // the browser wants a click before it plays sound
let problem = "";
let size = wantedSize === "auto" ? "full" : wantedSize;
let whole = null; // what a picture of size "full" measures
let resizing = 0;

function token() {
  return decodeURIComponent(location.hash.replace(/^#(token=)?/, ""));
}

function show(state, why = "") {
  document.body.dataset.state = state;
  if (why !== problem && why) console.warn(why);
  problem = why;
  const box = document.getElementById("problem");
  box.textContent = drawnMs === -Infinity ? why : "";
  box.hidden = box.textContent === "";
  retitle();
}

function retitle() {
  const words = problem || (silenced ? `${title} (click for sound)` : title);
  if (document.title !== words) document.title = words; // it is asked for with every picture
}

async function connect() {
  const path = session ? `/whep/${encodeURIComponent(session)}` : "/whep";
  const kinds = sound === "on" ? ["video", "audio"] : ["video"];
  dueMs = performance.now() + ATTEMPT_MS;
  let mine = null;
  try {
    mine = new Viewer(token(), kinds, (stream) => play(stream, () => mine === viewer), () => lose(mine));
    viewer = mine;
    watch(mine);
    // Unasked, the whole picture becomes smaller where the link does not carry it.
    const asked = wantedSize === "auto" && size === "full" ? {} : { size };
    await mine.connect(`${path}?${new URLSearchParams({ background: wanted, ...asked })}`);
  } catch (error) {
    return lose(mine, error);
  }
  if (mine === viewer) dueMs = performance.now() + CONNECT_MS;
}

/** Draw each picture of a stream as it comes, until another stream is the current one. */
function play(stream, isCurrent) {
  player.srcObject = null;
  const video = document.createElement("video");
  player = video;
  video.playsInline = true;
  video.muted = sound === "off";
  video.srcObject = stream;
  const draw = () => {
    if (!isCurrent()) return;
    if (painter.draw(video)) {
      drawnMs = performance.now();
      canvas.dataset.shown = true;
      canvas.dataset.size = size;
      show("live");
      learn({ width: canvas.width, height: canvas.height });
    }
    video.requestVideoFrameCallback(draw);
  };
  video.requestVideoFrameCallback(draw);
  begin(video);
}

function begin(video) {
  video.play().catch(({ name }) => {
    if (name !== "NotAllowedError") return; // a stream that is replaced before it began
    video.muted = silenced = true;
    retitle();
    video.play().catch(() => {});
  });
}

function unmute() {
  player.muted = silenced = false;
  retitle();
}

/** The performer's picture may have become another; the link may have had this one made smaller. */
function learn(shown) {
  const known = wholeOf(whole, shown, size);
  if (known === whole) return;
  whole = known;
  fit();
}

/** Take another size where the window asks for one; the last picture stays meanwhile. */
function fit() {
  if (wantedSize !== "auto" || !whole) return;
  const box = { width: innerWidth * devicePixelRatio, height: innerHeight * devicePixelRatio };
  const fitting = fittingSize(whole, box);
  if (fitting === size) return;
  size = fitting;
  if (!viewer) return; // the next attempt takes it
  viewer.hangUp();
  viewer = null;
  connect();
}

function watch(mine) {
  if (mine !== viewer) return;
  const nowMs = performance.now();
  if (nowMs > dueMs && nowMs - drawnMs > SILENCE_MS) return lose(mine);
  setTimeout(() => watch(mine), 500);
}

/** @param {Viewer|null} mine null: none could be made @param {Error} [error] of any kind */
function lose(mine, error) {
  if (mine !== viewer) return;
  viewer = null;
  mine?.hangUp();
  if (error && !(error instanceof WhepError)) console.warn(error);
  const kind = error instanceof WhepError ? error.kind : "gone";
  show("waiting", kind === "token" ? `reenactd: ${error.message}` : "");
  setTimeout(connect, RETRY_MS[kind]);
}

setInterval(() => {
  if (performance.now() - drawnMs > KEEP_MS) canvas.dataset.shown = false;
}, 250);
addEventListener("click", unmute);
addEventListener("keydown", unmute);
addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(fit, RESIZED_MS);
});
addEventListener("pagehide", () => viewer?.hangUp());
addEventListener("hashchange", () => location.reload());

if (!["transparent", "scene"].includes(wanted)) {
  show("wrong", `reenactd: background=${wanted} in this address: must be transparent or scene`);
} else if (!["on", "off"].includes(sound)) {
  show("wrong", `reenactd: sound=${sound} in this address: must be on or off`);
} else if (!["auto", ...SIZES].includes(wantedSize)) {
  show("wrong", `reenactd: size=${wantedSize} in this address: must be auto, ${SIZES.join(", ")}`);
} else if (!("requestVideoFrameCallback" in HTMLVideoElement.prototype)) {
  show("wrong", "reenactd: this browser is too old for this page: it must be OBS 28, Chromium 103, Safari 15.4 or Firefox 132, or newer");
} else if (!token()) {
  show("wrong", "reenactd: this address lacks its token: copy the OBS link from the performer's page");
} else {
  try {
    painter = new Painter(canvas, wanted === "transparent");
    connect();
  } catch (error) {
    show("wrong", `reenactd: ${error.message}`);
  }
}
