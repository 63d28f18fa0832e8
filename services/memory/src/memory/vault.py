"""Seals what sacred rows say: AES-256-GCM, bound to the row, its subject and the column it stands in."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from memory.domain import DIMENSIONS
from memory.errors import SacredKeyInvalid, SacredUnreadable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12
_KEY_BYTES = 32


class Vault:
    """One data key. What it sealed opens only under the same key, row, subject and column."""

    def __init__(self, data_key: str) -> None:
        """Take the secret's text: 32 random bytes in base64. Raises SacredKeyInvalid when it is anything else."""
        try:
            key = base64.b64decode(data_key, validate=True)
        except (binascii.Error, ValueError):
            raise SacredKeyInvalid() from None
        if len(key) != _KEY_BYTES:
            raise SacredKeyInvalid()
        self._key = key
        self._cipher: AESGCM | None = None
        # A name for the key that tells nothing of it: rows say which key they need.
        self.key_id = "k1-" + hashlib.sha256(b"lares sacred key id\0" + key).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"Vault({self.key_id})"

    def _aes(self) -> AESGCM:
        if self._cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            self._cipher = AESGCM(self._key)
        return self._cipher

    def seal(self, subject: UUID, row: UUID, column: str, value: bytes) -> bytes:
        """Return `value` sealed for exactly this place."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aes().encrypt(nonce, value, _place(subject, row, column))

    def open(self, subject: UUID, row: UUID, column: str, key_id: str, sealed: bytes) -> bytes:
        """Return what was sealed for this place. Raises SacredUnreadable for another key, place or content."""
        from cryptography.exceptions import InvalidTag

        if key_id != self.key_id:
            raise SacredUnreadable()
        try:
            nonce, body = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            return self._aes().decrypt(nonce, body, _place(subject, row, column))
        except (InvalidTag, ValueError):
            raise SacredUnreadable() from None

    def derive(self, purpose: str) -> bytes:
        """Return another key of 32 bytes for one purpose; neither tells anything of the other."""
        return hmac.new(self._key, b"lares derived\0" + purpose.encode(), hashlib.sha256).digest()

    def fingerprint(self, value: bytes) -> bytes:
        """Return a hash of `value` that nobody without the key can compare guesses with."""
        return hmac.new(self._key, b"lares fingerprint\0" + value, hashlib.sha256).digest()


def _place(subject: UUID, row: UUID, column: str) -> bytes:
    return b"\0".join((b"sacred.memory", column.encode(), row.bytes, subject.bytes))


def pack_vector(vector: Sequence[float]) -> bytes:
    """Return an embedding as 32-bit floats. Raises ValueError when it has a length that none has."""
    if len(vector) not in DIMENSIONS:
        raise ValueError(f"an embedding has one of {sorted(DIMENSIONS)} numbers")
    return array("f", vector).tobytes()


def unpack_vector(packed: bytes) -> array[float]:
    """Return the embedding that `pack_vector` was given."""
    vector = array("f")
    vector.frombytes(packed)
    return vector
