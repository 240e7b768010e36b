// What the page says when, and the small pure parts around it.
import assert from "node:assert/strict";
import { test } from "node:test";

import { meanColour } from "../../web_client/colour.js";
import { asClock, wordsFor } from "../../web_client/film.js";
import { fittingSize, wholeOf } from "../../web_client/fitting.js";
import { INITIAL } from "../../web_client/link.js";
import { noticeFor } from "../../web_client/notice.js";
import { sdpFragment } from "../../web_client/sdp.js";
import { newestWins } from "../../web_client/throttle.js";
import { iceServers } from "../../web_client/viewer.js";
import { ACTIONS, WORDS, fill, qualityWords } from "../../web_client/words.js";

const OFF = { phase: "off", problem: null, detail: "" };
const ON = { phase: "on", problem: null, detail: "" };
const STATS = { state: "LIVE", reason: "", face: "ok", calibrated: true };
const linkIn = (phase, problem = null, detail = "") => ({ ...INITIAL, phase, problem, detail });
const live = (change) =>
  noticeFor({ camera: ON, link: linkIn("live"), stats: { ...STATS, ...change } });

test("a running avatar needs no words", () => {
  assert.equal(live({}), null);
});

test("words about a running picture do not cover it; all others may", () => {
  assert.equal(live({ state: "CARD", reason: "x" }).over, false);
  assert.equal(noticeFor({ camera: OFF, link: linkIn("ready"), stats: null }).over, true);
});

test("a missing token is said before anything else", () => {
  const camera = { phase: "error", problem: "camera-denied", detail: "" };
  const link = linkIn("blocked", "token-missing");
  assert.equal(noticeFor({ camera, link, stats: null }).code, "token-missing");
});

test("a camera mistake is said before a daemon that is gone", () => {
  const camera = { phase: "error", problem: "camera-busy", detail: "" };
  assert.equal(noticeFor({ camera, link: linkIn("waiting", "gone"), stats: null }).code, "camera-busy");
});

test("each reason for no face has its own words", () => {
  for (const face of ["none", "too_small", "low_confidence", "implausible"]) {
    assert.equal(live({ state: "CARD", reason: face, face }).code, `face-${face}`);
  }
});

test("START, calibration, HOLD and CARD are told apart", () => {
  const code = (change) => live(change).code;
  assert.equal(code({ state: "START", reason: "starting", face: "none", calibrated: false }), "start");
  assert.equal(code({ state: "START", reason: "calibrating", calibrated: false }), "calibrating");
  assert.equal(code({ state: "HOLD", reason: "no new picture arrives" }), "hold");
  assert.equal(code({ state: "CARD", reason: "no new picture arrives" }), "card");
});

test("a record that cannot be written is said while all else is well", () => {
  const said = live({ unrecorded: "No space left on device" });
  assert.deepEqual(said, { code: "unrecorded", detail: "No space left on device", over: false });
  assert.ok(WORDS.unrecorded);
  assert.equal(live({ unrecorded: null }), null);
  assert.equal(live({ unrecorded: "x", state: "CARD", face: "none" }).code, "face-none");
});

test("a daemon that says that it ends is said while the avatar goes on", () => {
  const view = { camera: ON, link: linkIn("live"), stats: STATS };
  const said = { code: "ending", detail: "60", over: false };
  assert.deepEqual(noticeFor({ ...view, endsWithinS: 60 }), said);
  assert.deepEqual(noticeFor({ ...view, stats: { ...STATS, face: "none" }, endsWithinS: 60 }), said);
  assert.equal(noticeFor({ ...view, endsWithinS: 0 }), null); // there is no time to read it
  assert.ok(WORDS.ending);
});

test("a daemon that still loads is not called slow to connect", () => {
  const view = { camera: ON, link: linkIn("connecting"), stats: null };
  assert.equal(noticeFor({ ...view, loading: true }).code, "loading");
  assert.equal(noticeFor({ ...view, loading: false }).code, "connecting");
});

test("every code that can come up has words, and every action a button", () => {
  const problems = ["gone", "full", "phone", "lost", "refused", "closed", "ended", "token-missing", "token-wrong"];
  for (const problem of problems) {
    const { code } = noticeFor({ camera: ON, link: linkIn("waiting", problem), stats: null });
    assert.ok(WORDS[code], code);
  }
  for (const phase of ["checking", "ready", "connecting", "live"]) {
    assert.ok(WORDS[noticeFor({ camera: ON, link: linkIn(phase), stats: null }).code], phase);
  }
  for (const { action } of Object.values(WORDS)) assert.ok(action === undefined || action in ACTIONS);
});

test("the daemon's own words become a sentence where they stand alone", () => {
  assert.equal(fill("{detail}", "the picture is too large"), "The picture is too large.");
  assert.equal(fill("It stands in. {detail}", "no picture"), "It stands in. No picture.");
  assert.equal(fill("({detail}) fits", "width"), "(width) fits");
  assert.equal(fill("It stands in. {detail}"), "It stands in.");
  assert.equal(fill("{detail}", "costs $& and $1."), "Costs $& and $1.");
});

test("of many values within an interval the first and the newest go out", () => {
  const sent = [];
  const waiting = [];
  const offer = newestWins((value) => sent.push(value), 50, (run) => waiting.push(run));
  for (const value of [1, 2, 3, 4]) offer(value);
  assert.deepEqual(sent, [1]);
  waiting.shift()();
  assert.deepEqual(sent, [1, 4]);
  waiting.shift()();
  assert.deepEqual(waiting, []);
  offer(5);
  assert.deepEqual(sent, [1, 4, 5]);
});

test("a window gets the smallest picture that it does not enlarge by much", () => {
  const picture = { width: 640, height: 480 };
  const fits = (width, height) => fittingSize(picture, { width, height });
  assert.equal(fits(640, 480), "full");
  assert.equal(fits(1920, 1080), "full");
  assert.equal(fits(400, 300), "full");
  assert.equal(fits(340, 255), "half");
  assert.equal(fits(1920, 240), "half");
  assert.equal(fits(160, 120), "quarter");
});

test("a picture that the link made smaller is not taken for the whole one", () => {
  const whole = { width: 1280, height: 720 };
  const px = (width, height) => ({ width, height });
  assert.deepEqual(wholeOf(null, px(1280, 720), "full"), whole);
  assert.equal(wholeOf(whole, px(640, 360), "full"), whole);
  assert.equal(wholeOf(whole, px(426, 240), "full"), whole, "a quarter, but never below 240 lines");
  assert.equal(wholeOf(whole, px(640, 360), "half"), whole);
  assert.equal(fittingSize(wholeOf(whole, px(640, 360), "full"), px(320, 180)), "quarter");
});

test("a picture that the performer's daemon made smaller is the whole one", () => {
  const whole = { width: 1280, height: 960 };
  const px = (width, height) => ({ width, height });
  assert.deepEqual(wholeOf(whole, px(960, 720), "full"), px(960, 720));
  assert.deepEqual(wholeOf(whole, px(1920, 1080), "full"), px(1920, 1080));
  assert.deepEqual(wholeOf(whole, px(480, 360), "half"), px(960, 720));
  assert.deepEqual(wholeOf(whole, px(320, 240), "half"), px(640, 480), "which the link does not do");
});

test("what a window asks for settles, whatever became of the picture meanwhile", () => {
  const sent = ({ width, height }, size) => {
    const share = Math.max({ full: 1, half: 1 / 2, quarter: 1 / 4 }[size], Math.min(1, 240 / height));
    return { width: 2 * Math.round((width * share) / 2), height: 2 * Math.round((height * share) / 2) };
  };
  const pictures = [[640, 480], [480, 360], [320, 240], [1280, 720], [1920, 1080], [642, 362]];
  for (const [width, height] of pictures) {
    for (const [before, after] of pictures) {
      for (const wide of [160, 320, 480, 640, 1280]) {
        let whole = { width: before, height: after };
        let size = fittingSize(whole, { width: wide, height: wide });
        const asked = [size];
        for (let turn = 0; turn < 6; turn++) {
          whole = wholeOf(whole, sent({ width, height }, size), size);
          size = fittingSize(whole, { width: wide, height: wide });
          if (size !== asked.at(-1)) asked.push(size);
        }
        assert.ok(asked.length <= 4, `${width}x${height} after ${before}x${after}: ${asked}`);
      }
    }
  }
});

test("an SDP fragment carries credentials, one mid and its candidates", () => {
  const offer = "v=0\r\na=ice-ufrag:ab12\r\na=ice-pwd:secret\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n";
  const candidate = "candidate:1 1 udp 1 10.0.0.1 5000 typ host";
  assert.deepEqual(sdpFragment(offer, [{ candidate, sdpMid: "0" }]).split("\r\n"), [
    "a=ice-ufrag:ab12",
    "a=ice-pwd:secret",
    "m=video 9 UDP/TLS/RTP/SAVPF 0",
    "a=mid:0",
    `a=${candidate}`,
    "a=end-of-candidates",
    "",
  ]);
});

test("the accent is the hue of what is opaque; grey has no chroma", () => {
  const green = meanColour(Uint8ClampedArray.of(40, 160, 60, 255, 255, 0, 0, 0));
  assert.ok(green.hue > 130 && green.hue < 160, `hue ${green.hue}`);
  assert.ok(meanColour(Uint8ClampedArray.of(90, 90, 90, 255)).chroma < 0.001);
  assert.deepEqual(meanColour(Uint8ClampedArray.of(1, 2, 3, 0)), { hue: 0, chroma: 0 });
});

test("the picture's quality says what bounds it, and nothing where nothing does", () => {
  const full = { width: 640, height: 480, max_fps: null, step: 0, reason: "" };
  assert.equal(qualityWords(full), "Picture 640×480");
  const low = { width: 320, height: 240, max_fps: 15, step: 4, reason: "a frame takes 180 ms" };
  assert.equal(qualityWords(low), "Picture 320×240, at most 15 fps: a frame takes 180 ms");
});

test("a recording's time is told as on a clock", () => {
  assert.deepEqual([0, 61.9, 3723].map(asClock), ["0:00", "1:01", "1:02:03"]);
});

test("a recording says where it goes, what it lost and why it stopped", () => {
  const film = {
    ...{ state: "on", files: ["/f/a.mp4"], seconds: 5, bytes: 2 ** 20, dropped: 0, problem: "" },
    ...{ signing: 0, unsigned: "" },
  };
  assert.deepEqual(wordsFor(null), { button: "Record", on: false, line: "", tone: "plain" });
  assert.equal(wordsFor(film).line, "Recording to a.mp4, 1.0 MiB");
  assert.match(wordsFor({ ...film, dropped: 3 }).line, / \(3 pictures left out/);
  assert.equal(wordsFor({ ...film, state: "stopped" }).line, "Kept: /f/a.mp4, 1.0 MiB.");
  assert.match(wordsFor({ ...film, state: "stopped", files: [] }).line, /there is no film/);
  assert.match(wordsFor({ ...film, state: "stopped", signing: 1 }).line, /MiB\. It is being signed\.$/);
  assert.match(
    wordsFor({ ...film, state: "stopped", unsigned: "no room" }).line,
    /MiB\. Not signed: No room\.$/,
  );
  assert.equal(wordsFor({ ...film, state: "failed", problem: "no room" }).tone, "problem");
});

test("ICE servers are read from Link with their passwords, whatever stands in those", () => {
  const link =
    '<stun:a.example>; rel="ice-server", <turn:b.example?transport=udp>; rel="ice-server"; ' +
    'username="1:me"; credential="p\\"w\\\\9,;<>"; credential-type="password", </next>; rel=next';
  const response = { headers: new Headers({ Link: link }) };
  assert.deepEqual(iceServers(response), [
    { urls: "stun:a.example" },
    { urls: "turn:b.example?transport=udp", username: "1:me", credential: 'p"w\\9,;<>' },
  ]);
  assert.deepEqual(iceServers({ headers: new Headers() }), []);
});
