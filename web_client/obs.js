/* The OBS link and the guide to it. Makes a token that may watch one session and nothing else. */

import { makeViewLink } from "./api.js";

const byId = (id) => document.getElementById(id);

/** @param {string} session its name @param {string} size as it is read out @returns {Promise<void>} */
export async function showObsLink(session, size) {
  const link = await makeViewLink(session);
  const box = byId("obs-link");
  box.value = link;
  byId("obs-size").textContent = size;
  byId("obs-guide").showModal();
  box.select();
  byId("obs-copied").textContent = await copied(link);
}

async function copied(link) {
  try {
    await navigator.clipboard.writeText(link);
    return "Copied.";
  } catch {
    return "This browser did not let the page copy it: press Ctrl+C.";
  }
}
