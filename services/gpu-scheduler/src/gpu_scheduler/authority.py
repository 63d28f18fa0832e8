"""The house's authority for GPU nodes: it signs their certificates, and says how the scheduler calls a node.

A node's certificate bears the name of its *joining* (`forge-1a2b3c4d.node.lares`) and its address. The house believes a
node under the name of its present joining alone, so the certificate of a node that was removed, or that has joined
anew, is worth nothing, wherever it is shown.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kit.clock import Clock

from gpu_scheduler.join_errors import RequestInvalid

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

VALID_DAYS = 365
CURVE = "secp256r1"
# Clocks of the two machines need not agree to the minute.
BACKDATED = timedelta(hours=1)


@dataclass(frozen=True)
class Issued:
    """A node's certificate, and what the house keeps of it."""

    certificate: str  # PEM
    serial: str  # hex
    fingerprint: str  # SHA-256 of the certificate, hex
    expires_at: datetime


class Authority:
    """Signs what a node asks for, and nothing that it claims: names come from the house's own books."""

    def __init__(self, certificate: str, key: str, clock: Clock) -> None:
        self.certificate = certificate
        self._key = key
        self._clock = clock

    def sign(self, csr: str, *, name: str, address: str, tls_name: str) -> Issued:
        """Return a certificate for the key of `csr`, as a server alone. Raises RequestInvalid."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

        key = _key_of(csr)
        own = serialization.load_pem_private_key(self._key.encode(), None)
        if not isinstance(own, ec.EllipticCurvePrivateKey):
            raise TypeError("the authority's key is not of the kind that set-up makes")
        issuer = x509.load_pem_x509_certificate(self.certificate.encode())
        now = self._clock.now()
        expires = min(now + timedelta(days=VALID_DAYS), issuer.not_valid_after_utc)
        names = [x509.DNSName(tls_name), x509.IPAddress(ipaddress.ip_address(address))]
        usage = {
            name: name == "digital_signature"
            for name in (
                "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
                "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
            )
        }  # fmt: skip
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(issuer.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(expires)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(own.public_key()), critical=False
            )
            .sign(own, hashes.SHA256())
        )
        return Issued(
            certificate=certificate.public_bytes(serialization.Encoding.PEM).decode(),
            serial=format(certificate.serial_number, "x"),
            fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
            expires_at=certificate.not_valid_after_utc,
        )


def new_tls_name(name: str) -> str:
    """Return the name of one joining: no other joining, of this node or another, has it."""
    return f"{name}-{secrets.token_hex(6)}.node.lares"


def client_context(authority: str, certificate: str, key: str) -> ssl.SSLContext:
    """Return how a node is called: TLS 1.3, this authority alone, the name checked, our own certificate shown.

    All three are PEM. Call with `server_hostname` set to the node's `tls_name`. Raises ssl.SSLError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=authority)
    # OpenSSL reads these from files only: one that has no name, and is gone when it is closed.
    memory = os.memfd_create("node-client")
    try:
        os.write(memory, f"{certificate.strip()}\n{key.strip()}\n".encode())
        context.load_cert_chain(f"/proc/self/fd/{memory}")
    finally:
        os.close(memory)
    return context


def _key_of(csr: str) -> ec.EllipticCurvePublicKey:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        request = x509.load_pem_x509_csr(csr.encode())
        key = request.public_key()
        # Whoever asks holds the key: it signed the request.
        signed = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise RequestInvalid() from None
    if not signed or not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != CURVE:
        raise RequestInvalid()
    return key
