"""Another embedding model: built beside the one that answers, switched to at once, whatever is killed on the way."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime
from typing import Any

import pytest
from memory.writing.models import REMEMBERED_SECONDS

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("models_as_installed")]
NEW = {"LARES_MEMORY_EMBEDDING_MODEL": "other-256"}
DIMENSIONS = (
    "SELECT vector_dims(embedding) AS dims, model, count(*) AS n FROM convenience.memory_vector"
    " GROUP BY 1, 2 ORDER BY 2"
)


async def written(ada: Any, eye: Any, memory_house: Any, until: Any, count: int) -> None:
    """Remember in every tier, and wait until everything has its vector of the first model."""
    said = [{"text": f"Plank {number} of the shed"} for number in range(count)]
    said += [
        {"text": "The puppy is called Frida"},
        {"text": "The tooth hurts", "tier": "sensitive"},
        {"text": "Therapy is on Monday", "tier": "sacred"},
    ]
    answer = await ada.post("/memories/batch", {"memories": said})
    assert {result["outcome"] for result in answer.json()["results"]} == {"remembered"}
    worker = memory_house.worker()
    worker.start()
    try:
        await until(eye.embedded, seconds=60, why=worker.log())
    finally:
        worker.stop()


async def status(ada: Any) -> dict[str, Any]:
    return (await ada.get("/embedding")).json()


async def finds(ada: Any, query: str, text: str, **more: Any) -> bool:
    """Say whether the memory is found by its meaning, with the answer whole."""
    # Asked from this very moment, so that no copy of an earlier answer is one to this.
    found = await ada.recalls(query, as_of=datetime.now(UTC).isoformat(), **more)
    return (
        found["degraded"] is None
        and bool(found["results"])
        and found["results"][0]["memory"]["text"] == text
        and "vector" in {reason["arm"] for reason in found["results"][0]["reasons"]}
    )


async def test_recall_stays_up_and_switches_at_once_though_the_worker_is_killed(
    ada: Any, eye: Any, model: Any, memory_house: Any, until: Any
) -> None:
    await written(ada, eye, memory_house, until, 100)
    assert (await status(ada))["active"] == {"name": "minilm-l6-v2", "dimensions": 384}
    model.slow_seconds = 0.4
    worker = memory_house.worker(**NEW)
    worker.start()

    async def half_way() -> bool:
        now = await status(ada)
        return now["building"] is not None and 0 < now["done"] < now["total"] == 103

    await until(half_way, seconds=40, why=worker.log())
    worker.stop(signal.SIGKILL)
    model.slow_seconds = 0.0
    found = await ada.recalls("what is my dog called")
    assert found["degraded"] is None
    late = await ada.says("Bring the salary slip to the bank")
    killed_at = (await status(ada))["done"]
    await eye.fetch("UPDATE memory.embedding_change SET leased_until = now()")

    another = memory_house.worker(**NEW)
    another.start()
    try:

        async def switched() -> bool:
            return (await status(ada))["active"] == {"name": "other-256", "dimensions": 256}

        await until(switched, seconds=60, why=another.log())
        # The service asks which model answers every few seconds; the vectors stay a minute longer than that.
        await asyncio.sleep(REMEMBERED_SECONDS + 1)
        await until(eye.embedded, seconds=30, why=another.log())
        assert 0 < killed_at < 103
        rows = await eye.fetch(DIMENSIONS)
        assert {(row["dims"], row["model"]) for row in rows} == {(384, 1), (256, 2)}
        assert {row["model"]: row["n"] for row in rows}[2] == 102

        async def by_the_new() -> bool:
            return (
                await finds(ada, "what is my dog called", "The puppy is called Frida")
                and await finds(ada, "dentist", "The tooth hurts", tiers=["sensitive"])
                and await finds(ada, "anxiety", "Therapy is on Monday", tiers=["sacred"])
                and await finds(ada, "money", late["text"])
            )

        await until(by_the_new, seconds=20, why=another.log())

        # A good while after the switch the old vectors go, and the sacred row has one vector again.
        await eye.fetch(
            "UPDATE memory.embedding_model SET changed_at = now() - interval '5 minutes'"
        )

        async def dropped() -> bool:
            return await eye.value("SELECT count(*) FROM memory.embedding_model") == 1

        await until(dropped, seconds=40, why=another.log())
        assert [(row["dims"], row["model"], row["n"]) for row in await eye.fetch(DIMENSIONS)] == [
            (256, 2, 102)
        ]
        [sealed] = await eye.fetch(
            "SELECT embedding_model, next_model, octet_length(embedding_sealed) AS n FROM sacred.memory",
            database="lares_sacred",
        )
        assert tuple(sealed) == (2, None, 256 * 4 + 28)
        await until(by_the_new, seconds=20, why=another.log())
    finally:
        another.stop()


async def test_a_change_that_is_taken_back_leaves_everything_as_it_was(
    ada: Any, eye: Any, model: Any, memory_house: Any, until: Any
) -> None:
    await written(ada, eye, memory_house, until, 60)
    model.slow_seconds = 0.4
    worker = memory_house.worker(**NEW)
    worker.start()

    async def begun() -> bool:
        return (await status(ada))["done"] > 0

    await until(begun, seconds=40, why=worker.log())
    worker.stop(signal.SIGKILL)
    model.slow_seconds = 0.0
    await eye.fetch("UPDATE memory.embedding_change SET leased_until = now()")
    back = memory_house.worker()
    back.start()
    try:

        async def abandoned() -> bool:
            await eye.fetch(
                "UPDATE memory.embedding_model SET changed_at = now() - interval '5 minutes'"
            )
            return await eye.value("SELECT count(*) FROM memory.embedding_model") == 1

        await until(abandoned, seconds=40, why=back.log())
    finally:
        back.stop()
    assert (await status(ada))["active"]["name"] == "minilm-l6-v2"
    assert [row["model"] for row in await eye.fetch(DIMENSIONS)] == [1]
    assert await finds(ada, "what is my dog called", "The puppy is called Frida")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("odd-300", "memory.embedding_dimensions_unsupported"),
        ("no-such-model", "memory.embedder_unavailable"),
    ],
)
async def test_a_model_that_cannot_be_used_is_said_to_be_and_changes_nothing(
    ada: Any, eye: Any, memory_house: Any, until: Any, name: str, why: str
) -> None:
    await written(ada, eye, memory_house, until, 1)
    worker = memory_house.worker(LARES_MEMORY_EMBEDDING_MODEL=name)
    worker.start()
    try:

        async def said() -> bool:
            return (await status(ada))["problem"] == {"model": name, "code": why}

        await until(said, why=worker.log())
        assert (await status(ada))["active"]["name"] == "minilm-l6-v2"
        kept = await ada.says("Bring the salary slip to the bank")
        await until(eye.embedded, why=worker.log())
        assert await finds(ada, "money", kept["text"])
    finally:
        worker.stop()
