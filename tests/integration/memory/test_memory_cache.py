"""Copies of answers: two replicas of the service never disagree for longer than an event takes, whatever fails."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from memory.caching.answers import LOCAL_SECONDS

pytestmark = pytest.mark.integration
# Long for a busy machine, and half of what a copy may live: a change that was merely outlived does not pass.
SOON = LOCAL_SECONDS / 2
LEVELS = re.compile(r'answers_total\{level="(\w+)"\} (\d+)')


@dataclass
class Replica:
    """One of the two processes, and who asks it."""

    process: Any
    client: httpx.AsyncClient
    headers: dict[str, str]

    async def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask until it is answered: a busy machine may be told to try again, and that is no old answer."""
        headers = {**self.headers, **options.pop("headers", {})}
        async with asyncio.timeout(60):
            while True:
                reply = await self.client.request(method, path, headers=headers, **options)
                if reply.status_code != 503:
                    return reply
                await asyncio.sleep(0.25)

    async def text(self, memory_id: str) -> str | None:
        """What the memory says, None when it is gone."""
        reply = await self.ask("GET", f"/v1/memories/{memory_id}")
        assert reply.status_code in (200, 404), reply.text
        return reply.json()["text"] if reply.status_code == 200 else None

    async def levels(self) -> dict[str, int]:
        """How many answers came from where."""
        found = LEVELS.findall((await self.client.get("/metrics")).text)
        return {level: int(number) for level, number in found}


@pytest.fixture
async def replicas(
    memory_house: Any, pg: Any, valkey: Any, model: Any, caller_factory: Any
) -> AsyncIterator[tuple[Replica, Replica]]:
    headers = caller_factory().headers
    processes = [memory_house.service(), memory_house.service()]
    made: list[Replica] = []
    for process in processes:
        process.start()
        client = httpx.AsyncClient(base_url=process.url, timeout=20, trust_env=False)
        made.append(Replica(process, client, headers))
    try:
        for replica in made:
            await warm(replica)
        yield made[0], made[1]
    finally:
        for replica in made:
            await replica.client.aclose()
            replica.process.stop()


async def warm(replica: Replica) -> None:
    """Return when the replica follows the changes and answers from itself."""
    for _ in range(300):
        await replica.ask("GET", "/v1/identity")
        before = (await replica.levels()).get("process", 0)
        await replica.ask("GET", "/v1/identity")
        if (await replica.levels()).get("process", 0) > before:
            return
        # After a loss the stream and the outbox are tried again at growing intervals, ten seconds at most.
        await asyncio.sleep(0.15)
    pytest.fail("the replica never began to keep answers")


async def remembered(replica: Replica, text: str, **more: Any) -> str:
    reply = await replica.ask("POST", "/v1/memories", json={"text": text, **more})
    assert reply.status_code == 201, reply.text
    return reply.json()["id"]


async def test_a_second_look_comes_from_the_process_and_another_replica_s_first_from_valkey(
    replicas: tuple[Replica, Replica], until: Any
) -> None:
    one, two = replicas
    memory = await remembered(one, "The boiler is serviced in October")

    async def from_process() -> bool:
        before = (await one.levels()).get("process", 0)
        await one.text(memory)
        return (await one.levels()).get("process", 0) > before

    await until(from_process)

    async def from_valkey() -> bool:
        before = (await two.levels()).get("valkey", 0)
        await two.text(memory)
        return (await two.levels()).get("valkey", 0) > before

    await until(from_valkey)


async def test_a_replica_s_copy_goes_when_the_other_replica_changes_the_memory(
    replicas: tuple[Replica, Replica], until: Any
) -> None:
    one, two = replicas
    memory = await remembered(one, "The spare key is with Ana")
    for version in range(10):
        for replica in replicas:
            await replica.text(memory)
        text = f"The spare key is in place {version}"
        writer, other = (one, two) if version % 2 else (two, one)
        await writer.ask("PATCH", f"/v1/memories/{memory}", json={"text": text})
        # Whoever wrote reads what they wrote, at once; the other as soon as the event is there.
        assert await writer.text(memory) == text

        async def seen(replica: Replica = other, wanted: str = text) -> bool:
            return await replica.text(memory) == wanted

        await until(seen, seconds=SOON, why=f"version {version} never reached the other replica")
    await one.ask("DELETE", f"/v1/memories/{memory}")
    assert await one.text(memory) is None

    async def gone() -> bool:
        return await two.text(memory) is None

    await until(gone, seconds=SOON)


async def test_an_old_answer_does_not_come_back_under_load(
    replicas: tuple[Replica, Replica], until: Any
) -> None:
    """Readers on both replicas race a writer: once a version was seen settled, no reader goes back before it."""
    one, two = replicas
    memory = await remembered(one, "Version 0")
    settled = 0
    done = asyncio.Event()
    backward: list[str] = []

    async def read(replica: Replica) -> None:
        while not done.is_set():
            floor = settled
            text = await replica.text(memory)
            assert text is not None
            if int(text.split()[1]) < floor:
                backward.append(f"{text} after {floor}")

    async def write() -> None:
        nonlocal settled
        for version in range(1, 25):
            writer = (one, two)[version % 2]
            reply = await writer.ask(
                "PATCH", f"/v1/memories/{memory}", json={"text": f"Version {version}"}
            )
            assert reply.status_code == 200, reply.text
            for replica in replicas:

                async def seen(asked: Replica = replica, wanted: int = version) -> bool:
                    return await asked.text(memory) == f"Version {wanted}"

                await until(seen, seconds=SOON)
            settled = version
        done.set()

    async with asyncio.timeout(180):
        await asyncio.gather(write(), *(read(replica) for replica in replicas * 2))
    assert backward == []


async def test_while_valkey_is_away_nothing_old_is_answered(
    replicas: tuple[Replica, Replica], valkey: Any, until: Any
) -> None:
    one, two = replicas
    memory = await remembered(one, "Before")
    for replica in replicas:
        await replica.text(memory)
    await asyncio.to_thread(valkey.container.kill)
    try:

        async def off() -> bool:
            before = (await two.levels()).get("off", 0)
            await two.text(memory)
            return (await two.levels()).get("off", 0) > before

        await until(off, why="the replica went on answering from its copies")
        await one.ask("PATCH", f"/v1/memories/{memory}", json={"text": "After"})
        assert await two.text(memory) == "After"
    finally:
        await asyncio.to_thread(valkey.container.start)
        await asyncio.to_thread(valkey.wait)

    for replica in replicas:
        await warm(replica)
        assert await replica.text(memory) == "After"


async def test_what_valkey_keeps_says_nothing_and_names_nobody(
    replicas: tuple[Replica, Replica], valkey: Any, until: Any
) -> None:
    one, _ = replicas
    memory = await remembered(one, "Fjordwhale lives under the stairs", tier="sensitive")
    secret = await remembered(one, "Fjordwhale is sacred", tier="sacred")

    store = valkey.client()

    async def kept() -> bool:
        await one.text(memory)
        await one.text(secret)
        return bool(store.keys("memory:cache:a:*"))

    await until(kept)
    for name in store.keys("memory:cache:*"):
        value = store.get(name)
        for word in ("Fjordwhale", memory, secret):
            assert word not in name
            assert word not in value


async def test_a_clients_token_is_always_answered_by_the_database(
    replicas: tuple[Replica, Replica], caller_factory: Any
) -> None:
    one, _ = replicas
    memory = await remembered(one, "For every client")
    token = caller_factory(kind="token", scopes=("memory:read",), db_role="lares_mcp")
    before = await one.levels()
    for _ in range(3):
        await one.ask("GET", f"/v1/memories/{memory}", headers=token.headers)
    after = await one.levels()
    assert after.get("off", 0) - before.get("off", 0) == 3
