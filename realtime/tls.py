"""The daemon's own certificate: made for given host names, written where the settings point.

Browsers give a page the camera on this machine, or over TLS. Knows files, no sockets.
"""

from __future__ import annotations

import ssl
from datetime import datetime, timezone
from pathlib import Path

from realtime import certificates
from realtime.config import Server, state_directory
from realtime.errors import StartupError
from realtime.private_files import read_private, write_private


def init(hosts: tuple[str, ...], directory: Path | None) -> list[str]:
    """Make and write a CA and a certificate. Returns what to do next, line by line.

    Raises:
        ConfigError: a host is no name and no address.
        StartupError: the files cannot be written.
    """
    names = tuple(dict.fromkeys((*hosts, "localhost", "127.0.0.1")))
    made = certificates.for_tls(names, datetime.now(timezone.utc))
    folder = (directory or state_directory() / "tls").absolute()
    write_private(folder / "ca.pem", made.root)
    write_private(folder / "cert.pem", made.leaf + made.root)
    write_private(folder / "key.pem", made.leaf_key)
    allowed = ", ".join(f'"{host}"' for host in names)
    return [
        f"written to {folder}: ca.pem, cert.pem, key.pem",
        "let browsers of other machines trust ca.pem; no other file of these leaves here",
        "then start the daemon with these settings:",
        "[server]",
        'host = "0.0.0.0"',
        f'tls_cert = "{folder / "cert.pem"}"',
        f'tls_key = "{folder / "key.pem"}"',
        f"allowed_hosts = [{allowed}]",
    ]


def check(server: Server) -> bool:
    """Whether TLS is configured and usable; False where it is not configured.

    Raises:
        StartupError: it is, and a file is missing, open to others, or does not fit.
    """
    if server.tls_cert is None and server.tls_key is None:
        return False
    if server.tls_cert is None or server.tls_key is None:
        missing = "tls_cert" if server.tls_cert is None else "tls_key"
        raise StartupError(
            f"server.{missing} is not set, its other half is: TLS needs both (`reenactd tls init`)"
        )
    if read_private(server.tls_key) is None:
        raise StartupError(f"server.tls_key = {server.tls_key}: there is no such file")
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # An encrypted key would ask at the terminal: an empty password fails instead.
        context.load_cert_chain(server.tls_cert, server.tls_key, password="")
    except (OSError, ValueError) as error:
        raise StartupError(
            f"server.tls_cert = {server.tls_cert}: cannot be used with server.tls_key ({error}); "
            "make new ones with `reenactd tls init HOST`"
        ) from error
    return True
