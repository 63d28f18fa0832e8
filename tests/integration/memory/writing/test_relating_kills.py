"""What follows a write, with the worker killed in the middle of each of its steps: nothing is lost, nothing is doubled."""

from __future__ import annotations

import asyncio
import signal
from typing import Any
from uuid import UUID

import pytest

from tests.integration.memory.writing.conftest import hurried

pytestmark = pytest.mark.integration

SAID = [
    *("I live in Porto.", "The alarm code is 7719.", "My sister Ana lives in Braga.", "Maya hates mushrooms."),
    *(f"Rui Sousa repaired tap number {number} in Evora." for number in range(24)),
    *("I moved to Lisbon.", "We changed the alarm code to 3305.", "Ana moved to Coimbra."),
    *(f"My brother Paulo met Ines {number} times." for number in range(24)),
    *("Turns out Maya likes mushrooms after all.", "I live in Faro now.", "Tulips stood by the door.", "Tulips really stood by the door."),
]  # fmt: skip
# A step was done for some of the memories; whoever holds the others is then killed.
BEGUN = {
    "vectors": "SELECT count(*) FROM convenience.memory_vector WHERE subject_id = $1",
    "facts": "SELECT count(*) FROM convenience.fact WHERE subject_id = $1",
    "marks": "SELECT count(*) FROM memory.supersession WHERE subject_id = $1",
    "claims": "SELECT count(*) FROM convenience.memory_claim WHERE subject_id = $1",
}
WAITING = """
SELECT (SELECT count(*) FROM memory.pending_embedding) + (SELECT count(*) FROM memory.pending_relation)
     + (SELECT count(*) FROM memory.pending_extraction)
"""
STANDS = """
SELECT memory.text, newer.text, memory.valid_to, memory.accesses,
       (SELECT array_agg(source.text ORDER BY source.text) FROM convenience.memory_source AS source
        WHERE source.memory_id = memory.id),
       (SELECT count(*) FROM convenience.memory_vector AS vector WHERE vector.memory_id = memory.id),
       (SELECT count(*) FROM convenience.memory_claim AS claim WHERE claim.memory_id = memory.id)
FROM convenience.memory LEFT JOIN convenience.memory AS newer ON newer.id = memory.superseded_by
WHERE memory.subject_id = $1 ORDER BY memory.text
"""
STATED = """
SELECT memory.text, who.name, fact.predicate, fact.object_key, what.name
FROM convenience.fact JOIN convenience.memory ON memory.id = fact.memory_id
JOIN convenience.entity AS who ON who.id = fact.entity_id
LEFT JOIN convenience.entity AS what ON what.id = fact.object_entity_id
WHERE fact.subject_id = $1 ORDER BY 1, 2, 3, 4, 5
"""
NAMED = """
SELECT entity.name, entity.kind, count(mention.memory_id), sum(mention.uses)
FROM convenience.entity JOIN convenience.mention ON mention.entity_id = entity.id
WHERE entity.subject_id = $1 GROUP BY entity.id ORDER BY 1, 2, 3
"""
# The session of a worker that was killed may still be at them.
FREED = tuple(hurried(book) for book in ("memory.pending_embedding", "memory.pending_relation"))


async def write(api: Any, who: Any) -> None:
    memories = [
        {"text": text, "occurred_at": f"2025-{day // 28 + 1:02}-{day % 28 + 1:02}T12:00:00Z"}
        for day, text in enumerate(SAID)
    ]
    answer = await api.post("/v1/memories/batch", json={"memories": memories}, headers=who.headers)
    assert answer.status_code == 200, answer.text


async def kill_at(house: Any, connection: Any, query: str, subject: UUID) -> None:
    """Start a worker, kill it as soon as it has begun with a step, and let what it held be held by others."""
    worker = house.worker()
    worker.start()
    while not await connection.fetchval(query, subject):
        assert worker.popen.poll() is None, worker.log()
        await asyncio.sleep(0.002)
    worker.stop(signal.SIGKILL)
    for statement in FREED:
        await connection.execute(statement)


async def test_a_worker_killed_in_every_step_leaves_what_an_undisturbed_one_does(
    api: Any, memory_house: Any, model: Any, caller_factory: Any, until: Any, pg: Any
) -> None:
    ada, eve = caller_factory(), caller_factory()
    connection = await pg.connect()
    await write(api, ada)
    for query in BEGUN.values():
        await kill_at(memory_house, connection, query, ada.caller.subject)
    await write(api, eve)
    worker = memory_house.worker()
    worker.start()

    async def done() -> bool:
        return await connection.fetchval(WAITING) == 0

    try:
        await until(done, seconds=60, why="the worker did not come to an end")
        for query in (STANDS, STATED, NAMED):
            hers, others = [
                [tuple(row) for row in await connection.fetch(query, who.caller.subject)]
                for who in (ada, eve)
            ]
            assert [row for row in hers if row not in others] == []
            assert hers == others
            assert hers
        marks = "SELECT count(*) FROM memory.supersession WHERE subject_id = $1"
        assert await connection.fetchval(marks, ada.caller.subject) >= 5
    finally:
        worker.stop()
        await connection.close()
