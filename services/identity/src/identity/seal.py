"""Authenticator secrets at rest: AES-GCM under a key derived from `django_secret_key`."""

from __future__ import annotations

import base64
import secrets

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

NONCE_BYTES = 12
_PURPOSE = b"lares identity: second factor secrets, v1"
_PREFIX = "v1."


def _cipher() -> AESGCM:
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(
        settings.SECRET_KEY.encode()
    )
    return AESGCM(key)


def seal(text: str) -> str:
    """Return `text` sealed; a different string each time."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return (
        _PREFIX
        + base64.urlsafe_b64encode(
            nonce + _cipher().encrypt(nonce, text.encode(), _PURPOSE)
        ).decode()
    )


def open_(sealed: str) -> str:
    """Return what was sealed. Raises ValueError or InvalidTag when it was not sealed by this house."""
    if not sealed.startswith(_PREFIX):
        raise ValueError("not a sealed secret")
    raw = base64.urlsafe_b64decode(sealed.removeprefix(_PREFIX))
    return _cipher().decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _PURPOSE).decode()
