"""From a text to its vector: the worker, the queue and the model, and each of them away for a while."""

from __future__ import annotations

import signal
from typing import Any

import pytest

pytestmark = pytest.mark.integration
# In the order in which workers hold notes: one is at them meanwhile.
HURRY = (
    "UPDATE memory.pending_embedding SET due_at = now() WHERE memory_id IN"
    " (SELECT memory_id FROM memory.pending_embedding ORDER BY memory_id FOR UPDATE)"
)


async def remember(api: Any, who: Any, text: str, tier: str = "convenience") -> dict[str, Any]:
    answer = await api.post("/v1/memories", json={"text": text, "tier": tier}, headers=who.headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def embedded(api: Any, who: Any, memory: dict[str, Any]) -> bool:
    answer = await api.get(f"/v1/memories/{memory['id']}", headers=who.headers)
    return answer.status_code == 200 and answer.json()["embedded"]


async def recall(api: Any, who: Any, query: str, **more: Any) -> dict[str, Any]:
    answer = await api.post("/v1/recall", json={"query": query, **more}, headers=who.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def waiting(pg: Any) -> int:
    count = 0
    for name, table in (("lares", "memory"), ("lares_sacred", "sacred")):
        connection = await pg.connect(name=name)
        count += await connection.fetchval(f"SELECT count(*) FROM {table}.pending_embedding")
        await connection.close()
    return count


@pytest.mark.parametrize("tier", ["convenience", "sensitive", "sacred"])
async def test_a_memory_is_soon_found_by_its_meaning(
    api: Any, worker: Any, caller_factory: Any, until: Any, pg: Any, tier: str
) -> None:
    ada = caller_factory()
    kept = await remember(api, ada, "The puppy is called Frida", tier)
    await remember(api, ada, "The car needs new tyres", tier)
    await until(lambda: embedded(api, ada, kept), why=worker.log())

    found = await recall(api, ada, "what is my dog named", tiers=[tier])

    assert found["degraded"] is None
    best = found["results"][0]
    assert best["memory"]["id"] == kept["id"]
    assert "vector" in {reason["arm"] for reason in best["reasons"]}

    async def quiet() -> bool:
        return await waiting(pg) == 0

    await until(quiet)


async def test_while_the_model_is_away_recall_goes_by_words_and_says_so(
    api: Any, worker: Any, model: Any, caller_factory: Any, until: Any, pg: Any
) -> None:
    ada = caller_factory()
    model.broken = True
    kept = await remember(api, ada, "The puppy is called Frida")

    found = await recall(api, ada, "puppy")

    assert found["degraded"] == "lexical_only"
    assert [result["memory"]["id"] for result in found["results"]] == [kept["id"]]
    assert await waiting(pg) == 1
    model.broken = False
    connection = await pg.connect()
    # The wait before the next try is half a minute: as if it had passed.
    await connection.execute(HURRY)
    await until(lambda: embedded(api, ada, kept), why=worker.log())
    found = await recall(api, ada, "dog")
    assert found["degraded"] is None
    assert found["results"][0]["memory"]["id"] == kept["id"]
    await connection.close()


async def test_a_slow_model_delays_no_write_and_bounds_a_recall(
    api: Any, worker: Any, model: Any, caller_factory: Any
) -> None:
    import time

    ada = caller_factory()
    model.slow_seconds = 6.0
    begun = time.perf_counter()
    await remember(api, ada, "Quick as a hare")
    assert time.perf_counter() - begun < 5.0
    begun = time.perf_counter()
    assert (await recall(api, ada, "hare"))["degraded"] == "lexical_only"
    assert time.perf_counter() - begun < 5.5
    model.slow_seconds = 0.0


async def test_what_was_written_while_valkey_was_away_is_embedded_afterwards(
    api: Any, worker: Any, valkey: Any, caller_factory: Any, until: Any, pg: Any
) -> None:
    ada = caller_factory()
    valkey.container.kill()
    try:
        kept = [await remember(api, ada, f"Written in the dark {number}") for number in range(3)]
        assert len((await recall(api, ada, "dark"))["results"]) == 3
    finally:
        valkey.container.start()
        valkey.wait()
    connection = await pg.connect()

    async def all_embedded() -> bool:
        await connection.execute(HURRY)
        return all([await embedded(api, ada, memory) for memory in kept])

    await until(all_embedded, seconds=45, why=worker.log())

    async def announced() -> bool:
        return await connection.fetchval("SELECT count(*) FROM memory.outbox") == 0

    await until(announced, seconds=30)
    await connection.close()


async def test_a_job_of_a_killed_worker_is_done_by_the_next(
    api: Any, worker: Any, memory_house: Any, model: Any, caller_factory: Any, until: Any, pg: Any
) -> None:
    ada = caller_factory()
    model.slow_seconds = 3.0
    kept = await remember(api, ada, "Interrupted")
    await until(lambda: "Interrupted" in model.asked)
    worker.stop(signal.SIGKILL)
    model.slow_seconds = 0.0
    connection = await pg.connect()
    await connection.execute(HURRY)
    await connection.close()
    another = memory_house.worker()
    another.start()
    try:
        await until(lambda: embedded(api, ada, kept), seconds=30, why=another.log())
    finally:
        another.stop()


async def test_an_edit_replaces_the_old_meaning(
    api: Any, worker: Any, caller_factory: Any, until: Any
) -> None:
    ada = caller_factory()
    kept = await remember(api, ada, "Take the puppy out")
    await until(lambda: embedded(api, ada, kept))
    place = f"/v1/memories/{kept['id']}"
    edited = await api.patch(place, json={"text": "Book the vacation"}, headers=ada.headers)
    assert edited.json()["embedded"] is False
    await until(lambda: embedded(api, ada, kept))
    scores = {
        query: (await recall(api, ada, query))["results"][0]["score"]
        for query in ("dog", "holiday")
    }
    assert scores["holiday"] > 0.3 > scores["dog"]


async def test_a_text_edited_while_it_is_embedded_keeps_no_stale_vector(
    api: Any, worker: Any, model: Any, caller_factory: Any, until: Any
) -> None:
    ada = caller_factory()
    model.slow_seconds = 1.0
    kept = await remember(api, ada, "Take the puppy out")
    await until(lambda: "Take the puppy out" in model.asked)
    await api.patch(
        f"/v1/memories/{kept['id']}", json={"text": "Book the vacation"}, headers=ada.headers
    )
    model.slow_seconds = 0.0
    await until(lambda: embedded(api, ada, kept), seconds=30, why=worker.log())
    found = await recall(api, ada, "holiday")
    assert "vector" in {reason["arm"] for reason in found["results"][0]["reasons"]}


async def test_the_queue_holds_ids_and_never_a_word(
    api: Any, memory_house: Any, valkey: Any, caller_factory: Any, until: Any
) -> None:
    ada = caller_factory()
    for tier in ("convenience", "sensitive", "sacred"):
        await remember(api, ada, "CANARYWORD of the person", tier)
    worker = memory_house.worker()
    worker.start()
    try:
        seen = ""

        def done() -> bool:
            nonlocal seen
            with valkey.client() as client:
                seen += "".join(str(dump(client, key)) for key in client.keys("*"))
            return "memory.changed.v1" in seen and seen.count("embedded") >= 3

        await until(done, why=worker.log())
    finally:
        worker.stop()
    assert "CANARYWORD" not in seen
    assert "CANARYWORD" not in worker.log()


def dump(client: Any, key: str) -> Any:
    kind = client.type(key)
    readers = {
        "string": lambda: client.get(key),
        "list": lambda: client.lrange(key, 0, -1),
        "set": lambda: client.smembers(key),
        "zset": lambda: client.zrange(key, 0, -1),
        "hash": lambda: client.hgetall(key),
        "stream": lambda: client.xrange(key),
    }
    return key, readers.get(kind, lambda: None)()


async def test_every_change_is_announced_once_with_ids_alone(
    api: Any, valkey: Any, caller_factory: Any, until: Any
) -> None:
    ada = caller_factory()
    kept = await remember(api, ada, "Announce me")
    place = f"/v1/memories/{kept['id']}"
    await api.patch(place, json={"text": "Announce me again"}, headers=ada.headers)
    await api.patch(place, json={"tier": "sacred"}, headers=ada.headers)
    await api.patch(place, json={"tier": "sensitive"}, headers=ada.headers)

    def entries() -> list[Any]:
        import json

        with valkey.client() as client:
            return [
                json.loads(entry["data"])
                for _, entry in client.xrange("lares:stream:memory.changed.v1")
            ]

    await until(lambda: len(entries()) == 4)
    await api.delete(place, headers=ada.headers)
    await until(lambda: len(entries()) == 5)
    found = entries()
    assert {entry["memory_id"] for entry in found} == {kept["id"]}
    assert {entry["subject_id"] for entry in found} == {str(ada.caller.subject)}
    assert [entry["change"] for entry in found] == [
        "remembered",
        "edited",
        "moved",
        "moved",
        "forgotten",
    ]
    assert len({entry["event_id"] for entry in found}) == 5


async def test_the_worker_stops_within_ten_seconds(worker: Any) -> None:
    import time

    begun = time.perf_counter()
    worker.stop()
    assert time.perf_counter() - begun < 10
