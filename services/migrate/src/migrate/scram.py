"""SCRAM verifiers made here, so that a password never travels in a statement, a log or a statistics view."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

_ITERATIONS = 4096
_ITERATIONS_MAX = 100_000


def verifier(password: str, salt: bytes | None = None, iterations: int = _ITERATIONS) -> str:
    """Return what Postgres keeps for `password` (RFC 5803), with a fresh salt unless one is given."""
    salt = os.urandom(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    salt_text, stored_text, server_text = (
        base64.b64encode(part).decode() for part in (salt, stored_key, server_key)
    )
    return f"SCRAM-SHA-256${iterations}:{salt_text}${stored_text}:{server_text}"


def matches(password: str, kept: str | None) -> bool:
    """Say whether `kept` is a verifier of `password`; anything malformed is not."""
    try:
        scheme, parameters, _keys = (kept or "").split("$")
        iterations, salt = parameters.split(":")
        if scheme != "SCRAM-SHA-256" or not 0 < int(iterations) <= _ITERATIONS_MAX:
            return False
        expected = verifier(password, base64.b64decode(salt, validate=True), int(iterations))
    except ValueError:
        return False
    return hmac.compare_digest(expected, kept or "")
