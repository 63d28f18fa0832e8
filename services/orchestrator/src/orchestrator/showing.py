"""Kept rows -> contracts: conversations, turns and the account, as a person sees them."""

import base64
import binascii
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.agents import (
    AuditRow,
    ConfirmationRequired,
    Conversation,
    Turn,
    TurnError,
    TurnSource,
)
from kit.errors import InvalidRequest

from orchestrator.confirming import Question
from orchestrator.errors import STORED

Row = Any


def conversation(row: Row) -> Conversation:
    """Return a conversation's head."""
    return Conversation(
        id=row["id"],
        title=row["title"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def sources(row: Row) -> tuple[TurnSource, ...]:
    """Return a kept turn's sources: ids and scores, no words."""
    return tuple(
        TurnSource(
            memory_id=kept["memory_id"],
            text=None,
            tier=kept["tier"],
            score=kept["score"],
            reasons=tuple(kept["reasons"]),
        )
        for kept in row["sources"]
    )


def turn(row: Row, question: Question | None) -> Turn:
    """Return one kept turn. A waiting turn shows its open question, or what became of it."""
    answer, status = row["answer_text"], row["status"]
    shown = None
    if status == "waiting":
        if question is not None and question.event is not None:
            shown = ConfirmationRequired.model_validate(question.event)
        else:
            answer, status = (question.settled if question else answer), "done"
    return Turn(
        id=row["id"],
        text=row["user_text"],
        answer=answer,
        status=status,
        sources=sources(row),
        error=stored_error(row),
        confirmation=shown,
        correlation_id=row["correlation_id"],
        created_at=row["created_at"],
        finished_at=row["finished_at"],
    )


def stored_error(row: Row) -> TurnError | None:
    """Return what a kept turn says went wrong. A neighbour's own code is kept as it was."""
    code = row["error_code"]
    if code is None:
        return None
    known = STORED.get(code)
    return TurnError(
        code=code,
        reason=known.reason if known else "A part of the house refused or failed this turn.",
        fix=known.fix
        if known
        else "Send it again; if it lasts, look the code up in docs/errors.md.",
        correlation_id=row["correlation_id"],
    )


def audit_row(row: Row) -> AuditRow:
    """Return one row of the account."""
    told = dict(row)
    told["created_at"] = told.pop("at")
    return AuditRow.model_validate(told)


def encode_cursor(row: Row) -> str:
    """Return the opaque mark of the last conversation on a page."""
    return base64.urlsafe_b64encode(
        f"{row['updated_at'].isoformat()}|{row['id']}".encode()
    ).decode()


def decode_cursor(cursor: str | None) -> tuple[datetime, UUID] | None:
    """Return where the next page begins. Raises InvalidRequest for a cursor that we did not make."""
    if cursor is None:
        return None
    try:
        at, _, last = base64.urlsafe_b64decode(cursor.encode()).decode().partition("|")
        when = datetime.fromisoformat(at)
        if when.tzinfo is None:
            raise ValueError("no time zone")
        return when, UUID(last)
    except (ValueError, binascii.Error):
        raise InvalidRequest("The cursor was not made here.") from None
