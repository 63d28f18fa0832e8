"""Sessions whose key in the database is only the hash of what the browser holds.

Django names `session_key` both the cookie's value and the row's key. Here the cookie carries a random `token`, and the
`session_key` (in the table, in allauth's session list, in a caller's `session_id`) is the token's hash. A leaked table
or backup therefore opens nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseSessionStore
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponseBase

TOKEN_BYTES = 32
TOKEN_LENGTH_MAX = 64
KEY_LENGTH = 40
RECORDS_KEY = "account_authentication_methods"


def key_of(token: str) -> str:
    """Return the row key of a cookie's token: 160 bits of SHA-256, what Django's column holds."""
    return hashlib.sha256(token.encode()).hexdigest()[:KEY_LENGTH]


def assurance(records: list[dict[str, Any]]) -> int:
    """Return 2 when any record proves a second factor or a verifying passkey, else 1."""
    return 2 if any(record.get("method") == "mfa" for record in records) else 1


class SessionStore(DatabaseSessionStore):
    """Database sessions that keep person, assurance level and time beside the data, for forward-auth to read."""

    def __init__(self, session_key: str | None = None, token: str | None = None) -> None:
        super().__init__(session_key)
        self.token = token

    @classmethod
    def from_token(cls, token: str | None) -> SessionStore:
        """Open the session a cookie names; anything misshapen opens a new, empty one."""
        if not token or len(token) > TOKEN_LENGTH_MAX or not token.isascii():
            return cls()
        return cls(key_of(token), token)

    @classmethod
    def get_model_class(cls) -> Any:
        from identity.house.models import Session

        return Session

    def _get_new_session_key(self) -> str:
        # 256 random bits never collide, and the insert is `must_create`: no look-up is needed.
        self.token = secrets.token_urlsafe(TOKEN_BYTES)
        return key_of(self.token)

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        row = super().create_model_instance(data)
        person_id = data.get(SESSION_KEY)
        if person_id:
            records = data.get(RECORDS_KEY) or []
            row.person_id = person_id
            row.aal = assurance(records)
            latest = max((float(r.get("at", 0)) for r in records), default=0.0)
            row.auth_time = datetime.fromtimestamp(latest, UTC) if latest else datetime.now(UTC)
        return row


class HouseSessionMiddleware(SessionMiddleware):
    """Django's session middleware, with the token in the cookie instead of the key."""

    def process_request(self, request: HttpRequest) -> None:
        request.session = SessionStore.from_token(request.COOKIES.get(settings.SESSION_COOKIE_NAME))

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        response = super().process_response(request, response)  # pyright: ignore[reportArgumentType]
        morsel = response.cookies.get(settings.SESSION_COOKIE_NAME)
        if morsel is not None and morsel.value:
            token = request.session.token
            morsel.set(settings.SESSION_COOKIE_NAME, token, token)
        return response
