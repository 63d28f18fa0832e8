"""Vectors in batches, and a model that is slow, away, or answers with what no vector is."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.integration
VECTORS = "SELECT count(*) FROM convenience.memory_vector"


async def test_many_memories_take_few_requests_and_are_soon_found(
    ada: Any, model: Any, eye: Any, memory_house: Any, until: Any
) -> None:
    said = [{"text": f"Ticket number {number} was paid"} for number in range(128)]
    answer = await ada.post("/memories/batch", {"memories": said})
    assert {result["outcome"] for result in answer.json()["results"]} == {"remembered"}

    async def embedded() -> bool:
        return await eye.value(VECTORS) == 128

    worker = memory_house.worker()
    worker.start()
    try:
        await until(embedded, seconds=60, why=worker.log())
    finally:
        worker.stop()
    assert max(model.batches) == 32
    assert len(model.batches) <= 8


async def test_one_text_that_the_model_chokes_on_holds_up_no_other(
    ada: Any, model: Any, eye: Any, memory_house: Any, until: Any
) -> None:
    nan = [float("nan")] * 384
    model.odd.update({"Poison": nan, "Nought": [0.0] * 384, "Short": [0.5] * 100})
    said = [{"text": f"Good apple {number}"} for number in range(20)]
    said[7] = {"text": "Poison apple"}
    said[15] = {"text": "Short apple"}
    said.append({"text": "Nought apple"})
    await ada.post("/memories/batch", {"memories": said})
    worker = memory_house.worker()
    worker.start()
    try:

        async def all_but_three() -> bool:
            await eye.hurry()
            return await eye.value(VECTORS) == 18

        await until(all_but_three, seconds=60, why=worker.log())
        found = await ada.recalls("Poison")
        assert found["results"][0]["memory"]["text"] == "Poison apple"

        async def related() -> bool:
            return await eye.value("SELECT count(*) FROM memory.pending_relation") == 0

        # What needs no vector was not made to wait for one.
        await until(related, why=worker.log())
        assert await eye.value("SELECT count(*) FROM memory.pending_embedding") == 3
        model.odd.clear()

        async def healed() -> bool:
            await eye.hurry()
            return await eye.value(VECTORS) == 21

        await until(healed, seconds=60, why=worker.log())
    finally:
        worker.stop()


async def test_a_question_whose_vector_is_none_is_answered_by_words_and_counted(
    ada: Any, api: Any, model: Any, until: Any
) -> None:
    await ada.says("The puppy is called Frida")

    async def invalid() -> float:
        text = (await api.get("/metrics")).text
        name = "lares_memory_embedding_invalid_total "
        return float(text.split("\n" + name)[1].split("\n")[0])

    for instead in ([0.5] * 100, [float("nan")] * 384, [0.0] * 384, "not base64!", None):
        before = await invalid()
        model.odd[""] = instead

        async def counted(before: float = before) -> bool:
            found = await ada.recalls("puppy")
            assert found["degraded"] == "lexical_only"
            assert found["results"][0]["memory"]["text"] == "The puppy is called Frida"
            # After three of them the gateway leaves the backend alone for a few seconds.
            return await invalid() > before

        await until(counted)


async def test_facts_and_the_like_do_not_wait_for_a_model_that_is_away(
    ada: Any, model: Any, worker: Any, eye: Any, until: Any
) -> None:
    model.broken = True
    await ada.says("Anna is my sister")

    async def related() -> bool:
        done = await eye.value("SELECT n FROM memory.tally WHERE name = 'related'")
        return (done or 0) >= 1

    await until(related, why=worker.log())
    assert await eye.value("SELECT related FROM memory.pending_embedding")


async def test_what_was_forgotten_or_moved_while_it_waited_leaves_no_note(
    ada: Any, model: Any, eye: Any, memory_house: Any, until: Any
) -> None:
    gone = await ada.says("Soon forgotten")
    moved = await ada.says("Soon sacred")
    await ada.api.delete(f"/v1/memories/{gone['id']}", headers=ada.who.headers)
    await ada.api.patch(
        f"/v1/memories/{moved['id']}", json={"tier": "sacred"}, headers=ada.who.headers
    )
    worker = memory_house.worker()
    worker.start()
    try:
        await until(eye.embedded, why=worker.log())
    finally:
        worker.stop()
    assert await eye.value(VECTORS) == 0
    assert "Soon forgotten" not in model.asked
    sealed = "SELECT count(*) FROM sacred.memory WHERE embedding_sealed IS NOT NULL"
    assert await eye.value(sealed, database="lares_sacred") == 1
