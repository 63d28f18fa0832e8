"""The account of what happened at the door. Rows are inserted, never changed; secrets and typed names stay out."""

from __future__ import annotations

import threading
import time
from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from kit import trace

from identity import metrics
from identity.client import client_ip, user_agent
from identity.house.models import AuditEvent, Person, Role

DENIALS_PER_SECOND = 10.0
DENIALS_BURST = 200.0
PAGE_MAX = 200


class _DenialBudget:
    """Keeps a flood of refused requests from filling the disk: beyond the budget they are counted, not written."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = DENIALS_BURST
        self._at = time.monotonic()

    def take(self) -> bool:
        with self._lock:
            now = time.monotonic()
            self._left = min(DENIALS_BURST, self._left + (now - self._at) * DENIALS_PER_SECOND)
            self._at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


_budget = _DenialBudget()


def record(
    request: HttpRequest | None,
    event: str,
    outcome: str,
    *,
    person: Person | None = None,
    username: str | None = None,
    code: str | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """Write one row. `username` is resolved to a person and then dropped: what was typed may be a password."""
    metrics.EVENTS.labels(event=event, outcome=outcome).inc()
    if outcome == "denied" and not _budget.take():
        metrics.AUDIT_DROPPED.inc()
        return
    if person is None and username:
        person = Person.objects.filter(username=username.strip().lower()).first()
    if (
        person is None
        and request is not None
        and hasattr(request, "user")
        and request.user.is_authenticated
    ):
        person = request.user  # pyright: ignore[reportAssignmentType]
    said = dict(detail or {})
    if code:
        said["code"] = code
    AuditEvent.objects.create(
        event=event,
        outcome=outcome,
        subject=person.pk if person else None,
        session_id=(request.session.session_key or "")
        if request is not None and hasattr(request, "session")
        else "",
        client_ip=client_ip(request) if request is not None else None,
        user_agent=user_agent(request) if request is not None else "",
        detail=said,
        correlation_id=trace.correlation_id(),
    )


def page(reader: Person, limit: int, before: int | None) -> tuple[list[dict[str, Any]], int | None]:
    """Return the newest events the reader may see, and the id to ask for the older ones with."""
    wanted = max(1, min(limit, PAGE_MAX))
    rows = AuditEvent.objects.order_by("-id")
    if reader.role != Role.OWNER:
        rows = rows.filter(subject=reader.pk)
    if before is not None:
        rows = rows.filter(Q(id__lt=before))
    found = list(rows[: wanted + 1])
    names = dict(
        Person.objects.filter(pk__in={r.subject for r in found if r.subject}).values_list(
            "pk", "username"
        )
    )
    events: list[dict[str, Any]] = [
        {
            "id": row.id,
            "at": row.at.isoformat(),
            "event": row.event,
            "outcome": row.outcome,
            "subject": str(row.subject) if row.subject else None,
            "username": names.get(row.subject) if row.subject else None,
            "client_ip": row.client_ip,
            "user_agent": row.user_agent,
            "detail": row.detail,
            "correlation_id": row.correlation_id,
        }
        for row in found[:wanted]
    ]
    return events, events[-1]["id"] if len(found) > wanted else None
