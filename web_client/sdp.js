/* Text of a session description, as far as trickling candidates needs it. Pure. */

/**
 * The body of a trickle PATCH: RFC 8840 section 9, as RFC 9725 section 4.4.1 uses it.
 * @param {string} offer the local description
 * @param {{candidate: string, sdpMid: string}[]} candidates
 * @returns {string} application/trickle-ice-sdpfrag
 */
export function sdpFragment(offer, candidates) {
  const line = (name) => new RegExp(`^a=${name}:.*$`, "m").exec(offer)?.[0].trim();
  const lines = [line("ice-ufrag"), line("ice-pwd")];
  for (const mid of new Set(candidates.map((candidate) => candidate.sdpMid))) {
    lines.push("m=video 9 UDP/TLS/RTP/SAVPF 0", `a=mid:${mid}`);
    for (const { candidate, sdpMid } of candidates) {
      if (sdpMid === mid) lines.push(`a=${candidate}`);
    }
  }
  lines.push("a=end-of-candidates");
  return lines.map((text) => `${text}\r\n`).join("");
}
