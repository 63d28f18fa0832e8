"""Conversations, turns and the orchestrator's bookkeeping in Postgres, behind typed methods."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from contracts.identity import Caller
from kit import sql
from kit.bus import forget_old, once
from kit.pool import Pool

from orchestrator.domain import Exchange, Recalled, TurnStatus

QUERIES = sql.load(Path(__file__).with_name("queries.sql"))
APP_ROLE = "lares_app"
PROCESSED = "agents.processed_event"
Row = Any


@dataclass(frozen=True, slots=True)
class NewTurn:
    """What is committed before a turn is acknowledged."""

    turn_id: UUID
    conversation_id: UUID
    is_new_conversation: bool
    title: str
    intent: str
    visible_text: str
    correlation_id: str


@dataclass(frozen=True, slots=True)
class Audit:
    """One row of the account. There is no field for anybody's words."""

    subject: UUID
    correlation_id: str
    turn_id: UUID
    event: str
    intent: str
    decision: str
    reason: str
    risk: str
    outcome: str
    duration_ms: int
    action: str | None = None
    error_code: str | None = None
    first_token_ms: int | None = None
    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    memories: int = 0


@dataclass(frozen=True, slots=True)
class Ending:
    """How a turn ended, as it is kept."""

    status: TurnStatus
    answer: str
    error_code: str | None = None
    memory_id: UUID | None = None


class Store:
    """Every read and write of the orchestrator. Raises `data.unavailable` when Postgres is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def begin_turn(self, caller: Caller, turn: NewTurn) -> bool:
        """Commit the person's words. Return False when the conversation is not theirs or does not exist."""
        # The run is noted first: a crash between the two leaves a note without a turn, which the sweep drops,
        # and never a turn that nobody would close.
        async with self._pool.own() as conn:
            await conn.execute(
                QUERIES.begin_run,
                turn.turn_id,
                caller.subject,
                turn.conversation_id,
                turn.correlation_id,
                turn.intent,
            )
        async with self._pool.as_caller(caller) as conn:
            if turn.is_new_conversation:
                await conn.execute(
                    QUERIES.insert_conversation, turn.conversation_id, caller.subject, turn.title
                )
            if await conn.fetchval(QUERIES.touch_conversation, turn.conversation_id) is None:
                return False
            await conn.execute(
                QUERIES.insert_turn,
                turn.turn_id,
                turn.conversation_id,
                caller.subject,
                turn.intent,
                turn.visible_text,
                turn.correlation_id,
            )
        return True

    async def restart_turn(self, caller: Caller, turn: NewTurn) -> bool:
        """Make a failed, interrupted or abandoned turn run again under its own id. Return False when it is none of these.

        The caller makes sure that no living task runs it.
        """
        async with self._pool.own() as conn:
            await conn.execute(
                QUERIES.begin_run,
                turn.turn_id,
                caller.subject,
                turn.conversation_id,
                turn.correlation_id,
                turn.intent,
            )
        async with self._pool.as_caller(caller) as conn:
            return (
                await conn.fetchval(QUERIES.restart_turn, turn.turn_id, turn.correlation_id)
                is not None
            )

    async def drop_run(self, turn_id: UUID) -> None:
        """Forget the note of a run that was never acknowledged."""
        async with self._pool.own() as conn:
            await conn.execute(QUERIES.end_run, turn_id)

    async def get_turn(self, caller: Caller, turn_id: UUID) -> Row | None:
        """Return one of the caller's turns, or None."""
        async with self._pool.as_caller(caller) as conn:
            return await conn.fetchrow(QUERIES.get_turn, turn_id)

    async def save_partial(self, caller: Caller, turn_id: UUID, answer: str) -> None:
        """Keep what was answered so far, so that a crash does not take it away."""
        async with self._pool.as_caller(caller) as conn:
            await conn.execute(QUERIES.save_partial, turn_id, answer)

    async def save_sources(
        self, caller: Caller, turn_id: UUID, sources: Sequence[Recalled]
    ) -> None:
        """Keep which memories an answer rests on: ids and scores, no words."""
        kept = [
            {
                "memory_id": str(s.memory_id),
                "tier": s.tier.value,
                "score": round(s.score, 4),
                "reasons": list(s.reasons),
            }
            for s in sources
        ]
        async with self._pool.as_caller(caller) as conn:
            await conn.execute(QUERIES.save_sources, turn_id, kept)

    async def finish_turn(
        self, caller: Caller, turn_id: UUID, ending: Ending, audit: Audit
    ) -> None:
        """Keep the end of a turn and its account, and drop the note that it runs. Safe to repeat until it succeeds."""
        async with self._pool.as_caller(caller) as conn:
            await conn.execute(
                QUERIES.finish_turn,
                turn_id,
                ending.status.value,
                ending.answer,
                ending.error_code,
                ending.memory_id,
            )
            await _step_out(conn)
            # While the note is there the account is not, so a repeat writes it exactly once.
            if await conn.execute(QUERIES.end_run, turn_id) == "DELETE 1":
                await _write_audit(conn, audit)

    async def close_waiting(
        self, caller: Caller, turn_id: UUID, ending: Ending, audit: Audit
    ) -> None:
        """Keep what came of a turn that waited for a decision, and account for the decision."""
        async with self._pool.as_caller(caller) as conn:
            await conn.execute(
                QUERIES.finish_turn,
                turn_id,
                ending.status.value,
                ending.answer,
                ending.error_code,
                ending.memory_id,
            )
        await self.write_audit(audit)

    async def write_audit(self, audit: Audit) -> None:
        """Append one row to the account."""
        async with self._pool.own() as conn:
            await _write_audit(conn, audit)

    async def history(
        self, caller: Caller, conversation_id: UUID, but: UUID, limit: int
    ) -> list[Exchange]:
        """Return the newest answered questions of a conversation, oldest first."""
        async with self._pool.as_caller(caller) as conn:
            rows = await conn.fetch(QUERIES.history, conversation_id, but, limit)
        return [Exchange(row["user_text"], row["answer_text"]) for row in rows]

    async def list_conversations(
        self, caller: Caller, after: tuple[datetime, UUID] | None, limit: int
    ) -> list[Row]:
        """Return at most `limit` of the caller's conversations, last used first."""
        at, last = after or (None, None)
        async with self._pool.as_caller(caller) as conn:
            return await conn.fetch(QUERIES.list_conversations, at, last, limit)

    async def get_conversation(
        self, caller: Caller, conversation_id: UUID, limit: int
    ) -> tuple[Row, list[Row]] | None:
        """Return a conversation with its newest turns in order, or None when it is not the caller's."""
        async with self._pool.as_caller(caller) as conn:
            found = await conn.fetchrow(QUERIES.get_conversation, conversation_id)
            if found is None:
                return None
            return found, await conn.fetch(QUERIES.list_turns, conversation_id, limit)

    async def rename_conversation(
        self, caller: Caller, conversation_id: UUID, title: str
    ) -> Row | None:
        """Give a conversation another title; None when it is not the caller's."""
        async with self._pool.as_caller(caller) as conn:
            return await conn.fetchrow(QUERIES.rename_conversation, conversation_id, title)

    async def delete_conversation(self, caller: Caller, conversation_id: UUID) -> bool:
        """Erase a conversation with every turn of it; False when it is not the caller's."""
        async with self._pool.as_caller(caller) as conn:
            return await conn.fetchval(QUERIES.delete_conversation, conversation_id) is not None

    async def redact(
        self, subject: UUID, memory_id: UUID, words: str, *, event_id: UUID | None = None
    ) -> int:
        """Take out of the conversations what repeats a memory that is gone. Return how many turns changed.

        An event that was handled before changes nothing: its id is committed with what it caused.
        """
        async with self._pool.as_role(APP_ROLE, subject) as conn:
            if event_id is not None and not await once(conn, PROCESSED, "redactor", event_id):
                return 0
            told = await conn.fetch(QUERIES.redact_remembered, memory_id, words)
            used = await conn.fetch(QUERIES.redact_answers, str(memory_id), words)
            where = list({row["conversation_id"] for row in (*told, *used)})
            await conn.execute(QUERIES.redact_titles, where, words)
        return len(told) + len(used)

    async def forget_processed(self) -> int:
        """Forget the ids of events too old to be delivered again."""
        async with self._pool.own() as conn:
            return await forget_old(conn, PROCESSED)

    async def list_audit(self, subject: UUID, before: int | None, limit: int) -> list[Row]:
        """Return the newest rows of a person's account."""
        async with self._pool.own(read_only=True) as conn:
            return await conn.fetch(QUERIES.list_audit, subject, before, limit)

    async def actions_enabled(self) -> bool:
        """Return the off switch's position; True means that actions may run."""
        async with self._pool.own(read_only=True) as conn:
            return await conn.fetchval(QUERIES.read_switch) is True

    async def set_actions(self, enabled: bool) -> None:
        """Move the off switch."""
        async with self._pool.own() as conn:
            if await conn.fetchval(QUERIES.set_switch, enabled) is None:
                raise RuntimeError("agents.switch has no row 'actions': run the migrations")

    async def abandoned_runs(self, alive: Sequence[UUID], older_than_s: float) -> list[Row]:
        """Return the notes of runs that no living task stands behind."""
        async with self._pool.own(read_only=True) as conn:
            return await conn.fetch(QUERIES.abandoned_runs, list(alive), older_than_s)

    async def interrupt(self, subject: UUID, turn_id: UUID, audit: Audit) -> bool:
        """Close an abandoned run. Return True when its turn was still open."""
        async with self._pool.as_role(APP_ROLE, subject) as conn:
            was_open = await conn.fetchval(QUERIES.interrupt_turn, turn_id) is not None
            await _step_out(conn)
            if await conn.execute(QUERIES.end_run, turn_id) == "DELETE 1" and was_open:
                await _write_audit(conn, audit)
        return was_open


async def _step_out(conn: Any) -> None:
    """Leave the caller's role for the rest of the transaction: the account is the service's own to write."""
    await conn.execute("SET LOCAL ROLE NONE")


async def _write_audit(conn: Any, a: Audit) -> None:
    await conn.execute(
        QUERIES.insert_audit,
        *(
            a.subject,
            a.correlation_id,
            a.turn_id,
            a.event,
            a.intent,
            a.action,
            a.decision,
            a.reason,
            a.risk,
        ),
        *(
            a.outcome,
            a.error_code,
            a.duration_ms,
            a.first_token_ms,
            a.model,
            a.prompt_tokens,
            a.completion_tokens,
        ),
        a.memories,
    )
