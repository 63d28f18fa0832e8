"""How passwords are kept: argon2id at a cost a Pi can pay without running out of memory."""

from __future__ import annotations

import threading
from typing import Any

from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core.exceptions import ValidationError

PASSWORD_CHARS_MAX = 256
# Each check holds `memory_cost` KiB: two at a time keep the container within its limit whatever arrives.
_at_once = threading.BoundedSemaphore(2)


class HouseHasher(Argon2PasswordHasher):
    """argon2id with 32 MiB and three passes. Django's default takes 100 MiB a check."""

    time_cost = 3
    memory_cost = 32 * 1024
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        with _at_once:
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        with _at_once:
            return super().verify(password, encoded)


class LengthLimit:
    """Refuse passwords nobody types."""

    def validate(self, password: str, user: Any = None) -> None:
        """Raise ValidationError when the password is longer than the limit."""
        if len(password) > PASSWORD_CHARS_MAX:
            raise ValidationError("The password is too long.", code="password_too_long")

    def get_help_text(self) -> str:
        """Say the rule."""
        return f"At most {PASSWORD_CHARS_MAX} characters."
