"""An independent WHIP publisher whose signalling is not ours either: FFmpeg's muxer.

It is the DTLS server unless told otherwise, names no candidate, takes the first one of the answer,
and answers no request for a key frame. With GnuTLS, as in PyAV, the certificate that it makes for
itself is on the curve P-224, which OpenSSL 4 does not know any more; so it is given one.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import av
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.helpers import TOKEN, Stand, Watcher, until
from tests.test_gstreamer import served

__all__ = ["served"]  # a fixture

PEER = Path(__file__).with_name("ffmpeg_peer.py")
pytestmark = pytest.mark.skipif(
    "whip" not in av.formats_available,
    reason=f"PyAV {av.__version__} here comes with an FFmpeg without the WHIP muxer",
)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, ...]:
    """On the curve that RFC 8827 section 6.5 asks of everybody: what the muxer is told of it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "FFmpeg")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    text = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (tmp_path / "cert.pem").write_bytes(text)
    how = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (tmp_path / "key.pem").write_bytes(key.private_bytes(*how, serialization.NoEncryption()))
    return f"cert_file={tmp_path}/cert.pem", f"key_file={tmp_path}/key.pem"


async def publisher(url: str, *words: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, str(PEER), url, *words, stdin=pipe, stdout=pipe, stderr=pipe
    )


@pytest.mark.parametrize(
    "words", [("baseline",), ("high",), ("baseline", "whip_flags=dtls_active")], ids=" ".join
)
async def test_ffmpeg_publishes_and_a_viewer_watches(
    served: tuple[Stand, str], words: tuple[str, ...], certificate: tuple[str, ...]
) -> None:
    stand, url = served
    peer = await publisher(f"{url}/whip?name=ffmpeg", TOKEN, *words, *certificate)
    try:
        await until(lambda: stand.daemon.sessions.find("ffmpeg") is not None)
        session = stand.daemon.sessions.find("ffmpeg")
        assert session is not None
        await until(lambda: session.state == "LIVE")
        watcher = Watcher(stand.http)
        await watcher.connect("/whep/ffmpeg")
        await until(lambda: len([seen for seen in watcher.seen if not seen.is_card]) > 20)
        assert session._peer.microphone is not None
        await watcher.close()
    finally:
        _, log = await asyncio.wait_for(peer.communicate(b""), 20)
    assert peer.returncode == 0, log.decode()
    await until(lambda: len(stand.daemon.sessions) == 0)  # it sends DELETE


async def test_a_wrong_token_lets_ffmpeg_know(served: tuple[Stand, str]) -> None:
    _, url = served
    peer = await publisher(f"{url}/whip", "not-the-token", "baseline")
    assert peer.stderr is not None
    log = await asyncio.wait_for(peer.stderr.read(), 20)
    assert await peer.wait() == 1 and "401" in log.decode()
