/* One request and the whole of its answer, within a time.
 *
 * By a controller and a timer: AbortSignal.any came with Chromium 116 and Safari 17.4, and OBS up to
 * 30 has Chromium 103 inside. The time runs until the last byte is here, so an answer that breaks off
 * or never ends is a failure like any other. */

/**
 * @param {string} path
 * @param {RequestInit} options its `signal`, if there is one, ends the request early
 * @param {number} patienceMs
 * @param {(headers: Headers) => void} [onHeaders] called before the body comes, if it comes
 * @returns {Promise<Response>} reading its body cannot fail any more
 * @throws {Error} no answer, half an answer, not in time, or `signal`'s own reason
 */
export async function fetchWhole(path, options, patienceMs, onHeaders) {
  const { signal } = options;
  const aborter = new AbortController();
  const giveUp = () => aborter.abort(signal.reason);
  const late = () => aborter.abort(new DOMException(`no answer in ${patienceMs / 1000} s`, "TimeoutError"));
  if (signal?.aborted) giveUp();
  signal?.addEventListener("abort", giveUp);
  const timer = setTimeout(late, patienceMs);
  try {
    const response = await fetch(path, { ...options, signal: aborter.signal });
    onHeaders?.(response.headers);
    const body = await response.blob();
    return new Response(body.size > 0 ? body : null, response);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", giveUp);
  }
}
