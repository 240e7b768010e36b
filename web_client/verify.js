/* Was this file made by reenactd? Drop it anywhere on the page, or choose it.
 *
 * The daemon looks; the page says its verdict in plain words, and what was found. */

import { ApiError, fetchFileState, forgetFile, sendFile } from "./api.js";
import { reasonOf } from "./reason.js";
import { CONFIDENCE, FILE_CHECK, fill, VERDICTS } from "./words.js";

const ASK_MS = 300;
const MOST_TRIES = 10;
const MAX_BYTES = 512 * 2 ** 20;
const byId = (id) => document.getElementById(id);

let aborter = new AbortController();
let running = null;

export function installFileCheck() {
  const dialog = byId("verify");
  byId("verify-open").addEventListener("click", () => open(dialog));
  dialog.addEventListener("close", forget);
  byId("verify-file").addEventListener("change", ({ target }) => {
    const [file] = target.files;
    if (file) look(file);
    target.value = ""; // the same file can be chosen again
  });
  addEventListener("dragover", (event) => {
    if (!bringsFile(event)) return;
    event.preventDefault(); // else the browser opens the file instead of this page
    byId("verify-drop").dataset.over = "true";
  });
  addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) delete byId("verify-drop").dataset.over;
  });
  addEventListener("drop", (event) => {
    delete byId("verify-drop").dataset.over;
    if (event.target instanceof HTMLInputElement && event.target.id !== "verify-file") return;
    event.preventDefault();
    const [file] = event.dataTransfer?.files ?? [];
    if (!file && !dialog.open) return;
    if (!dialog.open) open(dialog);
    if (file) look(file);
    else say(FILE_CHECK.none);
  });
}

function bringsFile({ dataTransfer, target }) {
  const elsewhere = target instanceof HTMLInputElement && target.id !== "verify-file";
  return !elsewhere && [...(dataTransfer?.types ?? [])].includes("Files");
}

function open(dialog) {
  for (const other of document.querySelectorAll("dialog[open]")) other.close();
  clear();
  dialog.showModal();
}

async function look(file) {
  forget();
  clear();
  const { signal } = aborter;
  if (file.size > MAX_BYTES) return say(fill(FILE_CHECK.failed, FILE_CHECK["too-large"]));
  say(fill(FILE_CHECK.sending, file.name));
  byId("verify-progress").removeAttribute("value");
  byId("verify-progress").hidden = false;
  try {
    await follow(await send(file, signal), file.name, signal);
  } catch (error) {
    if (signal.aborted) return;
    byId("verify-progress").hidden = true;
    say(fill(FILE_CHECK.failed, reasonOf(error)));
  }
}

/** The file before, which was let go of, takes a moment to be gone. */
async function send(file, signal) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await sendFile(file, signal);
    } catch (error) {
      if (error.kind !== "full" || tries === MOST_TRIES) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, ASK_MS));
    signal.throwIfAborted();
  }
}

async function follow(state, name, signal) {
  running = state.job;
  say(fill(FILE_CHECK.looking, name));
  while (state.state === "running") {
    if (state.of > 1) byId("verify-progress").value = state.stretch / state.of;
    await new Promise((resolve) => setTimeout(resolve, ASK_MS));
    signal.throwIfAborted();
    state = await fetchFileState(state.job, signal);
  }
  running = null;
  byId("verify-progress").hidden = true;
  if (state.state === "failed") throw new ApiError("refused", state.error);
  say(name);
  show(state.verdict);
}

function show({ verdict, confidence, checks }) {
  const { title, text } = VERDICTS[verdict];
  byId("verdict").dataset.verdict = verdict;
  byId("verdict-title").textContent = title;
  byId("verdict-text").textContent = text;
  byId("verdict-confidence").textContent = fill(FILE_CHECK.confidence, CONFIDENCE[confidence]);
  byId("verdict-findings").replaceChildren(
    ...checks.map((check) => Object.assign(document.createElement("li"), { textContent: check.text })),
  );
  byId("verdict").hidden = false;
}

/** Stop what runs. */
function forget() {
  aborter.abort();
  aborter = new AbortController();
  if (running) forgetFile(running).catch(() => {}); // it may have ended by itself
  running = null;
}

function clear() {
  byId("verdict").hidden = byId("verify-progress").hidden = true;
  say("");
}

function say(text) {
  byId("verify-says").textContent = text;
}
