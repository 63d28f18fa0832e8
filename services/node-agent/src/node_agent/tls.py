"""Who this node is to the house, and who of the house may speak to it.

Four files in one folder, each 0600: `key.pem`, `node.pem` (this node's certificate), `authority.pem` (who signs it and the
house's own), and `next-key.pem` while a renewal is under way. Both sides must show a certificate of that authority, in
TLS 1.3 alone; the caller's says its role.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from kit.errors import KitError

Role = Literal["scheduler", "gateway"]
KEY, CERTIFICATE, AUTHORITY, NEXT_KEY = "key.pem", "node.pem", "authority.pem", "next-key.pem"
_ROLE = "lares:role:"
_ROLES: dict[str, Role] = {"scheduler": "scheduler", "gateway": "gateway"}
_BYTES_MAX = 16 * 1024


class NotJoined(KitError):
    """The node has no certificate yet: it cannot know whom to serve, so it serves nobody."""

    code, status = "node.not_joined", 503
    reason = "This node has not joined a house: its certificate, its key or its authority is missing or unreadable."
    fix = "On the house run `make gpu-node ADDRESS=... NAME=...`, then here `make up JOIN=<token>`."


class CertificateRefused(KitError):
    """A certificate came that is not for this node's new key, name or authority; the old one stays."""

    code, status = "node.certificate_refused", 409
    reason = "The certificate does not belong to the key that was made for it, or to this node."
    fix = "Ask for a new request and have that signed; if it lasts, join the node anew."


class Files(Protocol):
    """The setting that says where the files are; `Settings` of node-agent has it."""

    @property
    def tls_dir(self) -> Path: ...


def server_context(settings: Files) -> ssl.SSLContext:
    """Return how this node listens: TLS 1.3, and nobody without a certificate of its authority. Raises NotJoined."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    # A ticket would let a caller in again without showing its certificate.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    try:
        # Only this one: never what the system trusts.
        context.load_verify_locations(cafile=settings.tls_dir / AUTHORITY)
        load_own(context, settings.tls_dir)
    except (OSError, ssl.SSLError):
        raise NotJoined() from None
    return context


def load_own(context: ssl.SSLContext, folder: Path) -> None:
    """Show the certificate in `folder` from the next handshake on; open connections keep theirs. Raises OSError."""
    context.load_cert_chain(folder / CERTIFICATE, folder / KEY)


def role_of(peercert: Mapping[str, Any] | None) -> Role | None:
    """Return the role in a verified caller's certificate, or None: then it may do nothing. Takes ssl's `getpeercert()`."""
    names = [
        value
        for kind, value in (peercert or {}).get("subjectAltName", ())
        if kind == "URI" and value.startswith(_ROLE)
    ]
    return _ROLES.get(names[0].removeprefix(_ROLE)) if len(names) == 1 else None


def keep(folder: Path, name: str, content: bytes) -> None:
    """Write one file, 0600, whole or not at all, and on the disk when this returns."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = folder / f"{name}.new"
    beside.unlink(missing_ok=True)
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(folder / name)


def read(folder: Path, name: str) -> bytes:
    """Return one file. Raises NotJoined when it is missing, unreadable or far too large."""
    try:
        with (folder / name).open("rb") as file:
            content = file.read(_BYTES_MAX + 1)
    except OSError:
        raise NotJoined() from None
    if not 0 < len(content) <= _BYTES_MAX:
        raise NotJoined()
    return content
