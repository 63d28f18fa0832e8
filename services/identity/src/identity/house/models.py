"""Tables of the schema `edge` that identity owns. Production tables come from db/migrations, never from Django."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.sessions.base_session import AbstractBaseSession
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

USERNAME_PATTERN = r"^[a-z0-9](?:[a-z0-9._-]{0,30}[a-z0-9])?$"


class Role(models.TextChoices):
    OWNER = "owner"
    MEMBER = "member"


class PersonManager(BaseUserManager["Person"]):
    """Finds people by the name they sign in with."""

    def get_by_natural_key(self, username: str | None) -> Person:
        return self.get(username=(username or "").strip().lower())


class Person(AbstractBaseUser):
    """Someone who lives in the house. `id` is the subject every other service knows them by."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    username = models.CharField(
        max_length=32, unique=True, validators=[RegexValidator(USERNAME_PATTERN)]
    )
    role = models.CharField(max_length=8, choices=Role.choices, default=Role.MEMBER)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects: ClassVar[PersonManager] = PersonManager()  # pyright: ignore[reportIncompatibleVariableOverride]

    class Meta:
        db_table = "person"


class Session(AbstractBaseSession):
    """A browser's session. `session_key` is the hash of the cookie, so that reading this table lets nobody in."""

    person = models.ForeignKey(Person, null=True, on_delete=models.CASCADE)
    aal = models.PositiveSmallIntegerField(default=0)
    auth_time = models.DateTimeField(null=True)

    class Meta(AbstractBaseSession.Meta):
        abstract = False
        db_table = "session"

    @classmethod
    def get_session_store_class(cls) -> Any:
        from identity.sessions import SessionStore

        return SessionStore


class SetupClaim(models.Model):
    """The one row that says the house has its first owner; its primary key lets only one request win."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    person = models.ForeignKey(Person, on_delete=models.PROTECT)
    claimed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "setup_claim"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=models.Q(id=1), name="setup_claim_only_one")
        ]


class Invite(models.Model):
    """A single-use letter: it lets a new person in (`person` empty) or an old one back in (`person` set)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    token_hash = models.CharField(max_length=64, unique=True)
    label = models.CharField(max_length=80, default="", blank=True)
    role = models.CharField(max_length=8, choices=Role.choices, default=Role.MEMBER)
    person = models.ForeignKey(
        Person, null=True, on_delete=models.CASCADE, related_name="recoveries"
    )
    created_by = models.ForeignKey(
        Person, null=True, on_delete=models.CASCADE, related_name="invites"
    )
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    reset_second_factor = models.BooleanField(default=False)

    class Meta:
        db_table = "invite"

    @property
    def state(self) -> str:
        if self.used_at:
            return "used"
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expires_at <= timezone.now() else "open"


class AccessToken(models.Model):
    """A personal access token. Only the hash of its secret is kept; forward-auth reads it through a view."""

    id = models.CharField(primary_key=True, max_length=16)
    person = models.ForeignKey(Person, on_delete=models.CASCADE)
    name = models.CharField(max_length=80)
    secret_hash = models.CharField(max_length=64)
    scopes = models.JSONField(default=list)
    tiers = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "access_token"

    @property
    def state(self) -> str:
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expires_at <= timezone.now() else "active"


class Regulation(models.Model):
    """How often a bucket (an address, a name, a device) failed lately. Written by `identity.regulation` alone."""

    bucket = models.CharField(primary_key=True, max_length=64)
    failures = models.FloatField(default=0)
    blocked_until = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "regulation"


class AuditEvent(models.Model):
    """What happened at the door. The service's role may insert and read, never change or delete."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(default=timezone.now)
    event = models.CharField(max_length=64)
    outcome = models.CharField(max_length=8)
    subject = models.UUIDField(null=True)
    session_id = models.CharField(max_length=40, default="", blank=True)
    client_ip = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=200, default="", blank=True)
    detail = models.JSONField(default=dict)
    correlation_id = models.CharField(max_length=64, default="", blank=True)

    class Meta:
        db_table = "audit_event"
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["subject", "-id"], name="audit_event_subject")
        ]
