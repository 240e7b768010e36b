"""Local certificate authorities: one is made, signs one certificate, and its key is forgotten.

A root that somebody has told a browser to trust could vouch for any site. What no longer exists
cannot be stolen: another certificate means another root. Knows no files.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from realtime.errors import ConfigError

CLOCK_SKEW = timedelta(hours=1)
"""certificates begin that much earlier: clocks of machines differ"""
C2PA_DAYS = 3650
"""a signature without a time stamp from a third party ends with its certificate"""
TLS_DAYS = 397
"""what browsers take"""

_HOST = re.compile(
    r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
)


@dataclass(frozen=True, slots=True)
class Chain:
    """A certificate, its key, and the root that signed it, each as PEM."""

    root: bytes
    leaf: bytes
    leaf_key: bytes
    """PKCS #8, not encrypted"""


def for_signing_media(now: datetime) -> Chain:
    """For C2PA: ES256, and the extended key usage that its trust model asks for."""
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    return _chain("reenactd media", usage, (), now, C2PA_DAYS)


def for_tls(hosts: Sequence[str], now: datetime) -> Chain:
    """For a server of these names and addresses.

    Raises:
        ConfigError: one of them is neither.
    """
    if not hosts:
        raise ConfigError("a TLS certificate needs at least one host name or address")
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    return _chain(hosts[0][:64], usage, tuple(_host(host) for host in hosts), now, TLS_DAYS)


def _chain(
    name: str,
    usage: x509.ExtendedKeyUsage,
    hosts: Sequence[x509.GeneralName],
    now: datetime,
    days: int,
) -> Chain:
    root_key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name, leaf_name = _name(f"reenactd local CA for {name}"[:64]), _name(name)
    root_id = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    begin, end = now - CLOCK_SKEW, now + timedelta(days=days)
    root = (
        _builder(root_name, root_name, root_key, begin, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(root_id, critical=False)
        .sign(root_key, hashes.SHA256())
    )
    leaf = (
        _builder(leaf_name, root_name, leaf_key, begin, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(usage, critical=False)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(leaf_key.public_key()), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(root_id), critical=False
        )
    )
    if hosts:
        leaf = leaf.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    pem = serialization.Encoding.PEM
    return Chain(
        root.public_bytes(pem),
        leaf.sign(root_key, hashes.SHA256()).public_bytes(pem),
        leaf_key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    begin: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )


def _name(common: str) -> x509.Name:
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "reenactd, this installation")
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        pass
    if len(host) > 253 or _HOST.fullmatch(host.lower()) is None:
        raise ConfigError(
            f"{host!r}: must be a host name or an address, without a port: studio.example.org"
        )
    return x509.DNSName(host.lower())
