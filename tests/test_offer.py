"""The first look at an offer: size and shape, before any parser."""

from __future__ import annotations

import pytest

from realtime.errors import IceRestarted, OfferRejected
from realtime.offer import (
    MAX_CANDIDATES,
    MAX_LINES,
    MAX_SDP_BYTES,
    check_candidates,
    check_ice_session,
    check_offer,
    ice_sessions,
    without_mdns,
)

HEAD = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
VIDEO = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n"
DATA = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
CANDIDATE = "a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n"


@pytest.mark.parametrize("sdp", [HEAD + VIDEO, HEAD + VIDEO + DATA, HEAD + DATA + VIDEO + DATA])
def test_accepted(sdp: str) -> None:
    check_offer(sdp)


@pytest.mark.parametrize(
    ("sdp", "complaint"),
    [
        ("", "does not begin with v=0"),
        ("hello", "does not begin with v=0"),
        (HEAD, "0 video m-lines"),
        (HEAD + DATA, "0 video m-lines"),
        (HEAD + VIDEO + VIDEO, "2 video m-lines"),
        (HEAD + VIDEO + DATA * 4, "5 m-lines; at most 4"),
        (HEAD + VIDEO + CANDIDATE * (MAX_CANDIDATES + 1), "65 ICE candidates; at most 64"),
        (HEAD + VIDEO + "a=x\r\n" * MAX_LINES, f"at most {MAX_LINES} are read"),
        (HEAD + VIDEO + "a=" + "x" * MAX_SDP_BYTES, f"at most {MAX_SDP_BYTES} are read"),
    ],
)
def test_refused_with_the_value_and_the_rule(sdp: str, complaint: str) -> None:
    with pytest.raises(OfferRejected) as caught:
        check_offer(sdp)
    assert complaint in str(caught.value)


def test_candidates_are_counted_to_their_limit() -> None:
    check_candidates(MAX_CANDIDATES)
    with pytest.raises(OfferRejected):
        check_candidates(MAX_CANDIDATES + 1)


HIDDEN = "a=candidate:1 1 udp 1 1a17c481-989c.local 56321 typ host\r\n"
END = "a=end-of-candidates\r\n"


def test_hidden_addresses_are_left_out_and_more_may_come() -> None:
    sdp = HEAD + VIDEO + HIDDEN + CANDIDATE + END
    assert without_mdns(sdp) == HEAD + VIDEO + CANDIDATE


def test_an_offer_without_hidden_addresses_stays_as_it_is() -> None:
    sdp = HEAD + VIDEO + CANDIDATE + END
    assert without_mdns(sdp) == sdp


def test_an_ice_session_is_known_by_its_name_wherever_it_stands() -> None:
    two = f"a=ice-ufrag:one\r\n{VIDEO}a=ice-ufrag:t+/o\r\n"
    assert ice_sessions(HEAD + two) == {"one", "t+/o"}
    of_candidate = CANDIDATE.replace("host", "host generation 0 ufrag t+/o network-id 1")
    for fragment in ("", CANDIDATE, of_candidate, f"a=ice-ufrag:one\r\n{of_candidate}", two):
        check_ice_session(fragment, ice_sessions(two))
    for fragment in ("a=ice-ufrag:three\r\n", of_candidate.replace("t+/o", "three"), two + two):
        with pytest.raises(IceRestarted, match="is not the offer's.*post a new offer"):
            check_ice_session(fragment, {"one"})
