"""The house renews this node's certificate: it asks for a new key's request, signs it, and brings the certificate.

The old key serves until the new one's certificate has been checked and stored; a renewal that breaks off changes nothing.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.gpunode import CERTIFICATE_PATH, CertificateGiven, CertificateRequest
from kit import logs
from kit.errors import KitError
from pydantic import ValidationError

from node_agent import tls

if TYPE_CHECKING:
    from aiohttp import web
    from cryptography import x509

log = logs.get(__name__)


class RoleRefused(KitError):
    """Only the scheduler may renew; the gateway may not."""

    code, status = "node.role_refused", 403
    reason = "The caller's certificate has no role that may do this."
    fix = "Ask from the service that this is for."


def new_request(name: str) -> tuple[bytes, str]:
    """Return a fresh key and the request for its certificate, both PEM. What the request claims beside its key counts nothing."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    pem = serialization.Encoding.PEM
    return (
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        request.sign(key, hashes.SHA256()).public_bytes(pem).decode(),
    )


def check(certificate_pem: bytes, key_pem: bytes, authority_pem: bytes) -> x509.Certificate:
    """Return the certificate if the authority signed it for this key. Raises CertificateRefused."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        authority = x509.load_pem_x509_certificate(authority_pem)
        certificate.verify_directly_issued_by(authority)
        if certificate.public_key() != load_pem_private_key(key_pem, None).public_key():
            raise tls.CertificateRefused()
    except (ValueError, TypeError, InvalidSignature):
        raise tls.CertificateRefused() from None
    return certificate


def names(certificate: x509.Certificate) -> set[str]:
    """Return the names and addresses that a certificate of `check` is for."""
    from cryptography import x509

    said = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {*said.get_values_for_type(x509.DNSName)} | {
        str(a) for a in said.get_values_for_type(x509.IPAddress)
    }


class Renewal:
    """This node's certificate and how it is replaced while the node serves."""

    def __init__(self, folder: Path, context: ssl.SSLContext) -> None:
        self._folder = folder
        self._context = context

    def request(self) -> CertificateRequest:
        """Make the next key and return the request for it; an earlier one that was not signed is forgotten."""
        key, csr = new_request("node")
        tls.keep(self._folder, tls.NEXT_KEY, key)
        return CertificateRequest(csr=csr)

    def take(self, given: CertificateGiven) -> None:
        """Serve with the new certificate from the next handshake on. Raises CertificateRefused, NotJoined; then nothing changed."""
        key = tls.read(self._folder, tls.NEXT_KEY)
        new = check(given.certificate.encode(), key, tls.read(self._folder, tls.AUTHORITY))
        old = check(
            tls.read(self._folder, tls.CERTIFICATE),
            tls.read(self._folder, tls.KEY),
            tls.read(self._folder, tls.AUTHORITY),
        )
        if names(new) != names(old):
            raise tls.CertificateRefused()
        # The certificate first: a power cut between the two is mended by `complete`, which finds the next key that fits.
        tls.keep(self._folder, tls.CERTIFICATE, given.certificate.encode())
        tls.keep(self._folder, tls.KEY, key)
        (self._folder / tls.NEXT_KEY).unlink()
        tls.load_own(self._context, self._folder)
        log.info("node.certificate_renewed", expires_at=new.not_valid_after_utc.isoformat())

    def routes(self) -> list[web.RouteDef]:
        """`POST` and `PUT /v1/certificate`, for the scheduler alone."""
        from aiohttp import web

        return [
            web.post(CERTIFICATE_PATH, self._post),
            web.put(CERTIFICATE_PATH, self._put),
        ]

    async def _post(self, request: web.Request) -> web.Response:
        from aiohttp import web

        _scheduler_only(request)
        return web.json_response(text=self.request().model_dump_json())

    async def _put(self, request: web.Request) -> web.Response:
        from aiohttp import web

        _scheduler_only(request)
        try:
            given = CertificateGiven.model_validate_json(await request.read())
        except ValidationError:
            raise tls.CertificateRefused() from None
        self.take(given)
        return web.Response(status=204)


def complete(folder: Path) -> None:
    """Finish a renewal that a power cut interrupted between its two files. Call before `server_context`."""
    try:
        certificate, authority = tls.read(folder, tls.CERTIFICATE), tls.read(folder, tls.AUTHORITY)
        next_key = tls.read(folder, tls.NEXT_KEY)
        check(certificate, next_key, authority)
    except (tls.NotJoined, tls.CertificateRefused):
        return
    tls.keep(folder, tls.KEY, next_key)


def _scheduler_only(request: web.Request) -> None:
    transport = request.transport
    peer = transport.get_extra_info("peercert") if transport else None
    if tls.role_of(peer) != "scheduler":
        raise RoleRefused()
