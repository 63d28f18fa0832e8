"""Conversations and decisions: kept by the orchestrator."""

from typing import Annotated
from uuid import UUID

from contracts.agents import (
    AuditPage,
    ConfirmationDecision,
    ConfirmationOutcome,
    Conversation,
    ConversationDetail,
    ConversationPage,
    ConversationPatch,
)
from fastapi import APIRouter, Query, Response

from dashboard.neighbours import passed_on, with_query
from dashboard.routes.access import Behind, Person

router = APIRouter(prefix="/api", tags=["conversations"])


@router.get("/conversations", response_model=ConversationPage)
async def list_conversations(
    _: Person,
    behind: Behind,
    limit: Annotated[int, Query(ge=1, le=100)] = 30,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> Response:
    """List conversations, last used first."""
    path = with_query("/v1/conversations", limit=limit, cursor=cursor)
    return passed_on(await behind.orchestrator.get(path))


@router.get("/conversations/{conversation_id}", response_model=ConversationDetail)
async def read_conversation(conversation_id: UUID, _: Person, behind: Behind) -> Response:
    """Return a conversation with its turns, oldest first."""
    return passed_on(await behind.orchestrator.get(f"/v1/conversations/{conversation_id}"))


@router.patch("/conversations/{conversation_id}", response_model=Conversation)
async def rename_conversation(
    conversation_id: UUID, body: ConversationPatch, _: Person, behind: Behind
) -> Response:
    """Give a conversation another title."""
    path = f"/v1/conversations/{conversation_id}"
    return passed_on(await behind.orchestrator.patch(path, json=body.model_dump(mode="json")))


@router.delete("/conversations/{conversation_id}", status_code=204, response_class=Response)
async def delete_conversation(conversation_id: UUID, _: Person, behind: Behind) -> Response:
    """Delete a conversation with its turns. What was remembered in it stays."""
    await behind.orchestrator.delete(f"/v1/conversations/{conversation_id}")
    return Response(status_code=204)


@router.post("/confirmations/{confirmation_id}", response_model=ConfirmationOutcome)
async def decide(
    confirmation_id: UUID, body: ConfirmationDecision, _: Person, behind: Behind
) -> Response:
    """Approve or deny what the house wants to do."""
    path = f"/v1/confirmations/{confirmation_id}"
    return passed_on(await behind.orchestrator.post(path, json=body.model_dump(mode="json")))


@router.get("/audit", response_model=AuditPage)
async def audit(
    _: Person,
    behind: Behind,
    limit: Annotated[int, Query(ge=1, le=100)] = 30,
    before: Annotated[int | None, Query(ge=1)] = None,
) -> Response:
    """List what turns and decisions did, newest first."""
    path = with_query("/v1/audit", limit=limit, before=before)
    return passed_on(await behind.orchestrator.get(path))
