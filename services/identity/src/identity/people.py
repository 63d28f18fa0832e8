"""How people come into the house: the first owner, invitations, and the way back after everything is lost."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import timedelta
from typing import Any

from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.models import Login
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from identity import audit
from identity.errors import (
    InviteRejected,
    InviteUnknown,
    PasswordWeak,
    RecoveryRejected,
    SetupDone,
    SetupTokenRejected,
    TooMany,
    UsernameInvalid,
    UsernameTaken,
)
from identity.house.models import USERNAME_PATTERN, Invite, Person, Role, Session, SetupClaim

OPEN_INVITES_MAX = 20
INVITE_HOURS_MAX = 24 * 14
RECOVERY_MINUTES = 30
TOKEN_BYTES = 32


def hash_of(token: str) -> str:
    """Return what is stored of a random token. It has 256 bits of its own: a slow hash would add nothing."""
    return hashlib.sha256(token.encode()).hexdigest()


def setup_needed() -> bool:
    """Whether the house still waits for its first owner."""
    return not SetupClaim.objects.exists()


def create_person(username: str, password: str, role: str) -> Person:
    """Add a person. Raises UsernameInvalid, UsernameTaken or PasswordWeak; call it inside a transaction."""
    name = username.strip().lower()
    if not re.fullmatch(USERNAME_PATTERN, name):
        raise UsernameInvalid
    person = Person(username=name, role=role)
    set_password(person, password)
    try:
        # Its own savepoint: a taken name must not spoil the caller's transaction before it is answered.
        with transaction.atomic():
            person.save(force_insert=True)
    except IntegrityError as error:
        raise UsernameTaken from error
    return person


def set_password(person: Person, password: str) -> None:
    """Set a password that passes the house's rules. Raises PasswordWeak."""
    try:
        validate_password(password, person)
    except ValidationError as error:
        raise PasswordWeak from error
    person.set_password(password)


def claim_house(request: HttpRequest, token: str, username: str, password: str) -> Person:
    """Make the first owner. Of any number of requests at once, one wins; afterwards all are refused."""
    if not constant_time_compare(hash_of(token), hash_of(settings.LARES.setup_token)):
        raise SetupTokenRejected
    if not setup_needed():
        raise SetupDone
    try:
        with transaction.atomic():
            person = create_person(username, password, Role.OWNER)
            # The single-row table decides: a second claim waits here for the first to commit, and then fails.
            SetupClaim.objects.create(id=1, person=person)
            audit.record(request, "setup.claimed", "ok", person=person)
    except (IntegrityError, UsernameTaken) as error:
        if setup_needed():
            raise
        raise SetupDone from error
    return person


def sign_in(request: HttpRequest, person: Person) -> None:
    """Sign in someone who has just proved themselves and set a password."""
    record_authentication(
        request, person, method="password", username=person.username, reauthenticated=True
    )
    perform_login(request, Login(user=person))


def make_invite(creator: Person | None, label: str, role: str, hours: int) -> tuple[Invite, str]:
    """Return a new invitation and its token, which is nowhere else. Raises TooMany."""
    now = timezone.now()
    if (
        Invite.objects.filter(used_at=None, revoked_at=None, expires_at__gt=now).count()
        >= OPEN_INVITES_MAX
    ):
        raise TooMany
    token = secrets.token_urlsafe(TOKEN_BYTES)
    invite = Invite.objects.create(
        token_hash=hash_of(token),
        label=label,
        role=role,
        created_by=creator,
        expires_at=now + timedelta(hours=hours),
    )
    return invite, token


def revoke_invite(invite_id: Any) -> None:
    """Close an open invitation. Raises InviteUnknown."""
    if not Invite.objects.filter(pk=invite_id, used_at=None, revoked_at=None).update(
        revoked_at=timezone.now()
    ):
        raise InviteUnknown


def _use(token: str, **wanted: Any) -> Invite | None:
    """Mark a letter used and return it; the update lets one request win."""
    now = timezone.now()
    letters = Invite.objects.filter(
        token_hash=hash_of(token), used_at=None, revoked_at=None, expires_at__gt=now, **wanted
    )
    if not letters.update(used_at=now):
        return None
    return Invite.objects.get(token_hash=hash_of(token))


def accept_invite(request: HttpRequest, token: str, username: str, password: str) -> Person:
    """Turn an open invitation into a person, once. Raises InviteRejected and what `create_person` raises."""
    with transaction.atomic():
        invite = _use(token, person=None)
        if invite is None:
            raise InviteRejected
        person = create_person(username, password, invite.role)
        audit.record(
            request, "invite.accepted", "ok", person=person, detail={"invite": str(invite.pk)}
        )
    return person


def make_recovery(person: Person, *, reset_second_factor: bool) -> str:
    """Return the token of a recovery link; earlier links of the same person close."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    now = timezone.now()
    with transaction.atomic():
        Invite.objects.filter(person=person, used_at=None, revoked_at=None).update(revoked_at=now)
        Invite.objects.create(
            token_hash=hash_of(token),
            label="recovery",
            role=person.role,
            person=person,
            reset_second_factor=reset_second_factor,
            expires_at=now + timedelta(minutes=RECOVERY_MINUTES),
        )
        audit.record(
            None,
            "recovery.link_made",
            "ok",
            person=person,
            detail={"reset_second_factor": reset_second_factor},
        )
    return token


def recover(request: HttpRequest, token: str, password: str) -> Person:
    """Set a new password by a recovery link, once; every session of the person ends. Raises RecoveryRejected."""
    with transaction.atomic():
        letter = _use(token, person__isnull=False)
        if letter is None or letter.person is None:
            raise RecoveryRejected
        person = letter.person
        set_password(person, password)
        person.is_active = True
        person.save(update_fields=["password", "is_active"])
        if letter.reset_second_factor:
            Authenticator.objects.filter(user=person).delete()
        ended = end_other_sessions(person, keep=None)
        detail = {"sessions_ended": ended, "reset_second_factor": letter.reset_second_factor}
        audit.record(request, "recovery.used", "ok", person=person, detail=detail)
    return person


def end_other_sessions(person: Person, keep: str | None) -> int:
    """Delete every session of a person but one; the database tells forward-auth. Returns how many ended."""
    UserSession.objects.filter(user=person).exclude(session_key=keep or "").delete()
    ended, _ = Session.objects.filter(person=person).exclude(session_key=keep or "").delete()
    return ended


def has_second_factor(person: Person) -> bool:
    """Whether signing in asks this person for more than a password."""
    return Authenticator.objects.filter(
        user=person, type__in=[Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]
    ).exists()


def invites() -> list[dict[str, Any]]:
    """Return the newest invitations, without their tokens."""
    rows = Invite.objects.filter(person=None).order_by(F("created_at").desc())[:100]
    return [
        {
            "id": str(row.pk),
            "label": row.label,
            "role": row.role,
            "created_at": row.created_at.isoformat(),
            "expires_at": row.expires_at.isoformat(),
            "state": row.state,
        }
        for row in rows
    ]
