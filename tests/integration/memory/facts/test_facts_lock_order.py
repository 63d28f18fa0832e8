"""Whoever waits for several rows takes them in one order: a forgetting and two workers wait in a row, never in a circle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from contracts.tiers import Tier
from memory.facts.job import MODEL_STAGE, RULES_STAGE
from memory.facts.store import Books, Due
from memory.writing.store import PLAIN, Waiting

pytestmark = pytest.mark.integration
NOTES = 200
ROUNDS = 24
CONVENIENCE = Tier.CONVENIENCE

Step = Callable[[Any, Sequence[UUID]], Awaitable[None]]


async def write_many(facts: Any, ids: Sequence[UUID], text: str = "A note of {}") -> None:
    """Write so many memories as their person, in one statement and in the order of the ids."""
    async with facts.as_person() as conn:
        await conn.execute(
            "INSERT INTO convenience.memory (id, subject_id, text, source_kind, created_at, updated_at)"
            " SELECT id, $2, replace($3, '{}', id::text), 'api', now(), now()"
            " FROM unnest($1::uuid[]) WITH ORDINALITY AS one (id, place) ORDER BY place",
            list(ids),
            facts.subject,
            text,
        )


def meeting(facts: Any, ids: Sequence[UUID], steps: Sequence[Step]) -> Awaitable[list[None]]:
    """Let each do its step over and over, each with another order of the same ids."""

    async def over_and_over(place: int, step: Step) -> None:
        order = list(ids) if place % 2 else list(reversed(ids))
        for turn in range(ROUNDS):
            turned = (turn * 7 + place * 31) % len(order)
            async with facts.pool.own() as conn:
                await step(conn, [*order[turned:], *order[:turned]])

    return asyncio.gather(*(over_and_over(place, step) for place, step in enumerate(steps)))


async def test_workers_at_the_same_notes_wait_for_one_another_in_one_order(facts: Any) -> None:
    books, ids = Books(), [uuid4() for _ in range(NOTES)]
    person = facts.subject

    async def walk(conn: Any, some: Sequence[UUID]) -> None:
        await books.queue(conn, RULES_STAGE, person, CONVENIENCE, some)

    async def read(conn: Any, some: Sequence[UUID]) -> None:
        await books.queue(conn, MODEL_STAGE, person, CONVENIENCE, some[: NOTES // 4])
        await books.finish(conn, RULES_STAGE, CONVENIENCE, some[: NOTES // 4])

    async def ask_again(conn: Any, some: Sequence[UUID]) -> None:
        await books.queue_again(conn, person, CONVENIENCE, some)

    async def finish(conn: Any, some: Sequence[UUID]) -> None:
        await books.finish(conn, MODEL_STAGE, CONVENIENCE, some[: NOTES // 2])

    async def defer(conn: Any, some: Sequence[UUID]) -> None:
        due = [Due(each, person, CONVENIENCE, 1) for each in some]
        await books.defer(conn, MODEL_STAGE, due, 1.0)

    await meeting(facts, ids, [walk, ask_again, ask_again, finish, defer, read])


async def test_a_forgetting_meets_the_walk_of_a_worker_in_one_order(facts: Any) -> None:
    books = Books()

    async def forget(ids: Sequence[UUID]) -> None:
        async with facts.as_person() as conn:
            await conn.execute("DELETE FROM convenience.memory WHERE id = ANY ($1::uuid[])", ids)

    async def ask_again(ids: Sequence[UUID]) -> None:
        for _ in range(4):
            async with facts.pool.own() as conn:
                await books.queue_again(conn, facts.subject, CONVENIENCE, ids)

    for _ in range(ROUNDS // 2):
        # The rows lie in the order in which they were written, and a forgetting comes by them in that order.
        ids = sorted((uuid4() for _ in range(NOTES)), reverse=True)
        await write_many(facts, ids)
        await ask_again(list(reversed(ids)))
        await asyncio.gather(forget(ids), ask_again(ids), ask_again(list(reversed(ids))))


async def test_what_waits_behind_writes_is_ticked_off_and_put_off_in_one_order(facts: Any) -> None:
    ids = [uuid4() for _ in range(NOTES)]
    strike = (
        "DELETE FROM memory.pending_embedding WHERE memory_id IN (SELECT memory_id FROM memory.pending_embedding"
        " AS note WHERE memory_id = ANY ($1::uuid[]) ORDER BY note FOR UPDATE)"
    )

    def texts(some: Sequence[UUID]) -> list[Waiting]:
        moment = datetime.now(UTC)
        return [Waiting(each, 1, moment, embedded=False, text="") for each in some]

    async def put(conn: Any, some: Sequence[UUID]) -> None:
        pairs = [(each, 1) for each in some]
        await PLAIN.put(conn, facts.subject, CONVENIENCE, pairs)

    async def embedded(conn: Any, some: Sequence[UUID]) -> None:
        await PLAIN.embedded(conn, texts(some[: NOTES // 2]))

    async def defer(conn: Any, some: Sequence[UUID]) -> None:
        await PLAIN.defer(conn, texts(some), 0.0)

    async def forget(conn: Any, some: Sequence[UUID]) -> None:
        await conn.execute(strike, list(some))

    async def related(conn: Any, some: Sequence[UUID]) -> None:
        await PLAIN.release(conn, some)
        await PLAIN.related(conn, some)

    await meeting(facts, ids, [put, embedded, put, defer, forget, related])
