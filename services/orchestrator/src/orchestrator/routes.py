"""HTTP -> use cases. Everything here is for a signed-in person; a token has no conversations.

Plain Starlette: FastAPI would cost 7 MB more of the 45 that the service may have.
"""

import json
from collections.abc import AsyncGenerator
from typing import Any, TypeVar
from uuid import UUID

from contracts.agents import (
    IDEMPOTENCY_HEADER,
    AuditPage,
    ConfirmationDecision,
    ConfirmationList,
    ConversationDetail,
    ConversationPage,
    ConversationPatch,
    StopReply,
    TurnRequest,
)
from contracts.identity import Caller
from kit import auth, trace
from kit.errors import InvalidRequest
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from orchestrator import showing
from orchestrator.errors import ConversationNotFound, Forbidden, TurnNotFound
from orchestrator.house import House
from orchestrator.running import RunningTurn
from orchestrator.store import Row

TURNS_SHOWN_MAX = 200
LIMIT_MAX = 100
KEY_CHARS_MAX = 128
BIGINT_MAX = 2**63 - 1
_SSE_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
Body = TypeVar("Body", bound=BaseModel)


async def begin_turn(request: Request) -> Response:
    """`POST /v1/turns`: take a person's words; stream what the house does with them."""
    caller, house = await person(request)
    body = await read(request, TurnRequest)
    key = request.headers.get(IDEMPOTENCY_HEADER)
    if key is not None and not 1 <= len(key) <= KEY_CHARS_MAX:
        raise InvalidRequest(f"{IDEMPOTENCY_HEADER} has 1 to {KEY_CHARS_MAX} characters.")
    begun = await house.turns.begin(
        caller, body.text, body.conversation_id, key, trace.correlation_id()
    )
    if isinstance(begun, RunningTurn):
        events = follow(house, begun)
    else:
        events = replay(house, caller, begun)
    return StreamingResponse(events, media_type="text/event-stream", headers=_SSE_HEADERS)


async def stop_turn(request: Request) -> Response:
    """`POST /v1/turns/{id}/stop`: what was said so far is kept. Stopping what has ended changes nothing."""
    caller, house = await person(request)
    turn_id: UUID = request.path_params["id"]
    live = house.registry.get(turn_id, caller.subject)
    if live is not None:
        live.stop.set()
        return reply(StopReply(turn_id=turn_id, status="running"), 202)
    kept = await house.store.get_turn(caller, turn_id)
    if kept is None:
        raise TurnNotFound()
    return reply(StopReply(turn_id=turn_id, status=kept["status"]), 202)


async def list_confirmations(request: Request) -> Response:
    """`GET /v1/confirmations`: the decisions that wait for the caller."""
    caller, house = await person(request)
    waiting = await house.confirmations.open(caller)
    return reply(ConfirmationList.model_validate({"confirmations": waiting}))


async def decide_confirmation(request: Request) -> Response:
    """`POST /v1/confirmations/{id}`: a person's decision."""
    caller, house = await person(request)
    body = await read(request, ConfirmationDecision)
    outcome = await house.confirmations.decide(
        caller, request.path_params["id"], body.decision == "approve", trace.correlation_id()
    )
    return reply(outcome)


async def list_conversations(request: Request) -> Response:
    """`GET /v1/conversations`: the caller's, last used first."""
    caller, house = await person(request)
    limit = number(request, "limit", 50, LIMIT_MAX)
    after = showing.decode_cursor(request.query_params.get("cursor"))
    rows = await house.store.list_conversations(caller, after, limit + 1)
    page = ConversationPage(
        conversations=tuple(showing.conversation(row) for row in rows[:limit]),
        next_cursor=showing.encode_cursor(rows[limit - 1]) if len(rows) > limit else None,
    )
    return reply(page)


async def get_conversation(request: Request) -> Response:
    """`GET /v1/conversations/{id}`: its newest turns, in order."""
    caller, house = await person(request)
    found = await house.store.get_conversation(caller, request.path_params["id"], TURNS_SHOWN_MAX)
    if found is None:
        raise ConversationNotFound()
    head, turns = found
    waiting = [row["id"] for row in turns if row["status"] == "waiting"]
    questions = await house.confirmations.of_turns(caller, waiting) if waiting else {}
    detail = ConversationDetail(
        conversation=showing.conversation(head),
        turns=tuple(showing.turn(row, questions.get(row["id"])) for row in turns),
    )
    return reply(detail)


async def rename_conversation(request: Request) -> Response:
    """`PATCH /v1/conversations/{id}`: another title."""
    caller, house = await person(request)
    body = await read(request, ConversationPatch)
    row = await house.store.rename_conversation(caller, request.path_params["id"], body.title)
    if row is None:
        raise ConversationNotFound()
    return reply(showing.conversation(row))


async def delete_conversation(request: Request) -> Response:
    """`DELETE /v1/conversations/{id}`: what runs in it is stopped.

    What was kept of it as it was said goes with it; what the person had remembered stays.
    """
    caller, house = await person(request)
    conversation_id: UUID = request.path_params["id"]
    for live in house.registry.of_conversation(conversation_id, caller.subject):
        live.stop.set()
    # First, since a conversation that is gone could not be asked for again.
    await house.memory.forget_said(conversation_id)
    if not await house.store.delete_conversation(caller, conversation_id):
        raise ConversationNotFound()
    return Response(status_code=204)


async def list_audit(request: Request) -> Response:
    """`GET /v1/audit`: what the house did for the caller, newest first."""
    caller, house = await person(request)
    limit = number(request, "limit", 50, LIMIT_MAX)
    before = number(request, "before", None, BIGINT_MAX)
    rows = await house.store.list_audit(caller.subject, before, limit)
    page = AuditPage(
        rows=tuple(showing.audit_row(row) for row in rows),
        next_before=rows[-1]["id"] if len(rows) == limit else None,
    )
    return reply(page)


ROUTES = [
    Route("/v1/turns", begin_turn, methods=["POST"]),
    Route("/v1/turns/{id:uuid}/stop", stop_turn, methods=["POST"]),
    Route("/v1/confirmations", list_confirmations),
    Route("/v1/confirmations/{id:uuid}", decide_confirmation, methods=["POST"]),
    Route("/v1/conversations", list_conversations),
    Route("/v1/conversations/{id:uuid}", get_conversation),
    Route("/v1/conversations/{id:uuid}", rename_conversation, methods=["PATCH"]),
    Route("/v1/conversations/{id:uuid}", delete_conversation, methods=["DELETE"]),
    Route("/v1/audit", list_audit),
]


async def person(request: Request) -> tuple[Caller, House]:
    """Return the caller, who must be a person, and the use cases. What is said to the house is not for tokens."""
    caller = await auth.caller(request)
    if caller.kind != "person":
        raise Forbidden("Only a signed-in person may talk to the house.")
    return caller, request.state.house


async def read(request: Request, model: type[Body]) -> Body:
    """Return the body as its contract. Raises InvalidRequest, which names places and never values."""
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)[:5]
        named = "; ".join(
            f"{'.'.join(map(str, p['loc'])) or 'body'}: {p['type']}" for p in problems
        )
        raise InvalidRequest(f"The request does not have the expected shape: {named}.") from None


def number(request: Request, name: str, default: Any, most: int) -> Any:
    """Return a whole number of the query, from 1 to `most`. Raises InvalidRequest."""
    told = request.query_params.get(name)
    if told is None:
        return default
    # Twenty characters hold every allowed number; int() of a long one is slow.
    if not told.isascii() or not told.isdigit() or len(told) > 20 or not 1 <= int(told) <= most:
        raise InvalidRequest(f"{name} is a whole number from 1 to {most}.")
    return int(told)


def reply(model: BaseModel, status: int = 200) -> Response:
    """Return a contract as JSON."""
    headers = {"cache-control": "no-store"}
    return Response(model.model_dump_json(), status, headers, "application/json")


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
