"""kit.bus against a real Valkey with the house's access list: delivery, crashes, poison, restarts, a full memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from uuid import UUID, uuid4

import pytest
from kit import bus as kit_bus
from kit import trace
from kit.bus import Bus, BusDenied, BusFull, BusUnavailable, ContentRefused, Message
from kit.metrics import Metrics
from kit.pool import Pool
from kit.testing.bus import DEAD, KEY, TOPIC, Heard, both, consuming, until
from kit.testing.data import Postgres, Valkey

pytestmark = pytest.mark.integration


async def test_a_message_arrives_once_with_its_ids_and_its_trace(valkey: Valkey) -> None:
    heard = Heard()
    async with both(valkey) as (source, bus):
        with trace.use(None) as journey:
            event_id = await source.publish(TOPIC, {"memory_id": str(uuid4()), "change": "edited"})
        async with consuming(bus, heard):
            await heard.count(1)
            await asyncio.sleep(0.6)
    assert [message.event_id for message in heard.messages] == [event_id]
    assert heard.messages[0].payload["change"] == "edited"
    assert heard.messages[0].deliveries == 1
    assert heard.traces == [journey.trace_id]
    assert valkey.client().xpending(KEY, "orchestrator")["pending"] == 0


async def test_a_person_s_sentence_is_refused_before_it_reaches_the_bus(valkey: Valkey) -> None:
    async with both(valkey) as (source, _bus):
        for payload in (
            {"text": "my secret diary"},
            {"x": ["a", {"y": "b c"}]},
            {"z": "x" * 129},
            {"o": object()},
        ):
            with pytest.raises(ContentRefused) as caught:
                await source.publish(TOPIC, payload)
            assert "diary" not in str(caught.value)
    assert valkey.client().exists(KEY) == 0


async def test_a_stream_is_bounded(valkey: Valkey) -> None:
    async with Bus.open(valkey.broker("memory"), length_max=100) as source:
        for number in range(700):
            await source.publish(TOPIC, {"n": number})
    assert valkey.client().xlen(KEY) < 300


async def test_a_failed_message_is_tried_again_and_then_handled(valkey: Valkey) -> None:
    heard = Heard(lambda message: ValueError("first time") if message.deliveries == 1 else None)
    async with both(valkey) as (source, bus):
        await source.publish(TOPIC, {"n": 1})
        async with consuming(bus, heard):
            await heard.count(2)
            await until(lambda: valkey.client().xpending(KEY, "orchestrator")["pending"] == 0)
    assert [message.deliveries for message in heard.messages] == [1, 2]
    assert valkey.client().exists(DEAD) == 0


async def test_a_poison_message_ends_as_a_dead_letter_and_the_next_one_passes(
    valkey: Valkey,
) -> None:
    heard = Heard(lambda message: ValueError("poison") if message.payload["n"] == 1 else None)
    metrics = Metrics("memory", "memory")
    async with both(valkey, metrics=metrics) as (source, bus):
        poison = await source.publish(TOPIC, {"n": 1})
        await source.publish(TOPIC, {"n": 2})
        async with consuming(bus, heard):
            await until(lambda: valkey.client().exists(DEAD))
    [(_, letter)] = valkey.client().xrange(DEAD)
    assert letter["event_id"] == str(poison)
    assert letter["reason"] == "ValueError"
    assert letter["deliveries"] == "3"
    assert [m.payload["n"] for m in heard.messages].count(1) == 3
    assert [m.payload["n"] for m in heard.messages].count(2) == 1
    assert valkey.client().xpending(KEY, "orchestrator")["pending"] == 0
    rendered = metrics.render().decode()
    assert (
        'lares_memory_bus_dead_total{group="orchestrator",topic="memory.changed.v1"} 1.0'
        in rendered
    )
    assert (
        'lares_memory_bus_redelivered_total{group="orchestrator",topic="memory.changed.v1"} 2.0'
        in rendered
    )


async def test_an_entry_that_is_not_ours_is_put_aside_at_once(valkey: Valkey) -> None:
    valkey.client().xadd(KEY, {"nonsense": "x"})
    heard = Heard()
    async with both(valkey) as (_source, bus):
        async with consuming(bus, heard):
            await until(lambda: valkey.client().exists(DEAD))
    assert heard.messages == []


async def test_a_handler_whose_dependency_is_away_waits_and_loses_no_try(valkey: Valkey) -> None:
    heard = Heard()
    heard.failing = lambda _: BusUnavailable() if len(heard.messages) < 5 else None
    async with both(valkey) as (source, bus):
        await source.publish(TOPIC, {"n": 1})
        async with consuming(bus, heard):
            await heard.count(5, seconds=20)
            await until(lambda: valkey.client().xpending(KEY, "orchestrator")["pending"] == 0)
    assert valkey.client().exists(DEAD) == 0


async def test_a_handler_that_hangs_is_cut_off_and_counted_as_failed(valkey: Valkey) -> None:
    begun: list[int] = []

    async def hang(_: Message) -> None:
        begun.append(1)
        await asyncio.sleep(3600)

    async with both(valkey) as (source, bus):
        await source.publish(TOPIC, {"n": 1})
        async with consuming(bus, hang):
            await until(lambda: valkey.client().exists(DEAD))
    assert len(begun) == 3


CRASHER = """
import asyncio, os, sys
from kit.bus import Broker, Bus
async def handler(message):
    print("handling", flush=True)
    await asyncio.sleep(60)
async def main():
    bus = Bus.open(Broker(sys.argv[1], "orchestrator", sys.stdin.readline().strip(), int(sys.argv[2])))
    await bus.consume("memory.changed.v1", "orchestrator", sys.argv[3], handler, handler_s_max=61, claim_idle_s=62)
asyncio.run(main())
"""


def _crash_while_handling(valkey: Valkey, consumer: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CRASHER, valkey.host, str(valkey.port), consumer],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(valkey.password("orchestrator") + "\n")
    process.stdin.flush()
    assert process.stdout.readline() == "handling\n"
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


@pytest.mark.parametrize("successor", ["other", "same"])
async def test_a_message_whose_consumer_was_killed_is_delivered_again(
    valkey: Valkey, successor: str
) -> None:
    """Another name claims it after the idle time; the same name takes its own back at once."""
    heard = Heard()
    async with both(valkey) as (source, bus):
        event_id = await source.publish(TOPIC, {"n": 1})
        await asyncio.to_thread(
            _crash_while_handling, valkey, "one" if successor == "same" else "dead-one"
        )
        idle_s = 30.0 if successor == "same" else 0.4
        async with consuming(bus, heard, claim_idle_s=idle_s):
            await heard.count(1)
            await until(lambda: valkey.client().xpending(KEY, "orchestrator")["pending"] == 0)
    assert [message.event_id for message in heard.messages] == [event_id]
    assert heard.messages[0].deliveries == 2


async def test_a_message_that_kills_every_process_is_given_up_after_its_tries(
    valkey: Valkey,
) -> None:
    heard = Heard()
    async with both(valkey) as (source, bus):
        await source.publish(TOPIC, {"n": 1})
        await asyncio.to_thread(_crash_while_handling, valkey, "one")
        # As if it had done so twice more.
        client = valkey.client()
        [found] = client.xpending_range(KEY, "orchestrator", "-", "+", 10)
        client.xclaim(
            KEY, "orchestrator", "one", 0, [found["message_id"]], retrycount=3, justid=True
        )
        async with consuming(bus, heard):
            await until(lambda: client.exists(DEAD))
    [(_, letter)] = valkey.client().xrange(DEAD)
    assert letter["reason"] == "tries exhausted"
    assert heard.messages == []


async def test_a_redelivered_event_changes_the_database_once(valkey: Valkey, pg: Postgres) -> None:
    done: list[bool] = []
    async with (
        await Pool.open(pg.database("svc_orchestrator")) as pool,
        both(valkey) as (source, bus),
    ):

        async def handler(message: Message) -> None:
            async with pool.own() as connection:
                done.append(
                    await kit_bus.once(
                        connection, "agents.processed_event", "memory", message.event_id
                    )
                )

        event_id = uuid4()
        for _ in range(3):
            await source.publish(TOPIC, {"n": 1}, event_id=event_id)
        async with consuming(bus, handler):
            await until(lambda: len(done) == 3)
        assert sorted(done) == [False, False, True]
        with pytest.raises(RuntimeError):
            async with pool.own() as connection:
                assert await kit_bus.once(
                    connection, "agents.processed_event", "memory", UUID(int=7)
                )
                raise RuntimeError("the work failed")
        async with pool.own() as connection:
            assert await kit_bus.once(
                connection, "agents.processed_event", "memory", UUID(int=7)
            ), "a rolled back event must count as unseen"
            await connection.execute("RESET ROLE")
        admin = await pg.connect()
        await admin.execute(
            "UPDATE agents.processed_event SET processed_at = now() - interval '15 days'"
        )
        await admin.close()
        async with pool.own() as connection:
            assert await kit_bus.forget_old(connection, "agents.processed_event") == 2


async def test_a_consumer_outlives_a_restart_of_valkey_and_nothing_acknowledged_is_lost(
    valkey: Valkey,
) -> None:
    heard = Heard()
    async with both(valkey) as (source, bus):
        async with consuming(bus, heard):
            await source.publish(TOPIC, {"n": 1})
            await heard.count(1)
            await asyncio.to_thread(valkey.container.restart)
            await asyncio.to_thread(valkey.wait)
            await source.publish(TOPIC, {"n": 2})
            await heard.count(2, seconds=20)
    assert [(m.payload["n"], m.deliveries) for m in heard.messages] == [(1, 1), (2, 1)]


async def test_a_consumer_makes_its_group_again_when_valkey_came_back_empty(valkey: Valkey) -> None:
    heard = Heard()
    async with both(valkey) as (source, bus):
        async with consuming(bus, heard):
            await source.publish(TOPIC, {"n": 1})
            await heard.count(1)
            valkey.client().flushall()
            await source.publish(TOPIC, {"n": 2})
            await heard.count(2)


async def test_a_dead_valkey_is_a_coded_503_within_a_limit(valkey: Valkey) -> None:
    async with both(valkey) as (source, bus):
        await bus.ping()
        await asyncio.to_thread(valkey.container.kill)
        try:
            begun = time.monotonic()
            with pytest.raises(BusUnavailable):
                await source.publish(TOPIC, {"n": 1})
            assert time.monotonic() - begun < 8
        finally:
            await asyncio.to_thread(valkey.container.start)
            await asyncio.to_thread(valkey.wait)
        await source.publish(TOPIC, {"n": 1})


async def test_a_full_valkey_is_a_coded_503_and_reading_goes_on(valkey: Valkey) -> None:
    heard = Heard()
    async with both(valkey) as (source, bus):
        await source.publish(TOPIC, {"n": 1})
        valkey.client().config_set("maxmemory", "1")
        with pytest.raises(BusFull) as caught:
            await source.publish(TOPIC, {"n": 2})
        assert (caught.value.code, caught.value.status) == ("bus.full", 503)
        valkey.client().config_set("maxmemory", "96mb")
        async with consuming(bus, heard):
            await heard.count(1)
            valkey.client().config_set("maxmemory", "1")
            await asyncio.sleep(0.5)
            valkey.client().config_set("maxmemory", "96mb")
            await source.publish(TOPIC, {"n": 3})
            await heard.count(2)


async def test_a_poison_message_in_a_full_valkey_stays_until_its_letter_can_be_written(
    valkey: Valkey,
) -> None:
    heard = Heard(lambda _: ValueError("poison"))
    client = valkey.client()
    async with both(valkey) as (source, bus):
        await source.publish(TOPIC, {"n": 1})
        async with consuming(bus, heard, tries_max=1):
            await heard.count(1)
            await until(lambda: client.exists(DEAD))
            client.delete(DEAD)
            await source.publish(TOPIC, {"n": 2})
            client.config_set("maxmemory", "1")
            await heard.count(2)
            await asyncio.sleep(0.5)
            assert client.xpending(KEY, "orchestrator")["pending"] >= 0
            client.config_set("maxmemory", "96mb")
            await until(lambda: client.exists(DEAD))
    assert client.xpending(KEY, "orchestrator")["pending"] == 0


async def test_a_stream_that_is_not_a_services_own_is_denied_by_valkey_itself(
    valkey: Valkey,
) -> None:
    async def denied(user: str, topic: str, how: str) -> None:
        async with Bus.open(valkey.broker(user)) as bus:
            with pytest.raises(BusDenied):
                if how == "publish":
                    await bus.publish(topic, {"n": 1})
                else:
                    await asyncio.wait_for(bus.consume(topic, user, "one", Heard()), 5)

    await denied("dashboard", "memory.changed.v1", "publish")
    await denied("orchestrator", "memory.changed.v1", "publish")
    await denied("memory", "system.state.v1", "publish")
    await denied("memory_worker", "memory.changed.v1", "publish")
    await denied("orchestrator", "system.state.v1", "consume")
    await denied("dashboard", "memory.changed.v1", "consume")


async def test_lag_counts_what_a_group_has_not_been_handed(valkey: Valkey) -> None:
    heard = Heard()
    async with both(valkey) as (source, bus):
        async with consuming(bus, heard):
            await source.publish(TOPIC, {"n": 1})
            await heard.count(1)
        # A read that was left blocking would still be handed the next message.
        client = valkey.client()
        await until(lambda: all(c["cmd"] != "xreadgroup" for c in client.client_list()))
        await source.publish(TOPIC, {"n": 2})
        await source.publish(TOPIC, {"n": 3})
        assert await bus.lag(TOPIC, "orchestrator") == 2
