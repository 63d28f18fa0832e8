"""Confirmations in Postgres: they outlive a restart, are used once, and end by themselves."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.identity import Caller
from kit.pool import Pool

from orchestrator.domain import TurnStatus
from orchestrator.store import APP_ROLE, QUERIES

Row = Any


class ConfirmationStore:
    """The states of a confirmation: pending -> executing -> executed | failed, or pending -> denied | expired."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(
        self,
        confirmation_id: UUID,
        subject: UUID,
        turn_id: UUID,
        action: str,
        arguments: Any,
        digest: str,
        seconds: int,
    ) -> datetime:
        """Keep a question to a person; return when it ends."""
        async with self._pool.own() as conn:
            return await conn.fetchval(
                QUERIES.insert_confirmation,
                confirmation_id,
                subject,
                turn_id,
                action,
                arguments,
                digest,
                float(seconds),
            )

    async def get(self, confirmation_id: UUID, subject: UUID) -> Row | None:
        """Return a confirmation of this person, or None."""
        async with self._pool.own(read_only=True) as conn:
            return await conn.fetchrow(QUERIES.get_confirmation, confirmation_id, subject)

    async def of_turns(self, subject: UUID, turns: Sequence[UUID]) -> list[Row]:
        """Return the newest question of each of these turns, whatever its state."""
        async with self._pool.own(read_only=True) as conn:
            return await conn.fetch(QUERIES.confirmations_of_turns, subject, list(turns))

    async def open(self, caller: Caller) -> list[tuple[Row, UUID]]:
        """Return the caller's questions that still wait, newest first, each with its conversation's id."""
        async with self._pool.own(read_only=True) as conn:
            rows = await conn.fetch(QUERIES.open_confirmations, caller.subject)
        async with self._pool.as_caller(caller) as conn:
            turns = await conn.fetch(
                QUERIES.conversations_of_turns, [row["turn_id"] for row in rows]
            )
        where = {row["id"]: row["conversation_id"] for row in turns}
        # A question whose conversation was erased has nowhere to be answered: it runs out.
        return [(row, where[row["turn_id"]]) for row in rows if row["turn_id"] in where]

    async def claim(self, confirmation_id: UUID, subject: UUID, state: str) -> bool:
        """Decide a pending, unexpired confirmation. Exactly one of many callers gets True."""
        async with self._pool.own() as conn:
            return (
                await conn.fetchval(QUERIES.claim_confirmation, confirmation_id, subject, state)
                is not None
            )

    async def settle(self, confirmation_id: UUID, state: str) -> None:
        """Record what came of the execution."""
        async with self._pool.own() as conn:
            await conn.fetchval(QUERIES.settle_confirmation, confirmation_id, state)

    async def expired(self) -> list[Row]:
        """Return those whose time is over."""
        async with self._pool.own(read_only=True) as conn:
            return await conn.fetch(QUERIES.expired_confirmations)

    async def expire(self, row: Row, answer: str) -> None:
        """End one whose time is over. The turn first: a crash between the two leaves work for the next sweep."""
        await self._close_turn(row, TurnStatus.DONE, answer, "agents.confirmation_expired")
        async with self._pool.own() as conn:
            await conn.fetchval(QUERIES.expire_confirmation, row["id"])

    async def interrupted(self, alive: Sequence[UUID]) -> list[Row]:
        """Return those that were being carried out by a process that is no more."""
        async with self._pool.own(read_only=True) as conn:
            return await conn.fetch(QUERIES.interrupted_confirmations, list(alive))

    async def fail(self, row: Row, answer: str) -> None:
        """End one of which nobody knows whether it was carried out."""
        await self._close_turn(
            row, TurnStatus.INTERRUPTED, answer, "agents.confirmation_interrupted"
        )
        await self.settle(row["id"], "failed")

    async def purge(self) -> None:
        """Drop those decided long ago; the account keeps what came of them."""
        async with self._pool.own() as conn:
            await conn.execute(QUERIES.purge_confirmations)

    async def _close_turn(self, row: Row, status: TurnStatus, answer: str, code: str) -> None:
        async with self._pool.as_role(APP_ROLE, row["subject_id"]) as conn:
            await conn.fetchval(
                QUERIES.finish_turn, row["turn_id"], status.value, answer, code, None
            )
