"""What an SDP offer may contain before any parser sees it.

aiortc spends seconds of the event loop on a large offer (200 m-lines: 2 s), so size comes first.
Knows the text of SDP (RFC 8866) as lines, and no peer connection.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from realtime.errors import IceRestarted, OfferRejected

MAX_SDP_BYTES = 64 * 1024
MAX_LINES = 800
"""Chromium's offers with audio, video and data have about 250"""
MAX_MEDIA = 4
MAX_CANDIDATES = 64
_UFRAG = re.compile(r"^(?:a=ice-ufrag:|a=candidate:.* ufrag )(\S+)", re.M)
"""of a description or its part (RFC 8839 section 5.4), or of one candidate (RFC 8838 section 11)"""


def check_offer(sdp: str) -> None:
    """Refuse what is too large or plainly not an offer with one video.

    Raises:
        OfferRejected: with the value and the rule.
    """
    size = len(sdp.encode("utf-8", errors="replace"))
    if size > MAX_SDP_BYTES:
        raise OfferRejected(f"the SDP has {size} bytes; at most {MAX_SDP_BYTES} are read")
    lines = [line.strip() for line in sdp.splitlines()]
    if not lines or not lines[0].startswith("v=0"):
        raise OfferRejected("the body is not SDP: it does not begin with v=0")
    if len(lines) > MAX_LINES:
        raise OfferRejected(f"the SDP has {len(lines)} lines; at most {MAX_LINES} are read")
    _check_media([line for line in lines if line.startswith("m=")])
    check_candidates(sum(_is_candidate(line) for line in lines))


def without_mdns(sdp: str) -> str:
    """The SDP without candidates whose address is an mDNS name (browsers hide theirs so).

    To look one up is a second of multicast on the local network. It is not needed: the browser
    reaches this end by the candidates in the answer, and its address is learnt from its checks
    (peer-reflexive, RFC 8445 section 7.3.1.3). "No more candidates" would rule that out, so it goes
    as well.
    """
    lines = sdp.splitlines(keepends=True)
    kept = [line for line in lines if not (_is_candidate(line) and ".local " in line)]
    if len(kept) < len(lines):
        kept = [line for line in kept if not line.startswith("a=end-of-candidates")]
    return "".join(kept)


def ice_sessions(sdp: str) -> frozenset[str]:
    """The user name fragments in a description, which name its ICE sessions."""
    return frozenset(_UFRAG.findall(sdp))


def check_ice_session(fragment: str, known: Collection[str]) -> None:
    """Refuse candidates of another ICE session, which by RFC 8839 section 4.4.1 would restart it.

    Raises:
        IceRestarted: it names one that is not known.
    """
    strange = sorted(ice_sessions(fragment).difference(known))
    if strange:
        raise IceRestarted(
            f"ice-ufrag {strange[0][:40]!r} is not the offer's: ICE is not restarted here; "
            "end this and post a new offer"
        )


def check_candidates(count: int) -> None:
    """Refuse more ICE candidates than a browser has reason to send.

    Raises:
        OfferRejected: there are more than MAX_CANDIDATES.
    """
    if count > MAX_CANDIDATES:
        raise OfferRejected(f"{count} ICE candidates; at most {MAX_CANDIDATES} are taken")


def _is_candidate(line: str) -> bool:
    return line.startswith("a=candidate")


def _check_media(media: list[str]) -> None:
    if len(media) > MAX_MEDIA:
        raise OfferRejected(f"the offer has {len(media)} m-lines; at most {MAX_MEDIA} are taken")
    videos = sum(line.startswith("m=video ") for line in media)
    if videos != 1:
        raise OfferRejected(f"the offer has {videos} video m-lines; exactly one is served")
