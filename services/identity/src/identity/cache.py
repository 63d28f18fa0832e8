"""The cache allauth keeps its counters and used codes in: Postgres, so that a restart forgets nothing."""

from __future__ import annotations

from typing import Any

from django.core.cache.backends.db import DatabaseCache

USED_CODE_PREFIX = "allauth.mfa.totp.used"
# A code is accepted from one period before to one after: remember it for longer than all three.
USED_CODE_SECONDS_MIN = 120


class HouseCache(DatabaseCache):
    """A database cache that remembers a used authenticator code for as long as it could be accepted.

    allauth remembers it for one period (30 s) whatever the tolerance; with a tolerance of one period that would let the same
    code in twice.
    """

    def add(self, key: Any, value: Any, timeout: Any = ..., version: int | None = None) -> bool:
        if str(key).startswith(USED_CODE_PREFIX):
            timeout = USED_CODE_SECONDS_MIN
        if timeout is ...:
            return super().add(key, value, version=version)
        return super().add(key, value, timeout, version)
