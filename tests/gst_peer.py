"""A WHIP publisher and a WHEP player of nothing but GStreamer, for the system's Python.

    python3 gst_peer.py publish URL TOKEN CODEC            until its standard input ends
    python3 gst_peer.py play URL TOKEN CODEC PICTURES      a line of JSON for each picture
    python3 gst_peer.py claps URL TOKEN CODEC CLAPS        and one for each flash and click

A flash or click is told by its running time: when the player would show or sound it. The publisher
offers video and sound, send-only, at once and trickles its candidates by PATCH; the player offers
when it has them all. Knows nothing of reenactd.
"""

from __future__ import annotations

import array
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

PATIENCE_S = 25
RTP = "application/x-rtp,media=video,payload=96,clock-rate=90000,encoding-name="
CAPS = {
    "VP8": RTP + "VP8",
    "H264": RTP + "H264,packetization-mode=(string)1,profile-level-id=(string)42e01f",
}
DECODERS = {"VP8": "rtpvp8depay ! vp8dec", "H264": "rtph264depay ! h264parse ! openh264dec"}
ENCODERS = {
    "VP8": "vp8enc deadline=1 ! rtpvp8pay pt=96",
    "H264": "openh264enc complexity=low ! h264parse ! "
    "rtph264pay pt=96 config-interval=-1 aggregate-mode=zero-latency",
}
CAMERA = (
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=30/1 ! "
)
SOUND = (
    "audiotestsrc is-live=true wave=silence ! opusenc ! rtpopuspay ! "
    "application/x-rtp,media=audio,payload=97,encoding-name=OPUS ! rtc."
)
OPUS = "application/x-rtp,media=audio,payload=97,clock-rate=48000,encoding-name=OPUS"
RATE_HZ = 48_000
GREY = "videoconvert ! video/x-raw,format=GRAY8"
MONO = f"audioresample ! audio/x-raw,format=S16LE,channels=1,rate={RATE_HZ}"
MIDDLE, LOUD = 130, 3276
"""between dark and bright, of 255; a tenth of full scale"""
CLAPPING_S = 60
NEEDED = ("webrtcbin", "nicesrc", "dtlsenc", "srtpenc", "opusenc", "opusdec", "rtpopusdepay")


class Peer:
    """Offers, and takes the answer."""

    def __init__(self, pipeline: Any, url: str, token: str, *, trickles: bool) -> None:
        self._url, self._token, self._trickles = url, token, trickles
        self.pipeline, self._rtc = pipeline, pipeline.get_by_name("rtc")
        self._loop = GLib.MainLoop()
        self._failure = ""
        self._late: list[str] = []
        self._resource = self._etag = ""
        self._rtc.connect("notify::ice-gathering-state", self._gathered)
        self._rtc.connect(
            "on-ice-candidate", lambda _, line, text: GLib.idle_add(self._found, text)
        )
        bus = pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", lambda _, message: self.fail(str(message.parse_error())))

    def on_pad(self, decode: Any) -> None:
        self._rtc.connect("pad-added", decode)

    def run(self) -> None:
        """Until `end`; exits the process with what failed."""
        self.pipeline.set_state(Gst.State.PLAYING)
        self._rtc.emit("create-offer", None, Gst.Promise.new_with_change_func(self._offered, None))
        self._loop.run()
        if self._resource:
            self._call("DELETE", self._resource)
        self.pipeline.set_state(Gst.State.NULL)
        if self._failure:
            sys.exit(self._failure)

    def end(self) -> bool:
        self._loop.quit()
        return False

    def fail(self, why: str) -> bool:
        self._failure = self._failure or why
        return self.end()

    def _offered(self, promise: Any, _: Any) -> None:
        reply = promise.get_reply()  # it owns the offer, so it must outlive its use
        done = Gst.Promise.new_with_change_func(self._described, None)
        self._rtc.emit("set-local-description", reply.get_value("offer"), done)

    def _described(self, promise: Any, _: Any) -> None:
        if self._trickles:
            GLib.idle_add(self._post)

    def _found(self, candidate: str) -> bool:
        if self._trickles:
            self._late.append(candidate)
            self._trickle()
        return False

    def _gathered(self, rtc: Any, _: Any) -> None:
        state = rtc.get_property("ice-gathering-state")
        if state == GstWebRTC.WebRTCICEGatheringState.COMPLETE and not self._trickles:
            GLib.idle_add(self._post)

    def _post(self) -> bool:
        offer = self._rtc.get_property("local-description").sdp.as_text()
        answered = self._call("POST", self._url, "application/sdp", offer)
        if answered is None:
            return False
        headers, text = answered
        self._resource = urllib.parse.urljoin(self._url, headers["Location"])
        self._etag = headers["ETag"]
        _, sdp = GstSdp.SDPMessage.new_from_text(text)
        kind = GstWebRTC.WebRTCSDPType.ANSWER
        answer = GstWebRTC.WebRTCSessionDescription.new(kind, sdp)
        self._rtc.emit("set-remote-description", answer, None)
        self._trickle()
        return False

    def _trickle(self) -> None:
        if not self._resource or not self._late:
            return
        lines = ["a=mid:video0", *(f"a={candidate}" for candidate in self._late)]
        self._late.clear()
        body = "".join(f"{line}\r\n" for line in lines)
        self._call("PATCH", self._resource, "application/trickle-ice-sdpfrag", body)

    def _call(self, method: str, url: str, kind: str = "", body: str = "") -> Any:
        headers = {"Authorization": f"Bearer {self._token}"}
        if kind:
            headers["Content-Type"] = kind
        if method == "PATCH":
            headers["If-Match"] = self._etag
        request = urllib.request.Request(url, body.encode() or None, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.headers, response.read().decode()
        except urllib.error.HTTPError as error:
            self.fail(f"{method} {url}: {error.code} {error.read().decode()}")
            return None


def publish(url: str, token: str, codec: str) -> None:
    bundle = "webrtcbin name=rtc bundle-policy=max-bundle "
    pipeline = Gst.parse_launch(
        f"{bundle} {CAMERA} {ENCODERS[codec]} ! {RTP}{codec} ! rtc. {SOUND}"
    )
    rtc = pipeline.get_by_name("rtc")
    pipeline.set_state(Gst.State.READY)
    for index in range(2):
        transceiver = rtc.emit("get-transceiver", index)
        transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
    peer = Peer(pipeline, url, token, trickles=True)
    GLib.io_add_watch(
        sys.stdin, GLib.PRIORITY_DEFAULT, GLib.IO_HUP | GLib.IO_IN, lambda *_: peer.end()
    )
    peer.run()


def player(url: str, token: str, *offered: str) -> Peer:
    """One that has still to be run, and offers to receive what these caps say."""
    pipeline = Gst.parse_launch("webrtcbin name=rtc bundle-policy=max-bundle")
    if not isinstance(pipeline, Gst.Pipeline):
        element, pipeline = pipeline, Gst.Pipeline()
        pipeline.add(element)
    rtc = pipeline.get_by_name("rtc")
    pipeline.set_state(Gst.State.READY)
    direction = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
    for caps in offered:
        rtc.emit("add-transceiver", direction, Gst.Caps.from_string(caps))
    return Peer(pipeline, url, token, trickles=False)


def decode_into(peer: Peer, pad: Any, elements: str, take: Any) -> None:
    """Have every decoded buffer of a stream taken as it comes."""
    tail = Gst.parse_bin_from_description(
        f"{elements} ! appsink name=sink emit-signals=true sync=false", True
    )

    def pull(sink: Any) -> Any:
        take(sink.emit("pull-sample"))
        return Gst.FlowReturn.OK

    tail.get_by_name("sink").connect("new-sample", pull)
    peer.pipeline.add(tail)
    tail.sync_state_with_parent()
    pad.link(tail.get_static_pad("sink"))


def tell(**words: Any) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def play(url: str, token: str, codec: str, pictures: int) -> None:
    peer, left = player(url, token, CAPS[codec]), [pictures]

    def show(sample: Any) -> None:
        shape, buffer = sample.get_caps().get_structure(0), sample.get_buffer()
        data = buffer.extract_dup(0, buffer.get_size())[::97]
        size = {name: shape.get_value(name) for name in ("width", "height")}
        tell(**size, mean=sum(data) / len(data))
        left[0] -= 1
        if left[0] == 0:
            peer.end()

    peer.on_pad(lambda _, pad: decode_into(peer, pad, f"{DECODERS[codec]} ! {GREY}", show))
    GLib.timeout_add_seconds(PATIENCE_S, peer.fail, f"no {pictures} pictures in {PATIENCE_S} s")
    peer.run()


class Claps:
    """Flashes and clicks, told as they are decoded, until there are as many as wanted of both."""

    def __init__(self, peer: Peer, wanted: int) -> None:
        self._peer, self._left = peer, {"flash": wanted, "click": wanted}
        self._lit, self._quiet = True, 0

    def look(self, sample: Any) -> None:
        buffer = sample.get_buffer()
        data = buffer.extract_dup(0, buffer.get_size())[::97]
        was, self._lit = self._lit, sum(data) / len(data) > MIDDLE
        if self._lit and not was:
            self._found("flash", sample)

    def listen(self, sample: Any) -> None:
        buffer = sample.get_buffer()
        samples = array.array("h", buffer.extract_dup(0, buffer.get_size()))
        for index, value in enumerate(samples):
            if abs(value) <= LOUD:
                self._quiet += 1
                continue
            if self._quiet > RATE_HZ // 10:
                self._found("click", sample, index * 10**9 // RATE_HZ)
            self._quiet = 0

    def _found(self, what: str, sample: Any, later_ns: int = 0) -> None:
        at = sample.get_segment().to_running_time(Gst.Format.TIME, sample.get_buffer().pts)
        tell(**{what: at + later_ns})
        self._left[what] -= 1
        if max(self._left.values()) <= 0:
            self._peer.end()


def claps(url: str, token: str, codec: str, wanted: int) -> None:
    peer = player(url, token, CAPS[codec], OPUS)
    found = Claps(peer, wanted)

    def decode(_: Any, pad: Any) -> None:
        if pad.get_current_caps().get_structure(0).get_value("media") == "audio":
            decode_into(peer, pad, f"rtpopusdepay ! opusdec ! audioconvert ! {MONO}", found.listen)
        else:
            decode_into(peer, pad, f"{DECODERS[codec]} ! {GREY}", found.look)

    peer.on_pad(decode)
    GLib.timeout_add_seconds(CLAPPING_S, peer.fail, f"no {wanted} claps in {CLAPPING_S} s")
    peer.run()


def check(codec: str) -> None:
    """Exit with what GStreamer lacks."""
    words = f"{ENCODERS[codec]} {DECODERS[codec]}".replace("!", " ").split()
    names = [word for word in words if word.isalnum()]
    missing = [name for name in (*NEEDED, *names) if Gst.ElementFactory.find(name) is None]
    if missing:
        sys.exit(f"GStreamer has no {', '.join(missing)}")


if __name__ == "__main__":
    Gst.init(None)
    mode, *rest = sys.argv[1:]
    if mode == "play":
        play(rest[0], rest[1], rest[2], int(rest[3]))
    elif mode == "claps":
        claps(rest[0], rest[1], rest[2], int(rest[3]))
    elif mode == "publish":
        publish(rest[0], rest[1], rest[2])
    else:
        check(rest[0])
