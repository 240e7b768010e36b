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
    text: "Your camera goes to the daemon on this machine and nowhere else. What comes back is the avatar.",
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
    text: "Cameras work on this machine’s own address or over HTTPS only. Open the page as http://127.0.0.1, or serve it with TLS.",
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

  // while live; these stand below the picture's edge, not over it
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
  hold: { title: "Holding the last frame", text: "{detail}", tone: "waiting" },
  card: {
    title: "Viewers see the card",
    text: "The avatar cannot be shown, so the card stands in; your camera picture never does. {detail}",
    tone: "waiting",
  },
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
  "no-fullscreen": "This browser does not let the page fill the screen",
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
