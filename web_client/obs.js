/* The OBS link and the guide to it. Makes a token that may watch one session and nothing else. */

import { makeViewLink } from "./api.js";
import { noteLinkEnd } from "./link_ends.js";

const byId = (id) => document.getElementById(id);
let link = "";

/** @param {string} session its name @param {string} size as it is read out @returns {Promise<void>} */
export async function showObsLink(session, size) {
  const made = await makeViewLink(session);
  link = made.link;
  noteLinkEnd(localStorage, made.endMs, Date.now());
  byId("obs-until").textContent = asDay(made.endMs);
  byId("obs-size").textContent = size;
  byId("obs-guide").showModal();
  await offer();
}

/** @param {number} ms since 1970 @returns {string} the day, as this browser's user writes it */
export function asDay(ms) {
  return new Date(ms).toLocaleDateString([], { dateStyle: "long" });
}

byId("obs-picture").addEventListener("change", offer);

/** The link with the chosen size in it, ready to be pasted. */
async function offer() {
  const size = byId("obs-picture").value;
  const box = byId("obs-link");
  box.value = size === "auto" ? link : link.replace("#", `?size=${size}#`);
  box.select();
  byId("obs-copied").textContent = await copied(box.value);
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return "Copied.";
  } catch {
    return "This browser did not let the page copy it: press Ctrl+C.";
  }
}
