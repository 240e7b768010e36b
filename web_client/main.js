/* The page's wiring: the camera, the link to the daemon, the controls and the stage.
 *
 * State lives in three places only: `camera`, `link` (see link.js) and the last stats message.
 * Every change ends in `render`. */

import {
  ApiError,
  adoptToken,
  adoptTokenFromAddress,
  fetchIdentities,
  fetchSnapshot,
  fetchStatus,
  startRecording,
  stopRecording,
} from "./api.js";
import { Camera, CameraError } from "./camera.js";
import { Controls } from "./controls.js";
import { Enrolment } from "./enrol.js";
import { savePicture, showFilm } from "./film.js";
import { FilmKeeper } from "./film_keeper.js";
import { Gallery } from "./gallery.js";
import { installKeys } from "./keys.js";
import * as link from "./link.js";
import { endingLink } from "./link_ends.js";
import { Microphone, MicrophoneError } from "./microphone.js";
import { noticeFor } from "./notice.js";
import { asDay, showObsLink } from "./obs.js";
import { PhonePanel } from "./phone_panel.js";
import { People } from "./people.js";
import { Presets } from "./presets.js";
import { RemoteSession } from "./remote.js";
import { Session } from "./session.js";
import { Stage } from "./stage.js";
import { Readout } from "./stats.js";
import { newestWins } from "./throttle.js";
import { installFileCheck } from "./verify.js";
import { FACE, PHONE, VOICE, fill } from "./words.js";

const CONTROLS_INTERVAL_MS = 50;
const REPORT_INTERVAL_MS = 1000;
const byId = (id) => document.getElementById(id);

let linkState = link.INITIAL;
let session = null;
let stats = null;
let endsWithinS = null; // once the daemon has said that it ends
let iceServers = [];
let canvas = { width: 640, height: 480 };
let sessionName = "";
let retryTimer = 0;
let loading = false;
let linkLookedAt = false;
let opening = Promise.resolve();
let cameraState = { phase: "off", problem: null, detail: "" };
let phone = null; // the name of the session whose camera is a phone's

const camera = new Camera(() => stop({ phase: "error", problem: "camera-ended", detail: "" }));
const microphone = new Microphone(() => loseVoice());
const stage = new Stage((action) => (action === "retry" ? retry() : start()), useToken);
const readout = new Readout();
const sendControls = newestWins((values) => {
  session?.send({ type: "controls", values });
}, CONTROLS_INTERVAL_MS);
const controls = new Controls((values) => {
  sendControls(values);
  presets.show();
});
const gallery = new Gallery((id) => {
  if (session?.send({ type: "identity", id })) gallery.await(id);
  presets.show();
});
const presets = new Presets(
  () => ({ values: controls.values, identity: gallery.chosen ?? "" }),
  ({ values, identity }) => {
    controls.use(values);
    gallery.choose(identity);
  },
);

const films = new FilmKeeper(sessionStorage, startRecording, (code, detail) => {
  stage.unwarn("film-lost", "film-stale");
  if (code === "resumed") stage.toast("film-resumed", detail);
  else if (code) stage.warn(`film-${code}`, detail);
});

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
    const [status, identities] = await Promise.all([fetchStatus(), fetchIdentities()]);
    heedStatus(status);
    await gallery.fill(identities, status.default_identity);
    presets.show();
  } catch (error) {
    return reportFailure(error);
  }
  dispatch({ type: "checked" });
}

function heedStatus(status) {
  iceServers = status.ice_servers;
  loading = status.engine === "loading";
  byId("engine").textContent = byId("engine").title = status.engine;
  canvas = status.canvas;
  stage.setShape(canvas);
  camera.needed = status.driver !== "vmc";
}

async function connect() {
  await opening; // a performer may just be changing cameras
  if (linkState.phase !== "connecting" || session || !(camera.track || phone)) return;
  const handlers = {
    onVideo: (stream) => stage.setVideo(stream),
    onOpen: () => mine.send({ type: "controls", values: controls.values }),
    onMessage: (message) => heed(mine, message),
    onLost: (livedMs) => mine === session && dispatch({ type: "lost", livedMs }),
  };
  const tracks = { camera: camera.track, voice: microphone.track };
  let mine = null;
  try {
    if (iceServers.length && !phone) {
      iceServers = (await fetchStatus()).ice_servers; // their passwords are good for a day only
      if (linkState.phase !== "connecting" || session) return;
    }
    mine = phone ? new RemoteSession(phone, handlers) : new Session(iceServers, tracks, handlers);
    session = mine;
    await mine.connect(gallery.chosen);
    if (loading) heedStatus(await fetchStatus());
  } catch (error) {
    if (mine === session) reportFailure(error);
  }
}

function hangUp() {
  clearTimeout(retryTimer);
  const old = session;
  session = stats = endsWithinS = null; // first, so that nothing the old one still says is heeded
  old?.hangUp();
  stage.setVideo(null);
  gallery.await(null);
  readout.clear();
}

function reportFailure(error) {
  if (error instanceof ApiError) {
    return dispatch({ type: "failed", kind: error.kind, detail: error.detail });
  }
  dispatch({ type: "failed", kind: "refused", detail: error.message });
  throw error; // a fault of the page: the console shall have it
}

/* ---- what the daemon says ------------------------------------------------------------------ */

function heed(speaker, message) {
  if (speaker !== session) return;
  if (message.type === "stats") {
    stats = message;
    readout.update(message);
    films.heed(session.id, message.recording ?? null, Date.now());
    if (linkState.phase === "connecting") return dispatch({ type: "connected" });
    return render();
  }
  if (message.type === "hello") {
    sessionName = message.name ?? "";
    warnOfObsLink();
    return render();
  }
  if (message.type === "identity") {
    gallery.await(null);
    gallery.showChosen(message.id);
    presets.show();
    stage.toast("identity", gallery.nameOf(message.id));
  } else if (message.type === "calibrated") {
    stage.toast("calibrated");
  } else if (message.type === "closed") {
    const ending = endsWithinS !== null;
    dispatch({ type: "closed", detail: message.reason, livedMs: speaker.livedMs, ending });
  } else if (message.type === "ending") {
    endsWithinS = message.within_s;
    render();
  } else if (message.type === "error") {
    gallery.await(null);
    if (stats) gallery.showChosen(stats.identity);
    stage.toast("daemon-says", message.message);
  }
}

setInterval(async () => {
  if (!session || linkState.phase !== "live") return;
  const asked = session;
  const report = await asked.report();
  if (asked === session) readout.network(report);
}, REPORT_INTERVAL_MS);

/* ---- what the performer does ---------------------------------------------------------------- */

async function openCamera() {
  cameraState = { phase: "asking", problem: null, detail: "" };
  render();
  try {
    const taken = camera.open();
    opening = taken.catch(() => {}); // whoever waits for it looks at the track
    const { replaced } = await taken;
    cameraState = { phase: "on", problem: null, detail: "" };
    if (replaced) stage.toast("camera-changed", camera.picture.label);
  } catch (error) {
    if (!(error instanceof CameraError)) throw error;
    cameraState = { phase: "error", problem: error.problem, detail: error.detail };
  }
  await listDevices();
  return cameraState.phase === "on";
}

async function start() {
  if (cameraState.phase === "on" || cameraState.phase === "asking") return;
  if (!(await openCamera())) return render();
  dispatch({ type: "start" });
  return heedVoice();
}

function stop(why = { phase: "off", problem: null, detail: "" }) {
  camera.close();
  microphone.close();
  const left = phone;
  phone = null;
  cameraState = why;
  dispatch({ type: "stop" });
  if (!left) return;
  stage.toast("phone-left");
  if (linkState.phase === "waiting") retry(); // not for the phone any more: is the daemon there?
}

/** A phone has begun: its session takes the place of this machine's camera. */
function showPhone(name) {
  films.decide(false); // nobody is filmed by surprise: this is another camera
  stop();
  phone = name;
  cameraState = { phase: "on", problem: null, detail: "" };
  dispatch({ type: "start" });
}

async function chooseDevice(id) {
  camera.choose(id);
  if (cameraState.phase !== "on" || phone) return;
  if (!(await openCamera())) return stop(cameraState);
  await session?.replaceTrack(camera.track);
  render();
}

function retry() {
  dispatch({ type: "retry" });
}

function useToken(text) {
  if (adoptToken(text)) dispatch({ type: "token" });
}

function togglePower() {
  if (cameraState.phase !== "on") return start();
  if (!phone) films.decide(false); // the phone's film goes on
  stop();
}

/* The voice is sent while it is switched on and the camera runs. */
async function heedVoice() {
  if (microphone.wanted && cameraState.phase === "on" && !phone) {
    try {
      await microphone.open();
    } catch (error) {
      if (!(error instanceof MicrophoneError)) throw error;
      microphone.wanted = false;
      stage.toast(error.problem, error.detail);
    }
  } else {
    microphone.close();
  }
  await session?.replaceVoice(microphone.track);
  renderVoice();
}

function loseVoice() {
  microphone.wanted = false;
  stage.toast("microphone-ended");
  return heedVoice();
}

async function toggleVoice() {
  if (phone) return stage.toast("phone-voice");
  const wanted = !microphone.wanted;
  microphone.wanted = wanted;
  await heedVoice();
  if (microphone.wanted === wanted) stage.toast("voice", voiceWords()); // else it said why not
}

/* What the daemon does with a session, and may refuse. */
async function ask(work) {
  if (!session?.id || linkState.phase !== "live") return stage.toast("not-live");
  try {
    await work(session.id);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    stage.toast("daemon-says", error.detail || error.kind);
  }
}

function toggleRecording() {
  const wanted = stats?.recording?.state !== "on";
  return ask((id) => {
    films.decide(wanted);
    return wanted ? startRecording(id) : stopRecording(id);
  });
}

function takeSnapshot() {
  return ask(async (id) => savePicture(await fetchSnapshot(id)));
}

function calibrate() {
  if (!session?.send({ type: "calibrate" })) stage.toast("not-live");
}

async function copyObsLink() {
  if (byId("obs").disabled) return stage.toast("not-live");
  try {
    await showObsLink(sessionName, `${canvas.width} and ${canvas.height}`);
    stage.unwarn("obs-ends", "obs-over");
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    stage.toast("daemon-says", error.detail || error.message);
  }
}

/** Once: a session that comes back is no new reason. */
function warnOfObsLink() {
  const ending = linkLookedAt ? null : endingLink(localStorage, Date.now());
  linkLookedAt = true;
  if (ending) stage.warn(ending.code, asDay(ending.endMs));
}

function resetSliders() {
  controls.resetSliders();
  stage.toast("controls-reset");
}

/* ---- showing it ---------------------------------------------------------------------------- */

function render() {
  const live = linkState.phase === "live";
  const lamp = live ? (stats?.state ?? "START") : linkState.phase === "waiting" ? "waiting" : "off";
  stage.show(noticeFor({ camera: cameraState, link: linkState, stats, loading, endsWithinS }), lamp, live);
  renderSelf();
  const on = cameraState.phase === "on";
  byId("power-word").textContent = on ? "Stop" : "Start camera";
  byId("power-icon").firstElementChild.setAttribute("href", on ? "#i-stop" : "#i-camera");
  byId("calibrate").disabled = !live;
  byId("obs").disabled = !live || !sessionName;
  showFilm(stats?.recording ?? null, films.gapS, live);
  renderVoice();
}

function voiceWords() {
  if (!microphone.wanted) return VOICE.off;
  return microphone.track ? VOICE.on : VOICE.waiting;
}

function renderVoice() {
  byId("voice").setAttribute("aria-pressed", microphone.wanted);
  byId("voice").title = voiceWords();
}

function renderSelf() {
  const own = byId("self");
  if (own.srcObject !== camera.stream) own.srcObject = camera.stream;
  const picture = camera.picture;
  byId("self-hint").textContent = selfHint(picture);
  const chip = byId("face");
  chip.hidden = !stats || !(picture || phone);
  chip.dataset.ok = stats?.face === "ok";
  chip.textContent = FACE[stats?.face] ?? "";
}

function selfHint(picture) {
  const { width, height } = stats?.camera ?? {};
  if (phone) return fill(PHONE.hint, width ? `, ${width} × ${height}` : "");
  const size = picture ? `${picture.width} × ${picture.height}, ${picture.fps} fps. ` : "";
  return `${size}Your face is seen here and by the daemon only.`;
}

async function listDevices() {
  const devices = await camera.devices();
  const select = byId("device");
  const options = devices.map(({ id, label, current }) => new Option(label, id, current, current));
  select.replaceChildren(...(options.length > 0 ? options : [new Option("Camera", "")]));
  select.disabled = options.length === 0;
}

/* ---- begin --------------------------------------------------------------------------------- */

async function fillGallery() {
  const [status, identities] = await Promise.all([fetchStatus(), fetchIdentities()]);
  await gallery.fill(identities, status.default_identity);
}

new Enrolment(
  async (id) => {
    await fillGallery();
    gallery.choose(id);
  },
  { start, session: () => (linkState.phase === "live" ? session?.id : null), stream: () => camera.stream },
);
new People(fillGallery);
installFileCheck();
new PhonePanel(showPhone, (detail) => stage.toast("daemon-says", detail));
byId("power").addEventListener("click", togglePower);
byId("calibrate").addEventListener("click", calibrate);
byId("voice").addEventListener("click", toggleVoice);
byId("record").addEventListener("click", toggleRecording);
byId("snapshot").addEventListener("click", takeSnapshot);
byId("obs").addEventListener("click", copyObsLink);
byId("full").addEventListener("click", () => stage.toggleFullScreen());
byId("reset").addEventListener("click", resetSliders);
byId("device").addEventListener("change", ({ target }) => chooseDevice(target.value));
byId("self").addEventListener("resize", renderSelf);
navigator.mediaDevices?.addEventListener("devicechange", listDevices);
addEventListener("pagehide", () => session?.hangUp());
addEventListener("pageshow", ({ persisted }) => persisted && retry()); // back from the history
addEventListener("online", () => linkState.phase === "waiting" && retry());
addEventListener("hashchange", () => adoptTokenFromAddress() && dispatch({ type: "token" }));
installKeys([
  { keys: "s", says: "Start or stop the camera", act: togglePower },
  { keys: "c", says: "Calibrate: take your neutral face", act: calibrate },
  { keys: "m", says: "Mirror the avatar", act: () => controls.toggleMirror() },
  { keys: "v", says: "Voice: microphone on or off", act: toggleVoice },
  { keys: "o", says: "Record, or stop recording", act: toggleRecording },
  { keys: "p", says: "Save a picture of the avatar", act: takeSnapshot },
  { keys: "f", says: "Fill the screen with the avatar", act: () => stage.toggleFullScreen() },
  { keys: "l", says: "Copy the link for OBS", act: copyObsLink },
  { keys: "123456789", says: "Choose an identity", act: (key) => gallery.chooseAt(Number(key)) },
  { keys: "b", says: "Next background", act: () => controls.nextBackground() },
  { keys: "r", says: "Reset all sliders", act: resetSliders },
]);

adoptTokenFromAddress();
listDevices();
dispatch({ type: "open" });
