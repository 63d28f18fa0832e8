"""What a memory costs behind its acknowledgement: vector, facts, what it replaces, repeats. Writes results/memory_pipeline.json.

The development dialogues are written first and the worker starts then, so what is counted is what it and Postgres do
behind the writes, the worker's own start among it. The same texts are also written as notes: whatever is no turn of
talk is compared with everything near it, which is the dearer half of the work.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import httpx
import pytest
from kit.testing.containers import run_apart
from kit.testing.data import start_postgres

from .dialogues import Dialogue, dialogues, where
from .memory_house import House, Worker, open_house
from .report import record

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]
BATCH = 256
NOTES = 1000
GROWTH_MIB_MAX = 20
WAITS = """
SELECT (SELECT count(*) FROM memory.pending_embedding) + (SELECT count(*) FROM memory.pending_relation)
     + (SELECT count(*) FROM memory.pending_extraction WHERE due_at < 'infinity')
"""
CALLS = "SELECT sum(xact_commit) FROM pg_stat_database"
FOUND = """
SELECT (SELECT count(*) FROM convenience.memory_vector) AS vectors, (SELECT count(*) FROM convenience.fact) AS facts,
       (SELECT count(*) FROM convenience.entity) AS entities, (SELECT count(*) FROM memory.supersession) AS marks
"""


@pytest.fixture(scope="module")
def house(valkey_server: Any, caller_factory: Any, tmp_path_factory: Any) -> Iterator[House]:
    """Empty stores and the processes over them, the worker not among them."""
    pg = start_postgres(tmp_path_factory.mktemp("pg-secrets"), "1g")
    try:
        pg.migrate()
        with open_house(
            pg, valkey_server, caller_factory, tmp_path_factory.mktemp("memory")
        ) as house:
            yield house
    finally:
        pg.container.remove()


def turns(dialogue: Dialogue) -> list[dict[str, Any]]:
    """Return a dialogue as it is written by whoever listens to it."""
    return [
        {
            "text": turn.text,
            "source": {"kind": "turn"},
            "thread": f"{dialogue.name}/{turn.session}",
            "position": place,
            "speaker": turn.speaker,
            "occurred_at": turn.at.isoformat(),
        }
        for place, turn in enumerate(dialogue.turns)
    ]


def notes(told: Sequence[Dialogue]) -> list[dict[str, Any]]:
    """Return the first turns as somebody's notes."""
    said = [turn for dialogue in told for turn in dialogue.turns][:NOTES]
    return [
        {"text": turn.text, "source": {"kind": "note"}, "occurred_at": turn.at.isoformat()}
        for turn in said
    ]


def write(house: House, headers: dict[str, str], memories: list[dict[str, Any]]) -> int:
    """Write them; return how many were kept."""
    kept = 0
    with httpx.Client(
        base_url=house.memory, headers=headers, trust_env=False, timeout=60
    ) as client:
        for first in range(0, len(memories), BATCH):
            answer = client.post(
                "/v1/memories/batch", json={"memories": memories[first : first + BATCH]}
            )
            assert answer.status_code == 200, answer.text
            kept += sum(one["outcome"] == "remembered" for one in answer.json()["results"])
    return kept


async def ask(house: House, query: str) -> dict[str, int]:
    connection = await house.pg.connect()
    try:
        return {name: int(n or 0) for name, n in dict(await connection.fetchrow(query)).items()}
    finally:
        await connection.close()


def settle(house: House, worker: Worker) -> None:
    """Return when nothing waits behind any write."""
    while sum(run_apart(lambda: ask(house, WAITS)).values()):
        assert worker.runs(), worker.log()
        time.sleep(0.5)


def measure(house: House, name: str, kept: int) -> dict[str, Any]:
    """Let the worker do what was written and return what that cost."""
    before = house.postgres_seconds()
    commits = sum(run_apart(lambda: ask(house, CALLS)).values())
    began = time.perf_counter()
    with house.worker() as worker:
        settle(house, worker)
        seconds = time.perf_counter() - began
        own, store = worker.seconds(), house.postgres_seconds() - before
        pss = worker.pss_mib()
    commits = sum(run_apart(lambda: ask(house, CALLS)).values()) - commits
    return {
        "memories": name,
        "kept": kept,
        "worker ms": round(own * 1000 / kept, 2),
        "postgres ms": round(store * 1000 / kept, 2),
        "transactions": round(commits / kept, 2),
        "memories/s/core": round(kept / (own + store), 1),
        "memories/s by the clock": round(kept / seconds, 1),
        "worker PSS MiB after": round(pss, 1),
    }


@pytest.mark.skipif(not where().exists(), reason="the development dialogues are not here")
def test_what_a_memory_costs_behind_its_acknowledgement(house: House, caller_factory: Any) -> None:
    told = dialogues()
    with house.worker() as worker:
        idle = worker.pss_mib()

    def signed(subject: int) -> dict[str, str]:
        scopes = ("memory:read", "memory:write")
        return caller_factory(subject=UUID(int=subject), ttl_seconds=7200, scopes=scopes).headers

    kept = sum(write(house, signed(100 + place), turns(each)) for place, each in enumerate(told))
    talk = measure(house, "turns of talk, five people", kept)
    noted = measure(house, "notes of one person", write(house, signed(7), notes(told)))
    found = run_apart(lambda: ask(house, FOUND))
    rows = [talk, noted]
    highest = max(row["worker PSS MiB after"] for row in rows)
    floors = {
        "memories a second and core behind the write, without the model": f"{talk['memories/s/core']} of talk,"
        f" {noted['memories/s/core']} of notes",
        # Of the processes of a checkout, which share less than those of an image: the budget is test_budgets' matter.
        "worker PSS, before and after": f"{idle:.1f} and {highest} MiB",
    }
    record("memory_pipeline", floors, rows, found=found)
    assert all(found.values())
    assert highest - idle <= GROWTH_MIB_MAX
