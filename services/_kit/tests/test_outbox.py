"""kit.outbox against real Postgres and Valkey: commit then publish, nothing lost, nothing out of order."""

from __future__ import annotations

import asyncio
import contextlib
from uuid import uuid4

import pytest
from kit import outbox, trace
from kit.bus import Bus, BusFull, BusUnavailable, ContentRefused
from kit.pool import Pool
from kit.testing.data import Postgres, Valkey

pytestmark = pytest.mark.integration
TABLE, TOPIC = "memory.outbox", "memory.changed.v1"
KEY = f"lares:stream:{TOPIC}"


async def _rows(pg: Postgres) -> int:
    connection = await pg.connect()
    try:
        return await connection.fetchval("SELECT count(*) FROM memory.outbox")
    finally:
        await connection.close()


async def test_an_event_is_published_after_its_commit_and_leaves_the_table(
    pg: Postgres, valkey: Valkey
) -> None:
    async with (
        await Pool.open(pg.database("svc_memory")) as pool,
        Bus.open(valkey.broker("memory")) as bus,
    ):
        relay = outbox.Relay(pool, bus, TABLE)
        with trace.use(None) as journey:
            async with pool.as_role("lares_mcp", uuid4()) as connection:
                event_id = await outbox.add(
                    connection, TABLE, TOPIC, {"memory_id": uuid4(), "n": 1}
                )
                assert await relay.publish_batch() == 0, "nothing is said before the commit"
        assert await relay.publish_batch() == 1
    [(_, entry)] = valkey.client().xrange(KEY)
    assert entry["event_id"] == str(event_id)
    assert journey.trace_id in entry["traceparent"]
    assert await _rows(pg) == 0


async def test_a_change_that_is_rolled_back_says_nothing(pg: Postgres, valkey: Valkey) -> None:
    async with (
        await Pool.open(pg.database("svc_memory")) as pool,
        Bus.open(valkey.broker("memory")) as bus,
    ):
        with pytest.raises(RuntimeError):
            async with pool.as_role("lares_app", uuid4()) as connection:
                await outbox.add(connection, TABLE, TOPIC, {"n": 1})
                raise RuntimeError
        assert await outbox.Relay(pool, bus, TABLE).publish_batch() == 0
    assert valkey.client().exists(KEY) == 0


async def test_a_callers_role_can_add_but_not_read_what_others_added(pg: Postgres) -> None:
    import asyncpg

    async with await Pool.open(pg.database("svc_memory")) as pool:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with pool.as_role("lares_mcp", uuid4()) as connection:
                await connection.fetch("SELECT * FROM memory.outbox")


async def test_a_sentence_cannot_be_added(pg: Postgres) -> None:
    async with await Pool.open(pg.database("svc_memory")) as pool:
        with pytest.raises(ContentRefused):
            async with pool.own() as connection:
                await outbox.add(connection, TABLE, TOPIC, {"text": "dear diary"})


async def test_rows_wait_while_the_bus_is_full_and_are_published_in_order_afterwards(
    pg: Postgres, valkey: Valkey
) -> None:
    async with (
        await Pool.open(pg.database("svc_memory")) as pool,
        Bus.open(valkey.broker("memory")) as bus,
    ):
        relay = outbox.Relay(pool, bus, TABLE, poll_s=0.1)
        valkey.client().config_set("maxmemory", "1")
        for number in range(5):
            async with pool.own() as connection:
                await outbox.add(connection, TABLE, TOPIC, {"n": number})
        with pytest.raises(BusFull):
            await relay.publish_batch()
        assert await _rows(pg) == 5
        task = asyncio.create_task(relay.run())
        await asyncio.sleep(0.5)
        valkey.client().config_set("maxmemory", "96mb")
        async with asyncio.timeout(10):
            while await _rows(pg):
                await asyncio.sleep(0.05)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert [entry["data"] for _, entry in valkey.client().xrange(KEY)] == [
        f'{{"n":{n}}}' for n in range(5)
    ]


async def test_a_relay_outlives_both_stores_and_loses_nothing(pg: Postgres, valkey: Valkey) -> None:
    async with (
        await Pool.open(pg.database("svc_memory")) as pool,
        Bus.open(valkey.broker("memory")) as bus,
    ):
        relay = outbox.Relay(pool, bus, TABLE, poll_s=0.1, batch=2)
        task = asyncio.create_task(relay.run())
        valkey.container.kill()
        for number in range(5):
            async with pool.own() as connection:
                await outbox.add(connection, TABLE, TOPIC, {"n": number})
        with pytest.raises(BusUnavailable):
            await bus.ping()
        await asyncio.to_thread(pg.container.restart)
        await asyncio.to_thread(valkey.container.start)
        await asyncio.to_thread(valkey.wait)
        await asyncio.to_thread(pg.wait)
        async with asyncio.timeout(30):
            while await _rows(pg):
                await asyncio.sleep(0.1)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    said = [entry["data"] for _, entry in valkey.client().xrange(KEY)]
    assert sorted(set(said)) == [f'{{"n":{n}}}' for n in range(5)]


async def test_a_woken_relay_publishes_at_once(pg: Postgres, valkey: Valkey) -> None:
    async with (
        await Pool.open(pg.database("svc_memory")) as pool,
        Bus.open(valkey.broker("memory")) as bus,
    ):
        relay = outbox.Relay(pool, bus, TABLE, poll_s=60)
        task = asyncio.create_task(relay.run())
        await asyncio.sleep(0.3)
        async with pool.own() as connection:
            await outbox.add(connection, TABLE, TOPIC, {"n": 1})
        relay.wake()
        async with asyncio.timeout(3):
            while await _rows(pg):
                await asyncio.sleep(0.02)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_relay_that_starts_before_the_first_migration_publishes_after_it(
    pg: Postgres, valkey: Valkey
) -> None:
    superuser = await pg.connect()
    async with (
        await Pool.open(pg.database("svc_memory")) as pool,
        Bus.open(valkey.broker("memory")) as bus,
    ):
        await superuser.execute("ALTER TABLE memory.outbox RENAME TO outbox_to_be")
        relay = outbox.Relay(pool, bus, TABLE)
        running = asyncio.create_task(relay.run())
        try:
            await asyncio.sleep(0.5)
            assert not running.done()
        finally:
            await superuser.execute("ALTER TABLE memory.outbox_to_be RENAME TO outbox")
            await superuser.close()
        async with pool.own() as connection:
            await outbox.add(connection, TABLE, TOPIC, {"memory_id": uuid4()})
        async with asyncio.timeout(15):
            while valkey.client().xlen(KEY) == 0:
                await asyncio.sleep(0.1)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
