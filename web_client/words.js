/* Every sentence the page says about a state or a mistake, in one table.
 *
 * Knows no DOM and no network. A key is what the other modules speak of; `fill` puts the details in.
 * Each entry says what is the case (title), what to do about it (text), and which button helps
 * (action: the key of ACTIONS, or none). */

export const WORDS = {
  // before a session
  checking: { title: "Looking for the daemon", text: "One moment." },
  idle: {
    title: "Ready when you are",
    text: "Your camera goes to your reenactd daemon and nowhere else. What comes back is the avatar.",
    action: "start",
  },
  connecting: { title: "Connecting", text: "The avatar will be here in a moment." },
  loading: {
    title: "The daemon is warming up",
    text: "It loads its networks. This takes some seconds after each start.",
  },
  asking: {
    title: "May the page use your camera?",
    text: "Your browser is asking. Choose “Allow”.",
  },

  // the camera
  "camera-denied": {
    title: "The camera is not allowed",
    text: "The browser blocks the camera for this page. Click the camera or lock icon beside the address, allow the camera, then start again.",
    action: "start",
    tone: "problem",
  },
  "camera-absent": {
    title: "No camera found",
    text: "Plug one in, or switch it on, then start again.",
    action: "start",
    tone: "problem",
  },
  "camera-busy": {
    title: "The camera is busy",
    text: "Another program is using it. Close that program (a call, OBS, another tab), then start again.",
    action: "start",
    tone: "problem",
  },
  "camera-unfit": {
    title: "This camera cannot do it",
    text: "It offers no picture that fits ({detail}). Choose another camera, then start again.",
    action: "start",
    tone: "problem",
  },
  "camera-ended": {
    title: "The camera stopped",
    text: "It was unplugged, or the browser took it away. Start again when it is back.",
    action: "start",
    tone: "problem",
  },
  "camera-failed": {
    title: "The camera did not start",
    text: "The browser says: {detail}. Try again, or choose another camera.",
    action: "start",
    tone: "problem",
  },
  insecure: {
    title: "The browser gives no camera here",
    text: "Cameras work on this machine’s own address or over HTTPS only. Open the address that the terminal printed, or serve the page with TLS: reenactd tls init.",
    tone: "problem",
  },

  // the daemon
  "token-missing": {
    title: "The page needs its access token",
    text: "Open the whole address that the terminal printed; it ends in #token=… Or paste that address here.",
    action: "token",
    tone: "problem",
  },
  "token-wrong": {
    title: "The access token is not the right one",
    text: "It may be from an earlier installation. Use the address that the terminal printed last, or paste it here.",
    action: "token",
    tone: "problem",
  },
  gone: {
    title: "The daemon does not answer",
    text: "The page tries again by itself. If it was stopped, start it: make serve, or reenactd serve.",
    action: "retry",
    tone: "waiting",
  },
  full: {
    title: "The daemon cannot take you yet",
    text: "The page tries again every few seconds. {detail}",
    action: "retry",
    tone: "waiting",
  },
  phone: {
    title: "Waiting for the phone",
    text: "The avatar appears as soon as the phone sends. Press Start there, and keep its page open.",
    action: "retry",
    tone: "waiting",
  },
  lost: {
    title: "The connection broke off",
    text: "Your camera stays on. The page connects again by itself.",
    action: "retry",
    tone: "waiting",
  },
  refused: {
    title: "The daemon refused the connection",
    text: "{detail}",
    action: "retry",
    tone: "problem",
  },
  closed: {
    title: "The daemon ended the session",
    text: "{detail}",
    action: "retry",
    tone: "problem",
  },
  ended: {
    title: "The daemon has ended",
    text: "Your camera stays on. When the daemon runs again, the page connects by itself.",
    action: "retry",
    tone: "waiting",
  },

  // while live; these stand below the picture's edge, not over it
  ending: {
    title: "The daemon is about to end",
    text: "You stay on air for {detail} s at most. When it runs again, the page connects by itself.",
    tone: "waiting",
  },
  start: { title: "Warming up", text: "The avatar appears with the first good frame." },
  calibrating: {
    title: "Learning your neutral face",
    text: "Look straight ahead, mouth closed, for about a second.",
  },
  "face-none": {
    title: "No face in sight",
    text: "Come into the picture, and see that light falls on your face.",
    tone: "waiting",
  },
  "face-too_small": {
    title: "Your face is too small",
    text: "Move closer to the camera.",
    tone: "waiting",
  },
  "face-low_confidence": {
    title: "Your face is hard to make out",
    text: "More light from the front helps, and nothing before the face.",
    tone: "waiting",
  },
  "face-implausible": {
    title: "Your face is hard to follow",
    text: "Turn a little more toward the camera.",
    tone: "waiting",
  },
  unrecorded: {
    title: "This session’s signed record cannot be written",
    text: "What you show is marked as ever. The daemon tries again by itself. {detail}",
    tone: "waiting",
  },
  hold: { title: "Holding the last frame", text: "{detail}", tone: "waiting" },
  card: {
    title: "Viewers see the card",
    text: "The avatar cannot be shown, so the card stands in; your camera picture never does. {detail}",
    tone: "waiting",
  },
};

/** On the phone's page these say something else. */
export const PHONE_WORDS = {
  idle: {
    title: "Ready when you are",
    text: "This phone’s camera goes to the computer that showed the code, and nowhere else. The avatar is seen there.",
  },
  loading: WORDS.loading,
  code: {
    title: "This code is used up",
    text: "A code is good once, and for five minutes. Make a new one on the computer: Use phone.",
    tone: "problem",
  },
  "token-missing": {
    title: "This page needs a code",
    text: "On the computer press Use phone, then scan the code that it shows.",
    tone: "problem",
  },
  "token-wrong": {
    title: "This phone is not let in any more",
    text: "On the computer press Use phone, then scan the new code.",
    tone: "problem",
  },
  gone: { ...WORDS.gone, text: "The page tries again by itself. Is the phone in the same network?" },
  insecure: { ...WORDS.insecure, text: "Cameras work over HTTPS only. Scan the code that the computer shows." },
};

/** Under the phone's buttons; which camera, by the direction that it faces. */
export const PHONE_BUTTONS = {
  start: "Start",
  stop: "Stop",
  voice: "Voice on",
  muted: "Muted",
  user: "Front camera",
  environment: "Rear camera",
};

/** The panel on the computer. */
export const PHONE = {
  waiting: "Waiting for the phone. The code is good once, until {detail}.",
  over: "The code’s time is over.",
  "no-tls": "A phone’s browser gives its camera to a page over HTTPS only, and this daemon runs without. Stop it, then type:",
  loopback: "The daemon has a certificate, but listens to this machine only. Stop it, then type:",
  "not-covered": "The certificate does not name any of this machine’s addresses ({detail}). Stop the daemon, then type:",
  "no-network": "This machine has no address in a network. Connect it to the phone’s network, then open this again.",
  then: "With --config or other settings, keep them. Then open the new address that the daemon prints, and press Use phone again. On the phone, trust ca.pem (the first command says where it is), or accept its warning once.",
  hint: "The phone’s camera{detail}. Your face is seen by the daemon only.",
  voice: "The phone sends its own voice: switch it there",
  left: "The phone goes on sending until you stop it there",
};

export const ACTIONS = { start: "Start camera", retry: "Try now", token: "" };

/** What the lamp in the header says. */
export const LAMP = {
  off: "Off air",
  START: "Starting",
  LIVE: "Live",
  HOLD: "Hold",
  CARD: "Card",
  waiting: "Reconnecting",
};

export const FACE = {
  ok: "face tracked",
  none: "no face",
  too_small: "too far away",
  low_confidence: "unclear",
  implausible: "turned away",
};

export const BACKGROUND = {
  identity: "The identity’s own backdrop. Nothing of your room is seen.",
  color: "One flat colour, to key out in OBS. Nothing of your room is seen.",
  blur: "Your room, blurred, behind the avatar. Its light, colours and movement can still be made out.",
  camera:
    "Your real room, as it is, behind the avatar. Viewers see all that is in it: papers, screens, people walking by.",
};

/** The voice's button says it when it is pointed at. */
export const VOICE = {
  off: "Silent: nothing of your microphone is sent",
  waiting: "Your voice is sent as soon as the camera runs",
  on: "Viewers hear your own voice, unchanged, in time with the lips",
};

/** The record button, and the line in the header. */
export const FILM = {
  record: "Record",
  stop: "Stop recording",
  on: "Recording to {detail}",
  kept: "Kept: {detail}",
  empty: "Nothing was shown meanwhile; there is no film.",
  dropped: "({detail} pictures left out: the machine is too busy)",
  failed: "The recording stopped. {detail}",
  resumed: "({detail} s are missing before it: the connection was lost)",
  signing: "It is being signed.",
  unsigned: "Not signed: {detail}",
};

/** Short messages that come and go. */
export const TOASTS = {
  voice: "{detail}",
  "microphone-denied": "The browser blocks the microphone. Allow it beside the address, then switch it on",
  "microphone-absent": "No microphone found",
  "microphone-busy": "Another program is using the microphone",
  "microphone-failed": "The microphone did not start: {detail}",
  "microphone-ended": "The microphone stopped",
  calibrated: "Neutral face taken",
  identity: "{detail} is on",
  "camera-changed": "The camera you chose last is not there; using {detail}",
  "controls-reset": "All sliders are back to normal",
  "daemon-says": "The daemon says: {detail}",
  "not-live": "Start the camera first",
  "phone-voice": PHONE.voice,
  "phone-left": PHONE.left,
  "film-resumed": "The connection was lost for {detail} s; the recording goes on in a new film",
  "no-fullscreen": "This browser does not let the page fill the screen",
};

/** Warnings that stay until they are closed, or no longer true. */
export const WARNINGS = {
  "film-lost": "Not recording: the film ended when the connection was lost, and no new one could be begun. Press Record to try again. {detail}",
  "film-stale": "Not recording: the film ended when the connection was lost, {detail} minutes ago. Press Record to begin a new one.",
  "obs-ends": "An OBS link that you copied here ends on {detail}. If OBS uses it, copy a new one (key L).",
  "obs-over": "An OBS link that you copied here ended on {detail}. If OBS used it, copy a new one (key L).",
};

/** The size of the avatar's picture; and what bounds it, where the machine does not keep up. */
export function qualityWords({ width, height, max_fps, step, reason }) {
  const rate = max_fps === null ? "" : `, at most ${max_fps} fps`;
  const picture = `Picture ${width}×${height}${rate}`;
  return step > 0 ? `${picture}: ${reason}` : picture;
}

/**
 * @param {string} text with {detail} where the detail goes; one that begins with it, or follows a
 *   full stop, gets it as a sentence
 * @param {string} [detail]
 * @returns {string}
 */
export function fill(text, detail = "") {
  const alone = /(^|[.:;] )\{detail\}$/.test(text);
  return text.replace("{detail}", () => (alone ? sentence(detail) : detail)).trim();
}

function sentence(words) {
  if (words === "") return "";
  return words[0].toUpperCase() + words.slice(1) + (/[.!?…]$/.test(words) ? "" : ".");
}

/* ---- trust: the check at the camera, a file that is looked at, the people who are kept ------ */

/** The check at the camera: what to do, by the daemon's word for it. Left is the person's own. */
export const CHECK_STEPS = {
  rest: { sign: "", text: "Look straight at the camera and keep still." },
  back: { sign: "", text: "Good. Look straight at the camera again." },
  left: { sign: "←", text: "Turn your head to your left." },
  right: { sign: "→", text: "Turn your head to your right." },
  up: { sign: "↑", text: "Raise your chin." },
  down: { sign: "↓", text: "Lower your chin." },
  blink: { sign: "– –", text: "Close both eyes, and open them." },
};

export const CHECK = {
  intro:
    "The camera checks that it is you: three turns of the head and a blink, in an order that is drawn now. Your face’s shape is compared with the picture’s; how far apart they were is all that is kept.",
  begin: "Check at the camera",
  again: "Check again",
  camera: "Starting the camera…",
  "no-camera": "The camera does not run. Close this, start it, and see what the page says there.",
  looking: "Looking at the picture…",
  step: "Step {detail}",
  passed: "Checked: you did all steps, and your face is like the picture’s ({detail}).",
  failed: "Not checked: {detail}",
  "given-up": "Not checked: you gave up.",
};

/** How much stands behind a consent, by the daemon's words. */
export const PROOF = {
  "checked at the camera": "Checked at the camera.",
  attested: "Attested, not checked.",
};

/** Verdicts on a file. */
export const VERDICTS = {
  signed: { title: "Signed and intact", text: "Signed by this installation of reenactd, and unchanged since." },
  marked: { title: "Marked as synthetic", text: "A mark, a manifest or a record of reenactd’s says that it is synthetic." },
  tampered: { title: "Tampered with", text: "A signature or a record that belongs to it does not fit: something was changed afterwards, or put there." },
  nothing: { title: "Nothing found", text: "No mark and no signature of reenactd. That does not prove that it is genuine." },
};

export const CONFIDENCE = { certain: "certain", high: "fairly sure", low: "a guess at best" };

export const FILE_CHECK = {
  sending: "Reading {detail}…",
  looking: "Looking at {detail}…",
  confidence: "Confidence: {detail}",
  failed: "This file cannot be checked: {detail}",
  "too-large": "it is larger than 512 MiB",
  none: "Drop a file here, not text or a link.",
};

export const PEOPLE = {
  none: "Nobody yet. Add a person, or import one from another installation.",
  usable: "{detail}",
  problem: "Cannot be used: {detail}",
  revoke: "Revoke the consent of {detail}? It cannot be taken back; sessions that show them end at once.",
  delete: "Delete {detail}, their portrait, their consent record and all that was made of it here? Copies elsewhere are not found.",
  trust: "Signed by a key that is unknown here: {detail}. Compare it with what “reenactd trust show” says over there, on a way that you trust.",
  revoked: "Revoked: “{detail}”",
  deleted: "Deleted: “{detail}”",
  exported: "Exported: {detail}. Who imports it is asked whether to believe the key that signed it.",
  imported: "Imported: “{detail}”",
  "revoke-do": "Revoke",
  "delete-do": "Delete",
  "trust-do": "Believe this key, and import",
};
