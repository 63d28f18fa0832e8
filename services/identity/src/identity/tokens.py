"""Personal access tokens: shown once, kept as a hash, scoped, expiring, revocable."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from identity import audit
from identity.errors import TokenInvalid, TokenUnknown, TooMany
from identity.house.models import AccessToken, Person

PREFIX = "lares_pat_"
# What concerns everybody in the house is the owner's to give.
OWNER_SCOPES = ("inference:read", "inference:manage")
SCOPES = ("memory:read", "memory:write", *OWNER_SCOPES)
TIERS = ("convenience", "sensitive")
DAYS_MAX = 365
ACTIVE_MAX = 50


def make_token(request: HttpRequest, person: Person, body: dict[str, Any]) -> dict[str, Any]:
    """Return a new token with its secret. Raises TokenInvalid or TooMany."""
    name, scopes, tiers, days = _checked(body)
    if person.role != "owner" and any(scope in OWNER_SCOPES for scope in scopes):
        raise TokenInvalid(f"scopes: {', '.join(OWNER_SCOPES)} are for the owner's tokens alone.")
    now = timezone.now()
    if (
        AccessToken.objects.filter(person=person, revoked_at=None, expires_at__gt=now).count()
        >= ACTIVE_MAX
    ):
        raise TooMany
    token_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    with transaction.atomic():
        row = AccessToken.objects.create(
            id=token_id,
            person=person,
            name=name,
            # 256 random bits: a fast hash is as safe as a slow one, and forward-auth checks it on every call.
            secret_hash=hashlib.sha256(secret.encode()).hexdigest(),
            scopes=scopes,
            tiers=tiers,
            expires_at=now + timedelta(days=days),
        )
        audit.record(
            request,
            "token.made",
            "ok",
            person=person,
            detail={"token": token_id, "scopes": scopes, "tiers": tiers, "days": days},
        )
    return {**_said(row), "secret": f"{PREFIX}{token_id}_{secret}"}


def _checked(body: dict[str, Any]) -> tuple[str, list[str], list[str], int]:
    name, scopes, tiers, days = (
        body.get("name"),
        body.get("scopes"),
        body.get("tiers", ["convenience"]),
        body.get("expires_in_days"),
    )
    if not isinstance(name, str) or not 1 <= len(name.strip()) <= 80 or "\0" in name:
        raise TokenInvalid("name: 1 to 80 characters are expected.")
    if not isinstance(scopes, list) or not scopes or any(scope not in SCOPES for scope in scopes):
        raise TokenInvalid(f"scopes: one or more of {', '.join(SCOPES)} are expected.")
    if not isinstance(tiers, list) or not tiers or any(tier not in TIERS for tier in tiers):
        raise TokenInvalid(
            f"tiers: one or more of {', '.join(TIERS)} are expected; a token never reaches sacred memories."
        )
    if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= DAYS_MAX:
        raise TokenInvalid(f"expires_in_days: 1 to {DAYS_MAX} is expected.")
    return name.strip(), sorted(set(scopes)), sorted(set(tiers)), days


def revoke_token(request: HttpRequest, person: Person, token_id: str) -> None:
    """End a token at once. Raises TokenUnknown for one that is not the person's or ended before."""
    with transaction.atomic():
        mine = AccessToken.objects.filter(pk=token_id, person=person, revoked_at=None)
        if not mine.update(revoked_at=timezone.now()):
            raise TokenUnknown
        audit.record(request, "token.revoked", "ok", person=person, detail={"token": token_id})


def tokens(person: Person) -> list[dict[str, Any]]:
    """Return the person's tokens, newest first, without their secrets."""
    return [
        _said(row)
        for row in AccessToken.objects.filter(person=person).order_by("-created_at")[:200]
    ]


def _said(row: AccessToken) -> dict[str, Any]:
    return {
        "id": row.pk,
        "name": row.name,
        "scopes": row.scopes,
        "tiers": row.tiers,
        "created_at": row.created_at.isoformat(),
        "expires_at": row.expires_at.isoformat(),
        "last_used_at": row.last_used_at.isoformat() if row.last_used_at else None,
        "state": row.state,
    }
