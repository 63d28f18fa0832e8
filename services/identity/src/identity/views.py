"""HTTP -> use case, for the house's own addresses under /auth, and the pages that say how identity is."""

from __future__ import annotations

import re
import sys
import uuid
from typing import Any

from allauth.account.internal.flows.reauthentication import did_recently_reauthenticate
from allauth.headless.usersessions.views import SessionsView
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.csrf import get_token
from kit import logs
from kit.errors import Internal
from kit.metrics import CONTENT_TYPE

from identity import audit, metrics, people, regulation, tokens
from identity.answers import (
    aal_of,
    answer,
    body_of,
    coded,
    fresh,
    methods,
    owner_only,
    person_of,
    signed_in,
    text_of,
    whole_of,
)
from identity.client import client_ip
from identity.errors import (
    CsrfRejected,
    DatabaseAway,
    InvalidInput,
    NotFound,
    SessionUnknown,
    SlowDown,
)
from identity.house.models import Role

log = logs.get(__name__)
# Letters that no browser turns into something else: a backslash is a slash to some, a tab is nothing to others.
OWN_PAGE = re.compile(
    r"/[A-Za-z0-9/_.~-]{0,200}(?:\?[A-Za-z0-9=&_.~%+-]{0,500})?(?:#[A-Za-z0-9_-]{0,100})?"
)


def _me(request: HttpRequest, status: int = 200) -> HttpResponse:
    person = person_of(request)
    session = request.session
    auth_time = max(
        (r["at"] for r in session.get("account_authentication_methods", [])), default=None
    )
    return answer(
        {
            "subject": str(person.pk),
            "username": person.username,
            "role": person.role,
            "aal": aal_of(request),
            "auth_time": auth_time,
            "second_factor": people.has_second_factor(person),
            "reauthenticated": did_recently_reauthenticate(request),
        },
        status,
    )


@signed_in
def _who(request: HttpRequest) -> HttpResponse:
    get_token(request)
    return _me(request)


def _regulated(request: HttpRequest) -> list[regulation.Bucket]:
    """Count a guess at a token that names nobody. Raises SlowDown."""
    buckets = regulation.address_bucket(client_ip(request))
    verdict = regulation.take(buckets)
    if not verdict.allowed:
        raise SlowDown(Retry_After=str(verdict.retry_after_s))
    return buckets


def _setup_state(request: HttpRequest) -> HttpResponse:
    get_token(request)
    return answer({"needed": people.setup_needed()})


def _setup(request: HttpRequest) -> HttpResponse:
    body = body_of(request)
    buckets = _regulated(request)
    person = people.claim_house(
        request, text_of(body, "token"), text_of(body, "username"), text_of(body, "password")
    )
    regulation.give_back(buckets)
    people.sign_in(request, person)
    return _me(request, 201)


@owner_only
def _invites(request: HttpRequest) -> HttpResponse:
    return answer({"invites": people.invites()})


@owner_only
@fresh
def _invite(request: HttpRequest) -> HttpResponse:
    body = body_of(request)
    role = body.get("role", Role.MEMBER)
    if role not in Role.values:
        raise InvalidInput("role: owner or member is expected.")
    label = body.get("label", "")
    if not isinstance(label, str) or len(label) > 80 or "\0" in label:
        raise InvalidInput("label: at most 80 characters are expected.")
    hours = whole_of(
        body.get("expires_in_hours", 72), "expires_in_hours", 1, people.INVITE_HOURS_MAX
    )
    invite, token = people.make_invite(person_of(request), label, role, hours)
    audit.record(request, "invite.made", "ok", detail={"invite": str(invite.pk), "role": role})
    return answer(
        {
            "id": str(invite.pk),
            "token": token,
            # After the hash: it reaches no server, log or Referer.
            "link": f"{settings.LARES.origin}/invite#{token}",
            "expires_at": invite.expires_at.isoformat(),
        },
        201,
    )


@owner_only
def _revoke_invite(request: HttpRequest, invite_id: uuid.UUID) -> HttpResponse:
    people.revoke_invite(invite_id)
    audit.record(request, "invite.revoked", "ok", detail={"invite": str(invite_id)})
    return HttpResponse(status=204)


def _accept(request: HttpRequest) -> HttpResponse:
    body = body_of(request)
    buckets = _regulated(request)
    person = people.accept_invite(
        request, text_of(body, "token"), text_of(body, "username"), text_of(body, "password")
    )
    regulation.give_back(buckets)
    people.sign_in(request, person)
    return _me(request, 201)


def _recover(request: HttpRequest) -> HttpResponse:
    body = body_of(request)
    buckets = _regulated(request)
    person = people.recover(request, text_of(body, "token"), text_of(body, "password"))
    regulation.give_back(buckets)
    return answer({"username": person.username})


@signed_in
def _tokens(request: HttpRequest) -> HttpResponse:
    return answer({"tokens": tokens.tokens(person_of(request))})


@fresh
def _make_token(request: HttpRequest) -> HttpResponse:
    return answer(tokens.make_token(request, person_of(request), body_of(request)), 201)


@signed_in
def _revoke_token(request: HttpRequest, token_id: str) -> HttpResponse:
    tokens.revoke_token(request, person_of(request), token_id)
    return HttpResponse(status=204)


@signed_in
def _audit(request: HttpRequest) -> HttpResponse:
    limit = whole_of(request.GET.get("limit", "50"), "limit", 1, audit.PAGE_MAX)
    before = request.GET.get("before")
    cursor = whole_of(before, "before", 1, 2**62) if before else None
    events, older = audit.page(person_of(request), limit, cursor)
    return answer({"events": events, "next": older})


def _continue(request: HttpRequest) -> HttpResponse:
    """Send a person on to the page they wanted; anything but a plain page of this house becomes the first page."""
    wanted = request.GET.get("rd", "")
    response = HttpResponse(status=302)
    response["Location"] = wanted if is_own_page(wanted) else "/"
    return response


def is_own_page(wanted: str) -> bool:
    """Whether `wanted` is a path of this house that every browser reads as one."""
    if not OWN_PAGE.fullmatch(wanted) or "//" in wanted or "/." in wanted:
        return False
    return not wanted.startswith(("/api/", "/auth/", "/_allauth/"))


class HouseSessionsView(SessionsView):
    """allauth's list of sessions; naming another person's is the same as naming none."""

    def handle_invalid_input(self, input: Any) -> Any:
        """Raise SessionUnknown instead of saying which ids exist."""
        raise SessionUnknown

    def delete(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """End sessions of one's own, and keep account of how many."""
        ended = len(self.input.cleaned_data["sessions"])
        # Before they end: this one may be among them.
        audit.record(request, "session.ended", "ok", detail={"sessions_ended": ended})
        return super().delete(request, *args, **kwargs)


def csrf_rejected(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """Answer Django's refusal with a code, and keep account of it."""
    audit.record(
        request,
        "csrf.rejected",
        "denied",
        code=CsrfRejected.code,
        detail={"path": request.path[:120]},
    )
    return coded(CsrfRejected())


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponseBase:
    """Answer an unknown address."""
    return coded(NotFound())


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponseBase:
    """Answer what Django itself refuses: a foreign Host, a malformed or oversized body."""
    return coded(InvalidInput())


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Answer what nobody foresaw; a database that is away has its own code."""
    error = sys.exc_info()[1]
    if isinstance(error, (OperationalError, InterfaceError)):
        return coded(DatabaseAway())
    if error is not None:
        log.exception("request.failed", error)
    return coded(Internal())


def healthz(request: HttpRequest) -> HttpResponse:
    """Say that the process answers."""
    return answer({"status": "alive"})


def readyz(request: HttpRequest) -> HttpResponse:
    """Say whether the database answers."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (OperationalError, InterfaceError):
        return coded(DatabaseAway())
    return answer({"status": "ready"})


def metrics_page(request: HttpRequest) -> HttpResponse:
    """Give the counters to the house's metrics."""
    return HttpResponse(metrics.METRICS.render(), content_type=CONTENT_TYPE)


continue_ = methods(GET=_continue)
me = methods(GET=_who)
setup = methods(GET=_setup_state, POST=_setup)
invites = methods(GET=_invites, POST=_invite)
invite = methods(DELETE=_revoke_invite)
accept = methods(POST=_accept)
recover = methods(POST=_recover)
access_tokens = methods(GET=_tokens, POST=_make_token)
access_token = methods(DELETE=_revoke_token)
audit_page = methods(GET=_audit)
