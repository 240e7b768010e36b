"""The running daemon, for its own command line: where it is, and one HTTP call.

Found as `serve` was configured: host and port of the settings, and the token file that it made. No
proxy is asked, and the token goes to this machine or over TLS only. Knows no metrics and no tables.
"""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from realtime.access import find_token, is_loopback
from realtime.config import Config, state_directory
from realtime.errors import ConfigError, ReenactdError
from realtime.naming import shown

TIMEOUT_S = 5.0


NOT_ROUTED = "Not Found"
"""what a daemon says of a path that it does not serve"""


class Unanswered(ReenactdError):
    """The daemon is not there, or does not let us in."""


class Absent(Unanswered):
    """The daemon is there; what was asked for is not, or not now (HTTP 404)."""


@dataclass(frozen=True, slots=True)
class Address:
    """A running daemon."""

    url: str
    """http://127.0.0.1:8700, without a path"""
    token: str = field(repr=False)
    authority: Path | None = None
    """PEM of who signed its certificate; None: whom this machine believes"""


def find(config: Config, url: str | None) -> Address:
    """Where the daemon of these settings listens, or the one that is named.

    Args:
        url: as the daemon printed it; its token may be left out, and is then read from the file.

    Raises:
        StartupError: no token can be had.
        ConfigError: the URL is none, or the token would go over an open line; or the settings
            leave the port to chance.
    """
    server = config.server
    if url is None and server.port == 0:
        raise ConfigError("[server] port = 0 takes any free port: give the printed URL as --url")
    host = f"[{server.host}]" if ":" in server.host.strip("[]") else server.host
    scheme = "http" if server.tls_cert is None else "https"
    if server.host in ("0.0.0.0", "::"):
        host = "localhost"
    parts = urlsplit(url or f"{scheme}://{host}:{server.port}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"--url {url}: must be as http://127.0.0.1:8700")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ConfigError(
            f"--url {parts.scheme}://{parts.netloc}: the token would be sent in the open; "
            "use https, or run this on the daemon's machine"
        )
    _, _, token = parts.fragment.partition("token=")
    token = token or find_token(server.token_file or state_directory() / "token")
    return Address(f"{parts.scheme}://{parts.netloc}", token, server.tls_cert)


@contextmanager
def call(
    address: Address,
    method: str,
    path: str,
    timeout_s: float = TIMEOUT_S,
    sdp: str | None = None,
) -> Iterator[http.client.HTTPResponse]:
    """The open answer to one request.

    Args:
        timeout_s: of connecting, and of each wait for more.
        sdp: the body, for a request that has one.

    Raises:
        Absent: there is no such thing.
        Unanswered: nobody listens, the token is wrong, or the daemon refuses.
    """
    headers = {"Authorization": f"Bearer {address.token}"}
    if sdp is not None:
        headers["Content-Type"] = "application/sdp"
    body = None if sdp is None else sdp.encode()
    request = urllib.request.Request(address.url + path, body, headers, method=method)
    try:
        secured = urllib.request.HTTPSHandler(
            context=ssl.create_default_context(cafile=address.authority)
        )
        handlers = (urllib.request.ProxyHandler({}), secured, _NoRedirect)
        opener = urllib.request.build_opener(*handlers)
        with opener.open(request, timeout=timeout_s) as response:
            yield response
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(address, path, error) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise Unanswered(
            f"no reenactd answers at {address.url} ({reason}): start it with `reenactd serve`, or "
            "give the URL that it printed as --url"
        ) from None


def get(address: Address, path: str) -> str:
    """
    Raises:
        Unanswered: as of `call`.
    """
    with call(address, "GET", path) as response:
        text: str = response.read().decode()
        return text


def who_performs(address: Address) -> str:
    """As a message ends to whoever named a session that is not there.

    Raises:
        Unanswered: as of `call`.
    """
    sessions = json.loads(get(address, "/api/sessions"))
    there = [shown(session["session"], session["name"]) for session in sessions]
    return f"there are: {', '.join(there)}" if there else "none is running"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A daemon sends nobody elsewhere; the token stays here."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _refusal(address: Address, path: str, error: urllib.error.HTTPError) -> Unanswered:
    if error.code == 401:
        return Unanswered(
            f"the token is not that of the daemon at {address.url}: give the --config with which "
            "it was started, or the URL that it printed as --url"
        )
    said = error.read().decode(errors="replace")
    try:
        text, is_daemon = str(json.loads(said)["error"]), True
    except (ValueError, KeyError, TypeError):
        text, is_daemon = said[:200], False
    if error.code == 404 and is_daemon and text != NOT_ROUTED:
        return Absent(text)
    if error.code == 404:
        text = "no reenactd, or one of another release"
    return Unanswered(f"{address.url}{path}: HTTP {error.code}: {text}")
