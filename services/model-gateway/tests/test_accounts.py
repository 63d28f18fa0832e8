"""What is written down of a call: in a real Postgres, behind the answer, once, and also when Postgres was away."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from contracts.accounts import Usage
from kit.clock import FakeClock
from kit.pool import DataUnavailable, Pool
from kit.testing.callers import CallerFactory
from kit.testing.containers import docker
from kit.testing.data import Postgres
from model_gateway.accounts import writer
from model_gateway.accounts.entry import Entry, entry_of
from model_gateway.accounts.writer import QUERIES, Accounts
from model_gateway.app import build
from model_gateway.call import Call, Correction
from model_gateway.settings import Settings
from model_gateway.terms import Terms

from .conftest import Outsider, Served, book, serving

pytestmark = pytest.mark.integration
HELLO: list[Any] = [{"role": "user", "content": "a marked-canary prompt"}]
SettingsFor = Callable[..., Settings]


def kept(
    settings_for: SettingsFor, pg: Postgres, tmp_path: Path, content: dict[str, Any], key: str
) -> Settings:
    """Return settings of a gateway that keeps accounts in `pg`."""
    (tmp_path / "db_password").write_text(pg.password("svc_model_gateway"))
    (tmp_path / "caller_public_key").write_text(key)
    return settings_for(content, LARES_POSTGRES_HOST=pg.host, LARES_POSTGRES_PORT=str(pg.port))


@pytest.fixture
def gateway(
    outsider: Outsider,
    settings_for: SettingsFor,
    pg: Postgres,
    tmp_path: Path,
    caller_factory: CallerFactory,
) -> Iterator[Served]:
    content = book(outsider.url, queue_max=8)
    key = caller_factory.public_key_pem
    with serving(build(kept(settings_for, pg, tmp_path, content, key))) as served:
        yield served


async def calls(pg: Postgres) -> list[dict[str, Any]]:
    connection = await pg.connect("svc_model_gateway")
    try:
        rows = await connection.fetch("SELECT * FROM inference.call ORDER BY at")
        return [dict(row) for row in rows]
    finally:
        await connection.close()


async def written(pg: Postgres, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(10):
        while len(found := await calls(pg)) < count:
            await asyncio.sleep(0.05)
    return found


async def test_every_statement_can_be_prepared_by_the_gateways_own_role(pg: Postgres) -> None:
    connection = await pg.connect("svc_model_gateway")
    try:
        for query in QUERIES.values():
            await connection.prepare(str(query))
    finally:
        await connection.close()


async def test_a_call_is_written_down_with_who_asked_what_and_what_it_took(
    gateway: Served, pg: Postgres, caller_factory: CallerFactory
) -> None:
    ana = caller_factory()
    headers = {
        **ana.headers,
        "X-Lares-Service": "orchestrator",
        "X-Lares-Agent": "a-7",
        "X-Lares-Max-Tier": "sensitive",
    }
    raw = await gateway.client.chat.completions.with_raw_response.create(
        model="talker", messages=HELLO, extra_headers=headers
    )
    [row] = await written(pg, 1)
    assert row["caller"] == f"person:{ana.caller.subject}"
    assert (row["service"], row["agent"]) == ("orchestrator", "a-7")
    # A person waits for an answer, whether they say so or not.
    assert (row["service_class"], row["tier"]) == ("interactive", "sensitive")
    assert (row["model"], row["way"], row["endpoint"]) == (
        "talker",
        "outsider",
        "/chat/completions",
    )
    assert (row["outcome"], row["tokens_read"], row["tokens_written"]) == ("ok", 5, 7)
    assert row["seconds"] > 0
    assert row["watt_hours"] is None
    assert row["correlation_id"] == raw.headers["x-correlation-id"]
    assert "canary" not in json.dumps(row, default=str)


async def test_a_failed_and_an_abandoned_call_are_written_down_too(
    gateway: Served, pg: Postgres, outsider: Outsider
) -> None:
    outsider.mode = "500"
    with pytest.raises(openai.InternalServerError):
        await gateway.client.chat.completions.create(model="talker", messages=HELLO)
    outsider.mode = "endless"
    stream = await gateway.client.chat.completions.create(
        model="talker", messages=HELLO, stream=True
    )
    async for _ in stream:
        break
    await stream.close()
    rows = await written(pg, 2)
    assert [row["outcome"] for row in rows] == ["inference.backend_failed", "client_gone"]
    assert [row["caller"] for row in rows] == ["unknown", "unknown"]


async def test_a_token_that_is_not_believed_makes_the_service_pay_and_refuses_nobody(
    gateway: Served, pg: Postgres, caller_factory: CallerFactory
) -> None:
    old = caller_factory(ttl_seconds=-1)
    headers = {**old.headers, "X-Lares-Service": "memory-worker"}
    await gateway.client.embeddings.create(model="mapper", input="x", extra_headers=headers)
    [row] = await written(pg, 1)
    assert (row["caller"], row["service_class"]) == ("service:memory-worker", "batch")


async def test_the_owner_and_nobody_else_reads_what_was_used(
    gateway: Served, pg: Postgres, caller_factory: CallerFactory
) -> None:
    for _ in range(2):
        await gateway.client.chat.completions.create(model="talker", messages=HELLO)
    await written(pg, 2)
    owner, member = caller_factory(), caller_factory(role="member")
    token = caller_factory(kind="token", scopes=("memory:read",))
    async with aiohttp.ClientSession() as session:
        for headers, status in (({}, 401), (member.headers, 403), (token.headers, 403)):
            for path in ("/v1/usage", "/v1/budgets"):
                async with session.get(gateway.url + path, headers=headers) as answer:
                    assert answer.status == status
        async with session.get(f"{gateway.url}/v1/usage", headers=owner.headers) as answer:
            usage = Usage.model_validate_json(await answer.text())
        path = f"{gateway.url}/v1/usage?by=caller"
        async with session.get(path, headers=owner.headers) as answer:
            by_caller = Usage.model_validate_json(await answer.text())
        for wrong in ("by=prompt", "since=yesterday", "since=2026-02-01&until=2026-01-01"):
            path = f"{gateway.url}/v1/usage?{wrong}"
            async with session.get(path, headers=owner.headers) as answer:
                assert answer.status == 400
    [row] = usage.rows
    assert (row.model, row.way, row.calls, row.tokens_written) == ("talker", "outsider", 2, 14)
    [row] = by_caller.rows
    assert (row.caller, row.model, row.calls) == ("unknown", None, 2)


def entry(number: int, at: Any, *corrections: Correction) -> Entry:
    call = Call("/chat/completions", "talker", Terms(), request_id=f"r-{number}")
    call.way, call.cost_micros, call.corrections = "cloud", 10, list(corrections)
    call.tally.tokens_read, call.tally.tokens_written = 3, 4
    return entry_of(call, "ok", at, 0.5, "0" * 32)


async def test_what_came_while_postgres_was_away_is_written_when_it_is_back(
    pg: Postgres, clock: FakeClock
) -> None:
    pool = await Pool.open(pg.database("svc_model_gateway"), wait_s=1.0)
    accounts = Accounts(pool, clock)
    accounts.put(entry(1, clock.now()))
    docker("pause", pg.container.name)
    try:
        with pytest.raises(DataUnavailable):
            await accounts.write()
        accounts.put(entry(2, clock.now()))
        assert accounts.waiting == 2
    finally:
        docker("unpause", pg.container.name)
    async with asyncio.timeout(20):
        while accounts.waiting:
            try:
                await accounts.write()
            except DataUnavailable:
                await asyncio.sleep(0.1)
    assert sorted(row["id"] for row in await calls(pg)) == ["r-1", "r-2"]
    await pool.close()


async def test_a_call_that_is_written_twice_changes_a_budget_once(
    pg: Postgres, clock: FakeClock
) -> None:
    pool = await Pool.open(pg.database("svc_model_gateway"))
    today = clock.now().date()
    async with pool.own() as connection:
        await connection.fetchrow(QUERIES.reserve, today, "b", "", 100, 1000, 10**6, 10**6)
    back = Correction(today, "b", "", -40, -400)
    accounts = Accounts(pool, clock)
    for _ in range(2):
        accounts.put(entry(1, clock.now(), back))
        await accounts.write()
    async with pool.own() as connection:
        row = await connection.fetchrow(QUERIES.used, today, "b", "")
    assert (row["tokens"], row["cost_micros"]) == (60, 600)
    await pool.close()


async def test_a_spool_that_is_full_loses_the_oldest_and_says_so(
    pg: Postgres, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "SPOOL_MAX", 2)
    pool = await Pool.open(pg.database("svc_model_gateway"))
    accounts = Accounts(pool, clock)
    for number in range(3):
        accounts.put(entry(number, clock.now()))
    assert (accounts.waiting, accounts.dropped) == (2, 1)
    await accounts.drain()
    assert sorted(row["id"] for row in await calls(pg)) == ["r-1", "r-2"]
    await pool.close()


async def test_a_line_that_postgres_refuses_does_not_dam_up_what_follows(
    pg: Postgres, clock: FakeClock
) -> None:
    pool = await Pool.open(pg.database("svc_model_gateway"))
    accounts = Accounts(pool, clock)
    good = entry(1, clock.now())
    accounts.put(Entry((*good.line[:-1], "no trace id"), ()))
    await accounts.write()
    accounts.put(good)
    await accounts.write()
    assert accounts.dropped == 1
    assert [row["id"] for row in await calls(pg)] == ["r-1"]
    await pool.close()


async def test_calls_older_than_ninety_days_become_sums_and_nothing_is_lost_of_them(
    pg: Postgres, clock: FakeClock, caller_factory: CallerFactory
) -> None:
    pool = await Pool.open(pg.database("svc_model_gateway"))
    accounts = Accounts(pool, clock)
    for number, days in enumerate((95, 95, 91, 10)):
        accounts.put(entry(number, clock.now() - timedelta(days=days)))
    keeping = asyncio.create_task(accounts.keep())
    async with asyncio.timeout(10):
        while len(await calls(pg)) != 1:
            await asyncio.sleep(0.02)
    keeping.cancel()
    connection = await pg.connect("svc_model_gateway")
    rows = await connection.fetch("SELECT * FROM inference.call_day ORDER BY day")
    await connection.close()
    assert [(row["calls"], row["tokens_read"], row["cost_micros"]) for row in rows] == [
        (2, 6, 20),
        (1, 3, 10),
    ]
    async with pool.own() as connection:
        midnight = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
        since, until = midnight - timedelta(days=120), midnight + timedelta(days=1)
        [row] = await connection.fetch(QUERIES.usage, since, until, 10, ["model"])
    assert (row["calls"], row["cost_micros"]) == (4, 40)
    await pool.close()
