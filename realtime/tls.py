"""The daemon's own certificate: made for given host names, written where the settings point.

Browsers give a page the camera on this machine, or over TLS. Knows files, no sockets.
"""

from __future__ import annotations

import json
import shlex
import ssl
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

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
    return [
        f"written to {folder}: ca.pem, cert.pem, key.pem",
        "let browsers of other machines trust ca.pem; no other file of these leaves here",
        "then start the daemon with these settings:",
        "[server]",
        *(f"{key} = {value}" for key, value in _settings(names, folder).items()),
    ]


def commands(hosts: tuple[str, ...]) -> list[str]:
    """What to type so that other machines reach this one under these names."""
    names = tuple(dict.fromkeys((*hosts, "localhost", "127.0.0.1")))
    folder = (state_directory() / "tls").absolute()
    settings = _settings(names, folder).items()
    variables = [f"REENACTD_SERVER__{key.upper()}={_shell(value)}" for key, value in settings]
    return [
        " ".join(["reenactd tls init", *map(shlex.quote, hosts)]),
        " ".join([*variables, "reenactd serve"]),
    ]


def _settings(names: tuple[str, ...], folder: Path) -> dict[str, str]:
    """Section [server], each value as TOML has it."""
    return {
        "host": '"0.0.0.0"',
        "tls_cert": f'"{folder}/cert.pem"',
        "tls_key": f'"{folder}/key.pem"',
        "allowed_hosts": json.dumps(list(names)),
    }


def _shell(value: str) -> str:
    """A value of TOML as a word for a shell: lists stay JSON, strings lose their quotes."""
    return shlex.quote(value if value.startswith("[") else value.strip('"'))


@dataclass(frozen=True, slots=True)
class Certified:
    """What the daemon's certificate says to a browser."""

    hosts: tuple[str, ...]
    """names and addresses that it is for"""
    fingerprint: str
    """SHA-256, as browsers show it"""


def certified(cert: Path) -> Certified:
    """
    Raises:
        StartupError: the file cannot be read, or is no certificate.
    """
    try:
        leaf = x509.load_pem_x509_certificates(cert.read_bytes())[0]
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        found = None
    except (OSError, ValueError) as error:
        raise StartupError(f"server.tls_cert = {cert}: cannot be read ({error})") from error
    names = [] if found is None else found.get_values_for_type(x509.DNSName)
    addresses = [] if found is None else found.get_values_for_type(x509.IPAddress)
    return Certified(
        (*map(str, addresses), *names), leaf.fingerprint(hashes.SHA256()).hex(":").upper()
    )


class Chain:
    """The certificate as browsers are shown it. `renew` reads it again, from the same files."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.context: ssl.SSLContext | None = None
        """that is in use; set by whoever listens, None without TLS"""
        self._shown = self._read()

    def renew(self) -> bool:
        """Whether there is another one, which is shown from now on.

        Raises:
            StartupError: the files cannot be used; the old one is shown on.
        """
        cert, key = self._server.tls_cert, self._server.tls_key
        if self.context is None or cert is None or not check(self._server):
            return False
        found = self._read()
        if found == self._shown:
            return False
        try:
            self.context.load_cert_chain(cert, key, password="")
        except OSError as error:  # ssl.SSLError, too: changed once more meanwhile
            raise StartupError(f"server.tls_cert = {cert}: cannot be used ({error})") from error
        self._shown = found
        return True

    def _read(self) -> bytes | None:
        cert = self._server.tls_cert
        try:
            return None if cert is None else cert.read_bytes()
        except OSError as error:
            raise StartupError(f"server.tls_cert = {cert}: cannot be read ({error})") from error


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
