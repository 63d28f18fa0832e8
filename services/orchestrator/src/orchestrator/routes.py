"""HTTP -> use cases. Everything here is for a signed-in person; a token has no conversations."""

import json
from collections.abc import AsyncGenerator
from typing import Annotated, Any
from uuid import UUID

from contracts.agents import (
    IDEMPOTENCY_HEADER,
    AuditPage,
    ConfirmationDecision,
    ConfirmationList,
    ConfirmationOutcome,
    Conversation,
    ConversationDetail,
    ConversationPage,
    ConversationPatch,
    StopReply,
    TurnRequest,
)
from contracts.identity import Caller
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from kit import auth, trace

from orchestrator import showing
from orchestrator.errors import ConversationNotFound, Forbidden, TurnNotFound
from orchestrator.house import House
from orchestrator.running import RunningTurn
from orchestrator.store import Row

router = APIRouter()

TURNS_SHOWN_MAX = 200
_SSE_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


async def person(caller: Annotated[Caller, Depends(auth.caller)]) -> Caller:
    """The caller, who must be a person: what is said to the house is not for tokens."""
    if caller.kind != "person":
        raise Forbidden("Only a signed-in person may talk to the house.")
    return caller


def house(request: Request) -> House:
    """The use cases, as `__main__` built them."""
    return request.state.house


Person = Annotated[Caller, Depends(person)]
TheHouse = Annotated[House, Depends(house)]
Limit = Annotated[int, Query(ge=1, le=100)]


@router.post("/v1/turns")
async def begin_turn(
    body: TurnRequest,
    caller: Person,
    house: TheHouse,
    idempotency_key: Annotated[
        str | None, Header(alias=IDEMPOTENCY_HEADER, min_length=1, max_length=128)
    ] = None,
) -> StreamingResponse:
    """Take a person's words; stream what the house does with them."""
    begun = await house.turns.begin(
        caller, body.text, body.conversation_id, idempotency_key, trace.correlation_id()
    )
    if isinstance(begun, RunningTurn):
        events = follow(house, begun)
    else:
        events = replay(house, caller, begun)
    return StreamingResponse(events, media_type="text/event-stream", headers=_SSE_HEADERS)


@router.post("/v1/turns/{turn_id}/stop", status_code=202)
async def stop_turn(turn_id: UUID, caller: Person, house: TheHouse) -> StopReply:
    """Stop an answer; what was said so far is kept. Stopping what has ended changes nothing."""
    live = house.registry.get(turn_id, caller.subject)
    if live is not None:
        live.stop.set()
        return StopReply(turn_id=turn_id, status="running")
    kept = await house.store.get_turn(caller, turn_id)
    if kept is None:
        raise TurnNotFound()
    return StopReply(turn_id=turn_id, status=kept["status"])


@router.get("/v1/confirmations")
async def list_confirmations(caller: Person, house: TheHouse) -> ConfirmationList:
    """List the decisions that wait for the caller."""
    return ConfirmationList.model_validate(
        {"confirmations": await house.confirmations.open(caller)}
    )


@router.post("/v1/confirmations/{confirmation_id}")
async def decide_confirmation(
    confirmation_id: UUID, body: ConfirmationDecision, caller: Person, house: TheHouse
) -> ConfirmationOutcome:
    """Take a person's decision."""
    return await house.confirmations.decide(
        caller, confirmation_id, body.decision == "approve", trace.correlation_id()
    )


@router.get("/v1/conversations")
async def list_conversations(
    caller: Person,
    house: TheHouse,
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> ConversationPage:
    """List the caller's conversations, last used first."""
    rows = await house.store.list_conversations(caller, showing.decode_cursor(cursor), limit + 1)
    more = len(rows) > limit
    return ConversationPage(
        conversations=tuple(showing.conversation(row) for row in rows[:limit]),
        next_cursor=showing.encode_cursor(rows[limit - 1]) if more else None,
    )


@router.get("/v1/conversations/{conversation_id}")
async def get_conversation(
    conversation_id: UUID, caller: Person, house: TheHouse
) -> ConversationDetail:
    """Show a conversation with its newest turns, in order."""
    found = await house.store.get_conversation(caller, conversation_id, TURNS_SHOWN_MAX)
    if found is None:
        raise ConversationNotFound()
    head, turns = found
    waiting = [row["id"] for row in turns if row["status"] == "waiting"]
    questions = await house.confirmations.of_turns(caller, waiting) if waiting else {}
    return ConversationDetail(
        conversation=showing.conversation(head),
        turns=tuple(showing.turn(row, questions.get(row["id"])) for row in turns),
    )


@router.patch("/v1/conversations/{conversation_id}")
async def rename_conversation(
    conversation_id: UUID, body: ConversationPatch, caller: Person, house: TheHouse
) -> Conversation:
    """Give a conversation another title."""
    row = await house.store.rename_conversation(caller, conversation_id, body.title)
    if row is None:
        raise ConversationNotFound()
    return showing.conversation(row)


@router.delete("/v1/conversations/{conversation_id}", status_code=204)
async def delete_conversation(conversation_id: UUID, caller: Person, house: TheHouse) -> Response:
    """Erase a conversation; what runs in it is stopped. Memories made in it stay."""
    for live in house.registry.of_conversation(conversation_id, caller.subject):
        live.stop.set()
    if not await house.store.delete_conversation(caller, conversation_id):
        raise ConversationNotFound()
    return Response(status_code=204)


@router.get("/v1/audit")
async def list_audit(
    caller: Person,
    house: TheHouse,
    limit: Limit = 50,
    before: Annotated[int | None, Query(ge=1)] = None,
) -> AuditPage:
    """Show what the house did for the caller, newest first."""
    rows = await house.store.list_audit(caller.subject, before, limit)
    return AuditPage(
        rows=tuple(showing.audit_row(row) for row in rows),
        next_before=rows[-1]["id"] if len(rows) == limit else None,
    )


async def follow(house: House, turn: RunningTurn) -> AsyncGenerator[bytes]:
    """Stream a live turn from its first event on; a comment keeps a quiet line open."""
    house.registry.join(turn)
    try:
        async for event in turn.feed.listen():
            yield b": ping\n\n" if event is None else frame(*event)
    finally:
        house.registry.leave(turn)


async def replay(house: House, caller: Caller, row: Row) -> AsyncGenerator[bytes]:
    """Stream a turn that ended before, as it is kept."""
    waiting = row["status"] == "waiting"
    questions = await house.confirmations.of_turns(caller, [row["id"]]) if waiting else {}
    kept = showing.turn(row, questions.get(row["id"]))
    ids = {"turn_id": str(row["id"]), "correlation_id": row["correlation_id"]}
    yield frame("turn.accepted", {**ids, "conversation_id": str(row["conversation_id"])})
    if kept.answer:
        yield frame("delta", {"text": kept.answer})
    if kept.confirmation is not None:
        yield frame("confirmation_required", kept.confirmation.model_dump(mode="json"))
    if kept.error is not None:
        yield frame("error", kept.error.model_dump(mode="json"))
    took = row["finished_at"] - row["created_at"] if row["finished_at"] else None
    duration_ms = int(took.total_seconds() * 1000) if took else 0
    finished = {
        "turn_id": ids["turn_id"],
        "status": kept.status,
        "duration_ms": max(0, duration_ms),
    }
    yield frame("turn.finished", finished)


def frame(name: str, data: Any) -> bytes:
    """Return one server-sent event. JSON has no line breaks, so the data cannot end the event early."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
