/* HTTP to the daemon: the access token, and one function per request.
 *
 * The token comes in the address's fragment, which no browser sends over the network; it is kept
 * for this tab only and taken out of the address bar. Failures are `ApiError`s whose `kind` the
 * link reducer understands. */

import { fetchWhole } from "./fetching.js";

const TOKEN_KEY = "reenactd.token";
const NAME_KEY = "reenactd.name";
const LETTERS = "abcdefghijkmnpqrstuvwxyz23456789";
const PATIENCE_MS = 6000;
/** An offer waits in the daemon while that still loads its networks. */
const OFFER_PATIENCE_MS = 65_000;
/** A film's last second may wait behind others. */
const FILM_PATIENCE_MS = 30_000;
const PICTURE_PATIENCE_MS = 30_000;
const UPLOAD_PATIENCE_MS = 130_000;

export class ApiError extends Error {
  /** @param {"gone"|"token-missing"|"token-wrong"|"full"|"refused"} kind */
  constructor(kind, detail = "") {
    super(`${kind}: ${detail}`);
    this.kind = kind;
    this.detail = detail;
  }
}

/** Take a token out of the address bar, if there is one. @returns {boolean} whether there was */
export function adoptTokenFromAddress() {
  if (!adoptToken(location.hash)) return false;
  history.replaceState(null, "", location.pathname + location.search);
  return true;
}

/** @param {string} text a token, or any address that ends in #token=… @returns {boolean} taken */
export function adoptToken(text) {
  const given = text.trim();
  const inAddress = /(?:^|[#&])token=([^&\s]+)/.exec(given);
  if (!inAddress && !/^[\w.-]{16,}$/.test(given)) return false;
  sessionStorage.setItem(TOKEN_KEY, inAddress ? decodeURIComponent(inAddress[1]) : given);
  return true;
}

/** @returns {Promise<{engine: string, canvas: {width: number, height: number}, ice_servers: RTCIceServer[]}>} */
export async function fetchStatus() {
  return (await request("GET", "/api/status")).json();
}

/** @returns {Promise<{id: string, name: string, kind: string, statement: string, portrait: string, ready: boolean}[]>} */
export async function fetchIdentities() {
  return (await request("GET", "/api/identities")).json();
}

/** @param {string} path as the identity list gives it @returns {Promise<ImageBitmap>} */
export async function fetchPortrait(path) {
  return createImageBitmap(await (await request("GET", path)).blob());
}

/**
 * What the daemon finds in a picture; nothing is kept there.
 * @param {File} picture
 * @returns {Promise<{crop: string, advice: string[], statements: Record<string, string>}>}
 */
export async function lookAtPicture(picture) {
  return (await postPicture("/api/identities/look", picture)).json();
}

/**
 * Add a picture as an identity, with the statement that was confirmed.
 * @param {Record<string, string>} wish empty values are left out
 * @returns {Promise<string>} its id
 */
export async function addIdentity(picture, wish) {
  const query = new URLSearchParams(Object.entries(wish).filter(([, value]) => value));
  return (await (await postPicture(`/api/identities?${query}`, picture)).json()).id;
}

/**
 * Begin the check at the camera on a running session.
 * @param {File} picture of the person @param {string} session its id
 * @returns {Promise<CheckState>}
 *
 * @typedef {{check: string, phase: "rest"|"act"|"back"|"passed"|"failed", done: number, of: number,
 *   ask: string|null, left_s: number, problem: string, score: number|null, threshold: number}} CheckState
 */
export async function beginCheck(picture, session) {
  const query = new URLSearchParams({ session });
  return (await postPicture(`/api/identities/check?${query}`, picture)).json();
}

/** How it goes, and what is to be done now. @returns {Promise<CheckState>} */
export async function fetchCheck(id) {
  return (await request("GET", `/api/identities/check/${id}`)).json();
}

export async function giveUpCheck(id) {
  await request("DELETE", `/api/identities/check/${id}`);
}

/**
 * The identities that did not ship, usable or not.
 * @returns {Promise<{id: string, name: string, kind: string, proof: string, problem: string}[]>}
 */
export async function fetchPeople() {
  return (await request("GET", "/api/own-identities")).json();
}

export async function revokePerson(id, reason) {
  const headers = { "Content-Type": "application/json" };
  await request("POST", `/api/own-identities/${id}/revocation`, { headers, body: JSON.stringify({ reason }) });
}

export async function deletePerson(id) {
  await request("DELETE", `/api/own-identities/${id}`);
}

/** @returns {Promise<Blob>} a file for another installation */
export async function exportPerson(id) {
  return (await request("GET", `/api/own-identities/${id}/export`)).blob();
}

/**
 * @param {string} trust the fingerprint of a key that is to be believed; "" for none
 * @returns {Promise<string>} the id; an ApiError has a `fingerprint` where a key is not known
 */
export async function importPerson(file, trust = "") {
  const query = trust && `?${new URLSearchParams({ trust })}`;
  const headers = { "Content-Type": "application/zip" };
  const options = { headers, body: file, patienceMs: PICTURE_PATIENCE_MS };
  return (await (await request("POST", `/api/own-identities${query}`, options)).json()).id;
}

/**
 * Have a file looked at: was it made by reenactd?
 * @returns {Promise<FileState>}
 *
 * @typedef {{job: string, state: "running"|"done"|"failed", stretch: number, of: number,
 *   verdict: {verdict: string, confidence: string, checks: {text: string}[]}|null, error: string}} FileState
 */
export async function sendFile(file, signal) {
  const query = new URLSearchParams({ name: file.name.slice(-100) });
  const headers = { "Content-Type": "application/octet-stream" };
  const options = { headers, body: file, signal, patienceMs: UPLOAD_PATIENCE_MS };
  return (await request("POST", `/api/verify?${query}`, options)).json();
}

/** @returns {Promise<FileState>} */
export async function fetchFileState(job, signal) {
  return (await request("GET", `/api/verify/${job}`, { signal })).json();
}

export async function forgetFile(job) {
  await request("DELETE", `/api/verify/${job}`);
}

function postPicture(path, picture) {
  const headers = { "Content-Type": picture.type };
  return request("POST", path, { headers, body: picture, patienceMs: PICTURE_PATIENCE_MS });
}

/**
 * WHIP, RFC 9725 section 4.2: offer in, answer and the session's address out.
 * @param {{identity: string|null, name: string|null}} wishes null: as the daemon, or the token, has it
 * @returns {Promise<{answer: string, location: string, etag: string|null}>}
 */
export async function postOffer(offer, { identity, name }, signal) {
  const query = `?${new URLSearchParams({ ...(name && { name }), ...(identity && { identity }) })}`;
  const headers = { "Content-Type": "application/sdp" };
  let location = null;
  const onHeaders = (answered) => (location = answered.get("Location"));
  const options = { headers, body: offer, signal, patienceMs: OFFER_PATIENCE_MS, onHeaders };
  try {
    const response = await request("POST", `/whip${query}`, options);
    return { answer: await response.text(), location, etag: response.headers.get("ETag") };
  } catch (error) {
    if (location) deleteSession(location).catch(() => {}); // it would hold its place
    throw error;
  }
}

/** By which viewers find this browser's sessions, today and tomorrow. */
export function sessionName() {
  const kept = localStorage.getItem(NAME_KEY);
  if (kept) return kept;
  const name = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => LETTERS[byte % 32]).join("");
  localStorage.setItem(NAME_KEY, name);
  return name;
}

/** The address at which OBS finds a session, and nobody without it. @returns {Promise<{link: string, endMs: number}>} */
export async function makeViewLink(session) {
  const { token, expires } = await makeViewToken(session);
  return { link: `${location.origin}/view/${session}#${token}`, endMs: Date.parse(expires) };
}

/** A token that may watch a session, and nothing else. @returns {Promise<{token: string, expires: string}>} */
export function makeViewToken(session) {
  return postJson("/api/tokens", { scope: "view", session });
}

/** @returns {Promise<object[]>} the numbers of each session, as its stats channel has them */
export async function fetchSessions() {
  return (await request("GET", "/api/sessions")).json();
}

/** What a session's controls channel would say. @param {string} name the session's */
export async function command(name, message) {
  await postJson(`/api/sessions/${name}/commands`, message);
}

/** @returns {Promise<object>} under which addresses a phone can come here, or why it cannot */
export async function fetchPhoneWays() {
  return (await request("GET", "/api/phone")).json();
}

/** @returns {Promise<{url: string, qr: string, session: string, expires: string}>} good once */
export function invitePhone(host) {
  return postJson("/api/phone", { host });
}

/**
 * Take the code that the address brought, if it did, and exchange it for a token of this tab's.
 * @returns {Promise<boolean>} whether there was one
 * @throws {ApiError} it was used already, or is too old
 */
export async function exchangeCodeFromAddress() {
  const code = /^#once=([\w.-]+)$/.exec(location.hash)?.[1];
  if (!code) return false;
  sessionStorage.setItem(TOKEN_KEY, code);
  try {
    sessionStorage.setItem(TOKEN_KEY, (await postJson("/api/phone/exchange")).token);
  } catch (error) {
    sessionStorage.removeItem(TOKEN_KEY);
    if (error.kind === "gone") throw error; // it stays in the address, and good
    history.replaceState(null, "", location.pathname);
    throw error;
  }
  history.replaceState(null, "", location.pathname);
  return true;
}

async function postJson(path, value) {
  const body = value && JSON.stringify(value);
  const headers = { "Content-Type": "application/json" };
  const response = await request("POST", path, { headers, body });
  return response.status === 204 ? null : response.json();
}

/** Candidates found after the offer was sent: RFC 9725 section 4.4.1. */
export async function patchCandidates(session, fragment, etag, signal) {
  const headers = { "Content-Type": "application/trickle-ice-sdpfrag" };
  if (etag) headers["If-Match"] = etag;
  await request("PATCH", session, { headers, body: fragment, signal });
}

/** End a session, also from a page that is being closed. */
export async function deleteSession(session) {
  await request("DELETE", session, { keepalive: true });
}

/** Begin a film of a session. @param {string} session its id */
export async function startRecording(session) {
  await request("POST", `/api/sessions/${session}/recording`);
}

/** End it; the answer comes when the film is whole. @param {string} session its id */
export async function stopRecording(session) {
  await request("DELETE", `/api/sessions/${session}/recording`, { patienceMs: FILM_PATIENCE_MS });
}

/** What viewers see now. @param {string} session its id @returns {Promise<Blob>} a PNG */
export async function fetchSnapshot(session) {
  return (await request("GET", `/api/sessions/${session}/snapshot`)).blob();
}

async function request(method, path, options = {}) {
  const { headers = {}, body, signal, keepalive, patienceMs = PATIENCE_MS, onHeaders } = options;
  const token = sessionStorage.getItem(TOKEN_KEY);
  if (!token) throw new ApiError("token-missing");
  const wanted = { ...headers, Authorization: `Bearer ${token}` };
  const wish = { method, body, keepalive, signal, cache: "no-store", headers: wanted };
  let response;
  try {
    response = await fetchWhole(path, wish, patienceMs, onHeaders);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError("gone", error.message);
  }
  if (response.ok) return response;
  throw await errorFrom(response);
}

async function errorFrom(response) {
  if (response.status === 401) return new ApiError("token-wrong");
  const said = await response.json().catch(() => ({}));
  const detail = said.error ?? `HTTP ${response.status}`;
  if (response.status === 503) return new ApiError("full", detail);
  if (response.status >= 500) return new ApiError("gone", detail);
  return Object.assign(new ApiError("refused", detail), { fingerprint: said.fingerprint ?? "" });
}
