"""A passkey in software, and an authenticator app: what a person holds in their hand, for tests."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import struct
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def b64(data: bytes) -> str:
    """Base64url without padding, as WebAuthn writes it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """The reverse of `b64`."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def cbor(value: Any) -> bytes:
    """The few kinds of CBOR that an attestation is made of."""
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        return _head(3, len(value)) + value.encode()
    return _head(5, len(value)) + b"".join(cbor(k) + cbor(v) for k, v in value.items())


def _head(kind: int, number: int) -> bytes:
    if number < 24:
        return bytes([kind << 5 | number])
    return (
        bytes([kind << 5 | 24, number])
        if number < 256
        else bytes([kind << 5 | 25]) + struct.pack(">H", number)
    )


class Passkey:
    """One resident credential. `origin`, `rp_id` and `challenge` may be forged per call."""

    def __init__(self, origin: str, rp_id: str) -> None:
        self.origin, self.rp_id = origin, rp_id
        self.id = secrets.token_bytes(16)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.user_handle = b""
        self.count = 0

    def create(self, options: dict[str, Any], **forged: Any) -> dict[str, Any]:
        """Answer creation options with a new credential."""
        public = options["publicKey"]
        self.user_handle = unb64(public["user"]["id"])
        numbers = self.key.public_key().public_numbers()
        cose = cbor(
            {
                1: 2,
                3: -7,
                -1: 1,
                -2: numbers.x.to_bytes(32, "big"),
                -3: numbers.y.to_bytes(32, "big"),
            }
        )
        attested = bytes(16) + struct.pack(">H", len(self.id)) + self.id + cose
        data = self._authenticator_data(forged, ATTESTED) + attested
        client = self._client_data("webauthn.create", public["challenge"], forged)
        attestation = cbor({"fmt": "none", "attStmt": {}, "authData": data})
        return self._credential(
            {"clientDataJSON": b64(client), "attestationObject": b64(attestation)},
            {"credProps": {"rk": True}},
        )

    def get(self, options: dict[str, Any], **forged: Any) -> dict[str, Any]:
        """Answer request options with an assertion."""
        client = self._client_data(
            "webauthn.get", forged.get("challenge", options["publicKey"]["challenge"]), forged
        )
        data = self._authenticator_data(forged, 0)
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        response = {
            "clientDataJSON": b64(client),
            "authenticatorData": b64(data),
            "signature": b64(signature),
            "userHandle": b64(forged.get("user_handle", self.user_handle)),
        }
        return self._credential(response, {})

    def _credential(self, response: dict[str, str], extensions: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": b64(self.id),
            "rawId": b64(self.id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "response": response,
            "clientExtensionResults": extensions,
        }

    def _authenticator_data(self, forged: dict[str, Any], flags: int) -> bytes:
        self.count += 1
        rp_hash = hashlib.sha256(forged.get("rp_id", self.rp_id).encode()).digest()
        seen = PRESENT | (VERIFIED if forged.get("verified", True) else 0)
        return rp_hash + bytes([flags | seen]) + struct.pack(">I", self.count)

    def _client_data(self, kind: str, challenge: str, forged: dict[str, Any]) -> bytes:
        return json.dumps(
            {
                "type": forged.get("type", kind),
                "challenge": challenge,
                "origin": forged.get("origin", self.origin),
                "crossOrigin": False,
            }
        ).encode()


def totp(secret: str, at: float | None = None) -> str:
    """The code an authenticator app shows."""
    counter = struct.pack(">Q", int(at if at is not None else time.time()) // 30)
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.new(key, counter, hashlib.sha1).digest()
    offset = digest[-1] & 0x0F
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 10**6:06}"
