"""A conversation turn: what goes in, the events it streams back, and what is kept of it."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from contracts.base import Contract, Instant, ShortText
from contracts.memory import Tier

IDEMPOTENCY_HEADER = "Idempotency-Key"

# Something to read in it, and no NUL, which the database cannot hold.
_READABLE = r"^[^\x00]*[^\s\x00][^\x00]*$"

TurnText = Annotated[str, Field(min_length=1, max_length=8000, pattern=_READABLE)]
RiskClass = Literal["read", "write", "destructive"]
TurnStatus = Literal["running", "waiting", "done", "stopped", "failed", "interrupted"]
Verdict = Literal["AUTO_EXECUTE_LOW_RISK", "REQUIRES_APPROVAL", "FORBIDDEN"]


class TurnRequest(Contract):
    """`POST /v1/turns`. With the same `Idempotency-Key` a repeat joins the turn, or replays it, and acts only once."""

    text: TurnText
    conversation_id: UUID | None = None


class TurnAccepted(Contract):
    """SSE `turn.accepted`: the first event of every turn. The person's words are durable now."""

    turn_id: UUID
    conversation_id: UUID
    correlation_id: str


class Stage(Contract):
    """SSE `stage`: what the turn is doing now."""

    name: ShortText
    detail: Annotated[str, Field(max_length=500)] = ""


class TurnSource(Contract):
    """One memory that the answer rests on; the SSE event `sources` is a list of them.

    A kept turn holds no copy of the words: `text` is None there.
    """

    memory_id: UUID
    text: str | None
    tier: Tier
    score: float
    reasons: tuple[str, ...] = ()


class Delta(Contract):
    """SSE `delta`: the next piece of the answer."""

    text: str


class ConfirmationRequired(Contract):
    """SSE `confirmation_required`: nothing happens until the person decides."""

    confirmation_id: UUID
    action: ShortText
    description: Annotated[str, Field(max_length=2000)]
    reversible: bool
    expires_at: Instant


class PendingConfirmation(ConfirmationRequired):
    """A decision that still waits, and the turn that asked for it."""

    turn_id: UUID
    conversation_id: UUID


class ConfirmationList(Contract):
    """`GET /v1/confirmations`: the caller's pending and unexpired ones, newest first, at most 50."""

    confirmations: tuple[PendingConfirmation, ...]


class ConfirmationDecision(Contract):
    """`POST /v1/confirmations/{id}`."""

    decision: Literal["approve", "deny"]


class ConfirmationOutcome(Contract):
    """What came of a decision; `erased` counts the copies that are gone, by kind."""

    confirmation_id: UUID
    turn_id: UUID
    state: Literal["executed", "denied"]
    answer: str
    erased: dict[str, int] = Field(default_factory=dict)


class TurnFinished(Contract):
    """SSE `turn.finished`: the last event of every turn that was accepted. A `waiting` one waits for a decision."""

    turn_id: UUID
    status: Literal["waiting", "done", "stopped", "failed"]
    duration_ms: Annotated[int, Field(ge=0)]


class TurnError(Contract):
    """SSE `error`: a coded error inside a stream."""

    code: str
    reason: str
    fix: str
    correlation_id: str


class StopReply(Contract):
    """`POST /v1/turns/{id}/stop`: `running` is stopping; any other status had been reached before."""

    turn_id: UUID
    status: TurnStatus


class Conversation(Contract):
    """One conversation in the list."""

    id: UUID
    title: Annotated[str, Field(max_length=200)]
    created_at: Instant
    updated_at: Instant


class ConversationPatch(Contract):
    """`PATCH /v1/conversations/{id}`."""

    title: Annotated[str, Field(min_length=1, max_length=200, pattern=_READABLE)]


class ConversationPage(Contract):
    """`GET /v1/conversations`: last used first."""

    conversations: tuple[Conversation, ...]
    next_cursor: str | None = None


class Turn(Contract):
    """One question and its answer as they were kept."""

    id: UUID
    text: str
    answer: str
    status: TurnStatus
    sources: tuple[TurnSource, ...] = ()
    error: TurnError | None = None
    confirmation: ConfirmationRequired | None = None
    correlation_id: str
    created_at: Instant
    finished_at: Instant | None = None


class ConversationDetail(Contract):
    """`GET /v1/conversations/{id}`: its newest turns, in order."""

    conversation: Conversation
    turns: tuple[Turn, ...]


class AuditRow(Contract):
    """What one turn or one decision did, without a word of what was said."""

    id: int
    event: Literal["turn", "confirmation", "reconciled"]
    turn_id: UUID
    correlation_id: str
    intent: str
    action: str | None = None
    risk: RiskClass
    decision: Verdict
    reason: str
    outcome: str
    error_code: str | None = None
    duration_ms: int
    first_token_ms: int | None = None
    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    memories: int = 0
    created_at: Instant


class AuditPage(Contract):
    """`GET /v1/audit`: newest first; `next_before` is the `before` of the next page."""

    rows: tuple[AuditRow, ...]
    next_before: int | None = None
