"""What a service that was taken over tries in Valkey, with that service's own password."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kit.bus import Bus, Message
from kit.testing.bus import DEAD, KEY, TOPIC, consuming, until
from kit.testing.data import Valkey
from redis import Redis, exceptions

SERVICES = (
    "memory",
    "memory_worker",
    "orchestrator",
    "dashboard",
    "state_registry",
    "gpu_scheduler",
    "health",
)
DENIED = exceptions.NoPermissionError
as_each_service = pytest.mark.parametrize("user", SERVICES)


def denied(client: Any, *command: Any) -> None:
    """Assert that the access list refuses a command."""
    try:
        said = client.execute_command(*command)
    except DENIED:
        return
    except exceptions.ResponseError as error:
        raise AssertionError(f"{command}: {error}") from error
    raise AssertionError(f"{command}: it answered {said!r}")


def test_nobody_gets_in_without_a_name_and_a_password(valkey: Valkey) -> None:
    """`default` has every right and no way in: that is what this holds it to."""
    where = {"host": valkey.host, "port": valkey.port, "protocol": 2}
    with pytest.raises(exceptions.AuthenticationError):
        Redis(**where).ping()
    for user, password in (
        ("default", ""),
        ("default", "default"),
        ("memory", "wrong"),
        ("x", "x"),
    ):
        with pytest.raises(exceptions.AuthenticationError):
            Redis(**where, username=user, password=password).ping()
        with pytest.raises(exceptions.AuthenticationError):
            Redis(**where, password=password or "x").ping()


@as_each_service
def test_a_service_cannot_administer_spy_or_destroy(valkey: Valkey, user: str) -> None:
    client = valkey.client(user)
    for command in (
        ("CONFIG", "GET", "*"),
        ("CONFIG", "SET", "dir", "/tmp"),
        ("ACL", "LIST"),
        ("ACL", "SETUSER", user, "+@all"),
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("RANDOMKEY",),
        ("DBSIZE",),
        ("MONITOR",),
        ("CLIENT", "LIST"),
        ("CLIENT", "KILL", "TYPE", "normal"),
        ("FLUSHALL",),
        ("FLUSHDB",),
        ("SWAPDB", "0", "1"),
        ("SHUTDOWN", "NOSAVE"),
        ("SAVE",),
        ("BGREWRITEAOF",),
        ("REPLICAOF", "192.0.2.1", "6379"),
        ("MODULE", "LIST"),
        ("FUNCTION", "LIST"),
        ("MIGRATE", "192.0.2.1", "6379", KEY, "0", "100"),
        ("LATENCY", "LATEST"),
        ("SLOWLOG", "GET"),
        ("PUBLISH", "x", "y"),
        ("SUBSCRIBE", "x"),
        ("PSUBSCRIBE", "*"),
    ):
        denied(client, *command)


@as_each_service
def test_a_service_cannot_read_or_write_another_s_keys(valkey: Valkey, user: str) -> None:
    owner = valkey.client()
    owner.set("someone:key", "x")
    owner.rpush("memory:celery:jobs", "x")
    owner.xadd("other:dead:memory.changed.v1", {"a": "b"})
    client = valkey.client(user)
    for command in (
        ("GET", "someone:key"),
        ("SET", "someone:key", "y"),
        ("DEL", "someone:key"),
        ("XRANGE", "other:dead:memory.changed.v1", "-", "+"),
        ("XADD", "other:dead:memory.changed.v1", "*", "a", "b"),
        ("COPY", "someone:key", f"{user}:key"),
        ("DUMP", "someone:key"),
        ("OBJECT", "ENCODING", "someone:key"),
    ):
        denied(client, *command)
    if user != "memory_worker":
        denied(client, "LRANGE", "memory:celery:jobs", 0, -1)
        denied(client, "LPUSH", "memory:celery:jobs", "forged")
        denied(client, "EVAL", "return 1", 0)


@as_each_service
def test_a_stream_cannot_be_emptied_or_forged_by_who_only_reads_it(
    valkey: Valkey, user: str
) -> None:
    valkey.client().xadd(KEY, {"a": "b"})
    client = valkey.client(user)
    denied(client, "XDEL", KEY, "0-1")
    denied(client, "XTRIM", KEY, "MAXLEN", 0)
    denied(client, "XSETID", KEY, "0-1")
    denied(client, "DEL", KEY)
    denied(client, "RENAME", KEY, f"{user}:x")
    denied(client, "XGROUP", "DESTROY", KEY, "orchestrator")
    if user != "memory":
        denied(client, "XADD", KEY, "*", "data", "forged")
    if user != "orchestrator":
        denied(client, "XGROUP", "CREATE", KEY, user, "0")
        denied(client, "XACK", KEY, "orchestrator", "0-1")


def test_the_worker_s_scripts_reach_its_own_keys_alone(valkey: Valkey) -> None:
    valkey.client().set("someone:key", "x")
    client = valkey.client("memory_worker")
    for script in ("return redis.call('GET', KEYS[1])", "return redis.call('SET', KEYS[1], 'y')"):
        denied(client, "EVAL", script, 1, "someone:key")
    with pytest.raises(exceptions.ResponseError):
        client.execute_command("EVAL", "return redis.call('GET', 'someone:key')", 0)
    assert valkey.client().get("someone:key") == "x"


async def test_what_was_written_in_a_transaction_is_there_after_a_restart(valkey: Valkey) -> None:
    """Valkey 8.1 drops every transaction of its file at start when `default` has no rights, without stopping."""

    async def poison(_: Message) -> None:
        raise ValueError("poison")

    client = valkey.client()
    async with Bus.open(valkey.broker("memory")) as source:
        async with Bus.open(valkey.broker("orchestrator")) as bus:
            await source.publish(TOPIC, {"n": 1})
            async with consuming(bus, poison, tries_max=1):
                await until(lambda: client.exists(DEAD))
    before = client.xinfo_groups(KEY)[0]
    await asyncio.to_thread(valkey.container.restart)
    await asyncio.to_thread(valkey.wait)
    client = valkey.client()
    assert client.xlen(DEAD) == 1
    after = client.xinfo_groups(KEY)[0]
    for name in ("pending", "last-delivered-id", "entries-read"):
        assert after[name] == before[name], name
    assert "NOPERM" not in valkey.container.logs()
