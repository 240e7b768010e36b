"""Lips and voice of a real browser: it flashes and clicks, and the film and its own player tell.

The browser draws the flash and sounds the click in one turn of its event loop, so what is measured
holds its own delays of canvas and audio graph as well: some 20 ms either way.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from realtime.bench.clap import Offsets, in_file
from tests.browser.conftest import Open
from tests.helpers import config_with
from tests.running import Running
from tests.test_lip_sync import EchoStudio

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CLAPS = 6
CLAP = """
async ([token, claps]) => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 240 });
  const pen = canvas.getContext("2d");
  const audio = new AudioContext({ sampleRate: 48000 });
  await audio.resume();
  const [tone, gain, heard] = [audio.createOscillator(), audio.createGain(),
                               audio.createMediaStreamDestination()];
  tone.frequency.value = 2000;
  gain.gain.value = 0;
  tone.connect(gain).connect(heard);
  tone.start();
  const camera = canvas.captureStream(30).getVideoTracks()[0];
  camera.contentHint = "detail";

  const peer = new RTCPeerConnection();
  peer.addTransceiver(camera, { direction: "sendrecv" });
  peer.addTransceiver(heard.stream.getAudioTracks()[0], { direction: "sendrecv" });
  const player = document.createElement("video");
  player.srcObject = new MediaStream(peer.getReceivers().map(({ track }) => track));
  player.autoplay = true;
  document.body.append(player);
  await peer.setLocalDescription();
  while (peer.iceGatheringState !== "complete") await new Promise((go) => setTimeout(go, 20));
  const headers = { Authorization: `Bearer ${token}` };
  const offer = { ...headers, "Content-Type": "application/sdp" };
  const options = { method: "POST", headers: offer, body: peer.localDescription.sdp };
  const answer = await fetch("/whip", options);
  const whip = answer.headers.get("Location");
  await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });

  let began = performance.now(), lit = false, flashes = 0;
  const drawing = setInterval(() => {
    const now = (performance.now() - began) % 1000 < 120;
    if (now && !lit) {
      flashes += 1;
      gain.gain.setValueAtTime(0.7, audio.currentTime);
      gain.gain.setValueAtTime(0, audio.currentTime + 0.01);
    }
    lit = now;
    pen.fillStyle = lit ? "#f0f0f0" : "#202020";
    pen.fillRect(0, 0, 320, 240);
    pen.fillStyle = `hsl(${performance.now() % 360} 50% 50%)`;
    pen.fillRect(0, 0, 8, 8); // a canvas that does not change gives no pictures
  }, 33);

  await new Promise((go) => setTimeout(go, 4000)); // both kinds of report have come
  const film = `/api/sessions/${whip.split("/").at(-1)}/recording`;
  await fetch(film, { method: "POST", headers });
  const apart = [];
  const until = flashes + claps;
  while (flashes < until) {
    await new Promise((go) => setTimeout(go, 500));
    const at = {};
    for (const entry of (await peer.getStats()).values()) {
      if (entry.type === "inbound-rtp") at[entry.kind] = entry.estimatedPlayoutTimestamp;
    }
    if (at.audio && at.video) apart.push(at.video - at.audio);
  }
  const said = await (await fetch(film, { method: "DELETE", headers })).json();
  clearInterval(drawing);
  await fetch(whip, { method: "DELETE", headers });
  peer.close();
  await audio.close();
  return { files: said.files, apart };
}
"""


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Running]:
    config = config_with(server={"port": 0}, recording={"directory": tmp_path / "films"})
    running = Running(monkeypatch, EchoStudio(), config)
    threads = threading.Thread(target=lambda: asyncio.run(running.listening()))
    threads.start()
    threads.join()
    yield running
    running.stop()


def test_a_browsers_clap_is_together_in_the_film_and_in_its_player(
    daemon: Running, visit: Open, figure: Callable[[str], None]
) -> None:
    visited = visit(daemon.url)
    visited.page.mouse.click(5, 5)  # sound wants a gesture
    token = daemon.url.partition("#token=")[2]
    said: dict[str, Any] = visited.page.evaluate(CLAP, [token, CLAPS])
    longest = max(map(Path, said["files"]), key=lambda path: path.stat().st_size)
    offsets = Offsets.of(*in_file(longest))
    figure(
        f"a browser's clap in a film: voice {offsets.median_ms:.0f} ms late, "
        f"at worst {offsets.worst_ms:.0f}, {offsets.within_40:.0%} of {offsets.claps} within 40"
    )
    if said["apart"]:
        figure(
            f"its player, by its own statistics: voice {median(said['apart']):.0f} ms later "
            f"than the picture of its time, {min(said['apart']):.0f} to {max(said['apart']):.0f}"
        )
    assert offsets.claps >= CLAPS - 2
    assert abs(offsets.median_ms) < 40
    assert offsets.within_40 >= 0.8, "but for what a busy machine tears apart"
