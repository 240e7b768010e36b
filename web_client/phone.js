/* The phone's page: its camera goes up, nothing comes back. The avatar is seen on the computer, whose
 * page has the sliders, too.
 *
 * The code in the address is exchanged once for a token of this tab; a reload goes on with that. When
 * to connect and to try again is decided in link.js, as for the other page. */

import { ApiError, exchangeCodeFromAddress, fetchStatus } from "./api.js";
import { Camera, CameraError } from "./camera.js";
import * as link from "./link.js";
import { Microphone, MicrophoneError } from "./microphone.js";
import { noticeFor } from "./notice.js";
import { Session } from "./session.js";
import { FACE, LAMP, PHONE_BUTTONS, PHONE_WORDS, TOASTS, WORDS, fill } from "./words.js";

const FACING_KEY = "reenactd.facing";
const SAID_MS = 4000;
const byId = (id) => document.getElementById(id);

let linkState = link.INITIAL;
let session = null;
let stats = null;
let endsWithinS = null; // once the daemon has said that it ends
let iceServers = [];
let loading = false;
let retryTimer = 0;
let codeRefused = false;
let aside = null; // said for a moment: {title, text}
let awake = null;
let cameraState = { phase: "off", problem: null, detail: "" };

const camera = new Camera(() => stop({ phase: "error", problem: "camera-ended", detail: "" }));
const microphone = new Microphone(() => heedVoice());
camera.facing = localStorage.getItem(FACING_KEY) ?? "user";

/* ---- link: carry out what link.js decides -------------------------------------------------- */

function dispatch(event) {
  const { state, commands } = link.step(linkState, { ...event, random: Math.random() });
  linkState = state;
  for (const command of commands) carryOut(command);
  render();
}

function carryOut(command) {
  if (command.do === "check") return check();
  if (command.do === "connect") return connect();
  if (command.do === "hangup") return hangUp();
  clearTimeout(retryTimer);
  retryTimer = setTimeout(() => dispatch({ type: "retry" }), command.ms);
}

async function check() {
  clearTimeout(retryTimer);
  try {
    codeRefused = false;
    await exchangeCodeFromAddress().catch((error) => {
      codeRefused = error.kind === "token-wrong";
      throw error;
    });
    const status = await fetchStatus();
    iceServers = status.ice_servers;
    loading = status.engine === "loading";
  } catch (error) {
    return reportFailure(error);
  }
  dispatch({ type: "checked" });
}

async function connect() {
  if (session || !camera.track) return;
  const tracks = { camera: camera.track, voice: microphone.track };
  const handlers = {
    onOpen: () => {},
    onMessage: (message) => heed(mine, message),
    onLost: (livedMs) => mine === session && dispatch({ type: "lost", livedMs }),
  };
  let mine = null;
  try {
    if (iceServers.length) {
      iceServers = (await fetchStatus()).ice_servers; // their passwords are good for a day only
      if (session || !camera.track) return;
    }
    mine = new Session(iceServers, tracks, handlers, { name: null, returns: false });
    session = mine;
    await mine.connect(null);
  } catch (error) {
    if (mine === session) reportFailure(error);
  }
}

function hangUp() {
  clearTimeout(retryTimer);
  const old = session;
  session = stats = endsWithinS = null;
  old?.hangUp();
}

function reportFailure(error) {
  if (error instanceof ApiError) {
    return dispatch({ type: "failed", kind: error.kind, detail: error.detail });
  }
  dispatch({ type: "failed", kind: "refused", detail: error.message });
  throw error;
}

function heed(speaker, message) {
  if (speaker !== session) return;
  if (message.type === "stats") {
    stats = message;
    loading = false;
    if (linkState.phase === "connecting") return dispatch({ type: "connected" });
    render();
  } else if (message.type === "closed") {
    const ending = endsWithinS !== null;
    dispatch({ type: "closed", detail: message.reason, livedMs: speaker.livedMs, ending });
  } else if (message.type === "ending") {
    endsWithinS = message.within_s;
    render();
  }
}

/* ---- what the performer does ---------------------------------------------------------------- */

async function openCamera() {
  cameraState = { phase: "asking", problem: null, detail: "" };
  render();
  try {
    await camera.open();
    cameraState = { phase: "on", problem: null, detail: "" };
  } catch (error) {
    if (!(error instanceof CameraError)) throw error;
    cameraState = { phase: "error", problem: error.problem, detail: error.detail };
  }
  byId("flip").hidden = (await camera.devices()).length < 2;
  return cameraState.phase === "on";
}

async function start() {
  if (!(await openCamera())) return render();
  dispatch({ type: "start" });
  keepAwake();
  return heedVoice();
}

function stop(why = { phase: "off", problem: null, detail: "" }) {
  camera.close();
  microphone.close();
  cameraState = why;
  awake?.release();
  document.body.dataset.awake = false;
  dispatch({ type: "stop" });
}

function togglePower() {
  if (cameraState.phase === "on") stop();
  else if (cameraState.phase !== "asking") start();
}

async function flip() {
  camera.facing = camera.facing === "user" ? "environment" : "user";
  localStorage.setItem(FACING_KEY, camera.facing);
  if (cameraState.phase !== "on") return render();
  if (!(await openCamera())) return stop(cameraState);
  await session?.replaceTrack(camera.track);
  render();
}

async function heedVoice() {
  if (microphone.wanted && cameraState.phase === "on") {
    try {
      await microphone.open();
    } catch (error) {
      if (!(error instanceof MicrophoneError)) throw error;
      microphone.wanted = false;
      say("Voice", fill(TOASTS[error.problem], error.detail));
    }
  } else {
    microphone.close();
  }
  await session?.replaceVoice(microphone.track);
  render();
}

function toggleVoice() {
  microphone.wanted = !microphone.wanted;
  return heedVoice();
}

/** A screen that goes dark takes the camera away. The lock ends whenever the page is hidden. */
async function keepAwake() {
  if (!("wakeLock" in navigator) || document.visibilityState !== "visible") return;
  if (cameraState.phase !== "on") return;
  try {
    awake = await navigator.wakeLock.request("screen");
  } catch (error) {
    if (error.name !== "NotAllowedError") throw error; // low battery: the phone decides
    say("The screen may go dark", "The phone does not let this page keep it on.");
  }
  document.body.dataset.awake = awake !== null && !awake.released;
}

/* ---- showing it ---------------------------------------------------------------------------- */

function say(title, text) {
  aside = { title, text };
  setTimeout(() => {
    aside = null;
    render();
  }, SAID_MS);
  render();
}

function words() {
  if (codeRefused) return PHONE_WORDS.code;
  const notice = noticeFor({ camera: cameraState, link: linkState, stats, loading, endsWithinS });
  if (!notice) return aside;
  const entry = PHONE_WORDS[notice.code] ?? WORDS[notice.code];
  return { ...entry, text: fill(entry.text, notice.detail) };
}

function render() {
  const on = cameraState.phase === "on";
  const live = linkState.phase === "live";
  const lamp = live ? (stats?.state ?? "START") : linkState.phase === "waiting" ? "waiting" : "off";
  byId("lamp").dataset.state = lamp;
  byId("lamp-word").textContent = LAMP[lamp];
  const own = byId("self");
  if (own.srcObject !== camera.stream) own.srcObject = camera.stream;
  own.dataset.mirrored = camera.facing === "user";
  show(words());
  byId("face").hidden = !stats || !on;
  byId("face").dataset.ok = stats?.face === "ok";
  byId("face").textContent = FACE[stats?.face] ?? "";
  byId("power").setAttribute("aria-pressed", on);
  byId("power").disabled = linkState.problem?.startsWith("token") === true;
  byId("power-word").textContent = on ? PHONE_BUTTONS.stop : PHONE_BUTTONS.start;
  byId("voice").setAttribute("aria-pressed", microphone.wanted);
  byId("voice-word").textContent = microphone.wanted ? PHONE_BUTTONS.voice : PHONE_BUTTONS.muted;
  byId("flip-word").textContent = PHONE_BUTTONS[camera.facing];
}

function show(said) {
  const box = byId("said");
  const { title = "", text = "", tone = "plain" } = said ?? {};
  box.hidden = said === null;
  box.dataset.tone = tone;
  if (byId("title").textContent !== title) byId("title").textContent = title;
  if (byId("text").textContent !== text) byId("text").textContent = text;
}

/* ---- begin --------------------------------------------------------------------------------- */

byId("power").addEventListener("click", togglePower);
byId("flip").addEventListener("click", flip);
byId("voice").addEventListener("click", toggleVoice);
byId("self").addEventListener("resize", render);
document.addEventListener("visibilitychange", keepAwake);
addEventListener("pagehide", () => session?.hangUp());
addEventListener("pageshow", ({ persisted }) => persisted && dispatch({ type: "retry" }));
addEventListener("online", () => linkState.phase === "waiting" && dispatch({ type: "retry" }));
addEventListener("hashchange", () => location.reload());

dispatch({ type: "open" });
