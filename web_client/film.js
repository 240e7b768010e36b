/* The film and the picture: the record button with its time, the line in the header, the snapshot.
 *
 * What is recorded, and where, only the daemon knows; it tells so in its stats messages. */

import { fill, FILM } from "./words.js";

const byId = (id) => document.getElementById(id);

/** 1:02:03, or 2:03 below an hour. @param {number} seconds @returns {string} */
export function asClock(seconds) {
  const two = (value) => String(value).padStart(2, "0");
  const whole = Math.floor(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/**
 * What to say of a recording.
 * @param {{state: string, files: string[], seconds: number, bytes: number, dropped: number,
 *   problem: string, signing: number, unsigned: string}|null} recording as the stats message has it
 * @param {number|null} [gapS] seconds that are missing before it, after a break
 * @returns {{button: string, line: string, on: boolean, tone: "plain"|"problem"}}
 */
export function wordsFor(recording, gapS = null) {
  const on = recording?.state === "on";
  const button = on ? asClock(recording.seconds) : FILM.record;
  if (!recording) return { button, on, line: "", tone: "plain" };
  if (recording.state === "failed") {
    return { button, on, line: fill(FILM.failed, recording.problem), tone: "problem" };
  }
  const path = recording.files.at(-1);
  if (!path) return { button, on, line: FILM.empty, tone: "plain" };
  const detail = `${on ? path.split("/").at(-1) : path}, ${(recording.bytes / 2 ** 20).toFixed(1)} MiB`;
  const dropped = recording.dropped ? ` ${fill(FILM.dropped, String(recording.dropped))}` : "";
  const gap = gapS === null ? "" : ` ${fill(FILM.resumed, String(gapS))}`;
  const line = fill(on ? FILM.on : FILM.kept, detail) + gap + dropped + signatureOf(recording);
  return { button, on, line, tone: recording.dropped ? "problem" : "plain" };
}

/** What to say of a film's manifest; nothing where all is well. */
function signatureOf({ signing, unsigned }) {
  if (signing) return ` ${FILM.signing}`;
  return unsigned ? ` ${fill(FILM.unsigned, unsigned)}` : "";
}

/** @param {object|null} recording @param {number|null} gapS before it @param {boolean} live */
export function showFilm(recording, gapS, live) {
  const { button, line, on, tone } = wordsFor(recording, gapS);
  byId("record-word").textContent = button;
  byId("record").setAttribute("aria-pressed", on);
  byId("record").setAttribute("aria-label", on ? FILM.stop : FILM.record); // not its time, twice a second
  byId("record").disabled = byId("snapshot").disabled = !live;
  const said = byId("film");
  said.hidden = line === "";
  if (said.textContent !== line) said.textContent = said.title = line;
  said.dataset.tone = tone;
}

/** Hand a picture to the browser's downloads. @param {Blob} picture */
export function savePicture(picture) {
  const address = URL.createObjectURL(picture);
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "-").replace("T", "_");
  const link = Object.assign(document.createElement("a"), {
    href: address,
    download: `reenactd_${stamp}.png`,
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
