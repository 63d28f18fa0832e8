"""What allauth tells the house: every event becomes an audit row, and a new password ends the other sessions."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from identity.house.models import Person


def _logged_in(sender: Any, request: HttpRequest, user: Person, **_: Any) -> None:
    from identity import audit
    from identity.answers import aal_of

    request.lares_signed_in = user  # type: ignore[attr-defined]
    audit.record(request, "signed_in", "ok", person=user, detail={"aal": aal_of(request)})


def _logged_out(sender: Any, request: HttpRequest, user: Person | None, **_: Any) -> None:
    from identity import audit

    if user is not None:
        audit.record(request, "signed_out", "ok", person=user)


def _step_completed(
    sender: Any, request: HttpRequest, user: Person, method: str, **extra: Any
) -> None:
    from identity import audit

    event = "reauthenticated" if extra.get("reauthenticated") else "factor.accepted"
    audit.record(
        request,
        event,
        "ok",
        person=user,
        detail={"method": method, "type": str(extra.get("type", ""))},
    )


def _password_changed(sender: Any, request: HttpRequest, user: Person, **_: Any) -> None:
    from identity import audit
    from identity.people import end_other_sessions

    ended = end_other_sessions(user, keep=request.session.session_key)
    request.lares_signed_in = user  # type: ignore[attr-defined] - the device cookie is bound to the password
    audit.record(request, "password.changed", "ok", person=user, detail={"sessions_ended": ended})


def _second_factor_failed(
    sender: Any, request: HttpRequest, user: Person, authenticator: Any, **_: Any
) -> None:
    from identity import audit

    audit.record(
        request,
        "second_factor.rejected",
        "denied",
        person=user,
        detail={"type": str(authenticator.type)},
    )


def _authenticator(event: str) -> Any:
    def handle(
        sender: Any, request: HttpRequest, user: Person, authenticator: Any, **_: Any
    ) -> None:
        from identity import audit

        audit.record(request, event, "ok", person=user, detail={"type": str(authenticator.type)})

    return handle


def connect() -> None:
    """Connect every handler. The handlers are kept by name, so that a second call changes nothing."""
    from allauth.account import signals as account
    from allauth.mfa import signals as mfa
    from django.contrib.auth.signals import user_logged_out

    account.user_logged_in.connect(_logged_in, dispatch_uid="lares.logged_in")
    user_logged_out.connect(_logged_out, dispatch_uid="lares.logged_out")
    account.authentication_step_completed.connect(_step_completed, dispatch_uid="lares.step")
    account.password_changed.connect(_password_changed, dispatch_uid="lares.password")
    mfa.authentication_failed.connect(_second_factor_failed, dispatch_uid="lares.mfa_failed")
    for name, signal in (
        ("authenticator.added", mfa.authenticator_added),
        ("authenticator.removed", mfa.authenticator_removed),
        ("authenticator.reset", mfa.authenticator_reset),
    ):
        signal.connect(_authenticator(name), dispatch_uid=f"lares.{name}", weak=False)
