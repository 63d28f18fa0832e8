"""Orders, status, agents, the past and the stream over HTTP; and what nobody may send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from contracts.gpustatus import AgentList, CardHistory, DecisionList, Models, StateChanged
from contracts.scheduling import STATE_TOPIC, Ended, Status

from .a_house import Gateway, House
from .a_node import model

pytestmark = pytest.mark.integration
Make = Callable[..., Gateway]
SERVICE = {"X-Lares-Service": "dashboard"}


def client(house: House, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=house.url, headers=headers or {}, timeout=20, trust_env=False)


async def order(house: House, headers: dict[str, str], verb: str, **about: Any) -> httpx.Response:
    async with client(house, headers) as http:
        return await http.post("/v1/orders", json={"verb": verb, **about})


async def status(house: House) -> Status:
    async with client(house, SERVICE) as http:
        reply = await http.get("/v1/status")
        assert reply.status_code == 200, reply.text
        return Status.model_validate_json(reply.content)


async def eventually(look: Callable[[], Any], seconds: float = 8.0) -> Any:
    async with asyncio.timeout(seconds):
        while not (found := look()):
            await asyncio.sleep(0.03)
        return found


async def test_the_owner_loads_sleeps_and_evicts_a_model(
    house: House, gateways: Make, caller_factory: Any
) -> None:
    house.node.offer(model("small", can_sleep=True, asleep_mib=100, asleep_ram_mib=4000))
    await (await gateways(house.url).connect()).offered("small", available=True)
    owner = caller_factory().headers
    assert (await order(house, owner, "load", on="small")).status_code == 202
    instance = await eventually(
        lambda: next((i for i in house.node.instances.values() if i.phase == "ready"), None)
    )
    assert (await order(house, owner, "sleep", on="small")).status_code == 202
    await eventually(lambda: instance.phase == "asleep")
    assert (await order(house, owner, "evict", on="small")).status_code == 202
    await eventually(lambda: instance.phase == "stopped")
    assert [verb for verb, _ in house.node.verbs()] == ["start", "sleep", "stop"]


async def test_orders_are_the_owners_alone(house: House, caller_factory: Any) -> None:
    member = caller_factory(role="member")
    reading = caller_factory(kind="token", scopes=("inference:read",))
    managing = caller_factory(kind="token", scopes=("inference:manage",), read_only=True)
    members = caller_factory(kind="token", scopes=("inference:manage",), role="member")
    for refused in (member, reading, members):
        reply = await order(house, refused.headers, "pause")
        assert reply.json()["error"]["code"] == "inference.owner_only"
    assert (await order(house, SERVICE, "pause")).status_code == 403
    assert (await order(house, {}, "pause")).status_code == 401
    assert not house.scheduler.house.loop.state.paused
    assert (await order(house, managing.headers, "pause")).status_code == 202
    assert house.scheduler.house.loop.state.paused


async def test_a_pause_holds_over_a_restart_and_is_lifted_by_the_owner(
    start: Callable[..., Any], gateways: Make, caller_factory: Any
) -> None:
    owner = caller_factory().headers
    async with start() as house:
        assert (await order(house, owner, "pause")).status_code == 202
        assert (await order(house, owner, "ban", on="other")).status_code in (202, 404)
        await eventually(lambda: house.scheduler.house.loop.state.deployments)
        assert (await order(house, owner, "ban", on="other")).status_code == 202
        assert (await order(house, owner, "drain_node", on="forge")).status_code == 202
    async with start() as house:
        assert (await status(house)).paused
        gateway = await gateways(house.url).connect()
        offered = await gateway.offered("small", available=False)
        assert "paused" in offered.why
        await order(house, owner, "resume")
        drained = await gateway.offered("small", available=False)
        assert "drained" in drained.why
        await order(house, owner, "resume_node", on="forge")
        await gateway.offered("small", available=True)
        await gateway.ask("a", "other")
        assert (await gateway.hear("refused", "a")).code == "inference.model_banned"
        await gateway.ask("b")
        await gateway.hear("granted", "b")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"verb": "load"}, "inference.order_invalid"),
        ({"verb": "load", "on": "nothing-like-it"}, "inference.not_offered"),
        ({"verb": "drain_node"}, "inference.order_invalid"),
        ({"verb": "drain_node", "on": "small"}, "inference.node_not_joined"),
        ({"verb": "load", "on": "small", "node": "elsewhere"}, "inference.node_not_joined"),
        ({"verb": "explode", "on": "small"}, "kit.invalid_request"),
        ({"verb": "load", "on": "../../x"}, "kit.invalid_request"),
        ({"verb": "load", "on": "small", "force": True}, "kit.invalid_request"),
        ({}, "kit.invalid_request"),
    ],
)
async def test_an_order_that_makes_no_sense_is_refused(
    house: House, caller_factory: Any, body: dict[str, Any], code: str
) -> None:
    async with client(house, caller_factory().headers) as http:
        reply = await http.post("/v1/orders", json=body)
        assert reply.json()["error"]["code"] == code


async def test_the_status_shows_cards_part_by_part_and_adds_up(
    house: House, gateways: Make
) -> None:
    gateway = await gateways(house.url).connect()
    await gateway.offered("small", available=True)
    await gateway.ask("a")
    await gateway.hear("granted", "a")
    shown = await status(house)
    (card,) = shown.cards
    assert sum(part.mib for part in card.parts) == card.total_mib == 24_000
    parts = {(part.what, part.model): part.mib for part in card.parts}
    assert parts["weights", "small"] == 3000
    assert parts["cache", "small"] == 1000
    assert parts["foreign", None] == 300
    assert card.booked_mib >= 4000
    assert not card.stale
    assert [node.state for node in shown.nodes] == ["up"]
    by_name = {one.model: one for one in shown.models}
    assert (by_name["small"].phase, by_name["small"].running) == ("ready", 1)
    assert by_name["other"].phase == "stopped"
    assert any(one.verb == "start" and one.why for one in shown.decisions)
    assert [one.running for one in shown.instances] == [1]


async def test_looking_moves_nothing(house: House, gateways: Make) -> None:
    await (await gateways(house.url).connect()).offered("small", available=True)
    async with client(house, SERVICE) as http:
        for _ in range(5):
            for path in ("/v1/status", "/v1/models", "/v1/history", "/v1/decisions", "/v1/agents"):
                assert (await http.get(path)).status_code == 200
        Models.model_validate_json((await http.get("/v1/models")).content)
        AgentList.model_validate_json((await http.get("/v1/agents")).content)
    assert house.node.actions == []


async def test_the_queue_is_shown_with_positions_and_reasons(house: House, gateways: Make) -> None:
    house.node.offer(model("small", slots=1))
    gateway = await gateways(house.url).connect()
    await gateway.offered("small", available=True)
    for name in ("a", "b", "c"):
        await gateway.ask(name)
    await gateway.hear("granted", "a")
    await gateway.hear("queued", "c")
    shown = await status(house)
    assert [(one.request_id, one.position) for one in shown.queue] == [("b", 1), ("c", 2)]
    assert shown.queue_total == 2
    assert all(one.why and one.caller == "person:1" for one in shown.queue)


async def test_members_and_strangers_do_not_see_what_others_have_asked_for(
    house: House, caller_factory: Any
) -> None:
    member = caller_factory(role="member").headers
    token = caller_factory(kind="token", scopes=("memory:read",)).headers
    for path in ("/v1/status", "/v1/models", "/v1/history", "/v1/decisions", "/v1/agents"):
        for headers, code in (
            (member, "inference.owner_only"),
            ({**member, **SERVICE}, "inference.owner_only"),
            (token, "kit.scope_missing"),
            ({}, "inference.caller_unnamed"),
            ({"X-Lares-Caller": "forged"}, "kit.caller_invalid"),
            ({"X-Lares-Service": "Not A Service"}, "inference.caller_unnamed"),
        ):
            async with client(house, headers) as http:
                reply = await http.get(path)
                assert reply.json()["error"]["code"] == code, (path, headers)


async def test_decisions_and_minutes_are_kept_and_shown(
    house: House, gateways: Make, pg: Any
) -> None:
    gateway = await gateways(house.url).connect()
    await gateway.offered("small", available=True)
    await gateway.ask("a")
    await gateway.hear("granted", "a")
    async with client(house, SERVICE) as http:

        async def kept() -> tuple[DecisionList, CardHistory]:
            decided = DecisionList.model_validate_json((await http.get("/v1/decisions")).content)
            past = CardHistory.model_validate_json((await http.get("/v1/history")).content)
            return decided, past

        async with asyncio.timeout(8):
            decided, past = await kept()
            while not decided.decisions or not past.minutes:
                await asyncio.sleep(0.1)
                decided, past = await kept()
        assert decided.decisions[-1].verb == "start"
        assert decided.decisions[-1].on == "small on forge"
        (minute,) = past.minutes
        assert minute.total_mib == 24_000
        assert sum(part.mib for part in minute.parts) == 24_000
        assert (await http.get("/v1/history?card=other")).json() == {"minutes": []}
        assert (await http.get("/v1/history?since=0&until=1")).json() == {"minutes": []}


async def test_a_change_is_said_on_the_bus_in_ids_and_numbers(
    house: House, gateways: Make, valkey: Any
) -> None:
    gateway = await gateways(house.url).connect()
    await gateway.offered("small", available=True)
    await gateway.ask("a")
    granted = await gateway.hear("granted", "a")

    def read() -> list[StateChanged]:
        with valkey.client() as http:
            entries = http.xrange(f"lares:stream:{STATE_TOPIC}")
        return [StateChanged.model_validate(json.loads(fields["data"])) for _, fields in entries]

    said = await eventually(lambda: [one for one in read() if one.resident == ("small",)])
    assert said[0].cards[0].total_mib == 24_000
    await gateway.say(Ended(request_id="a", fence=granted.fence, outcome="ok"))
    await eventually(lambda: read()[-1].running == 0)
    assert len(read()) <= 6, "no more than one a second"


async def test_an_agent_belongs_to_whoever_registered_it(house: House, caller_factory: Any) -> None:
    mine, theirs = {"X-Lares-Service": "orchestrator"}, caller_factory(role="member").headers
    async with client(house, mine) as http, client(house, theirs) as other:
        first = await http.put("/v1/agents/scribe", json={"ttl_seconds": 30})
        assert first.json()["caller"] == "service:orchestrator"
        taken = await other.put("/v1/agents/scribe", json={"ttl_seconds": 30})
        assert taken.json()["error"]["code"] == "inference.agent_taken"
        gone = await other.delete("/v1/agents/scribe")
        assert gone.json()["error"]["code"] == "inference.agent_unknown"
        assert (await http.delete("/v1/agents/scribe")).status_code == 204
        assert (await http.delete("/v1/agents/scribe")).status_code == 404
        for name in ("%2e%2e", "a" * 101, "a%20b", "-x"):
            assert (await http.put(f"/v1/agents/{name}", json={})).status_code == 422


BROKEN = (
    b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"{" * 10_000, b'{"fence": -1}', b'{"fence": 1e999}',
    b'{"model": "x\x00y", "ttl_seconds": 5}', b'{"memory_mib": 0}', b'{"memory_mib": 1e400}', b'{"ttl_seconds": NaN}',
    b'{"model": {"$ne": 1}}', b'{"verb": null}', b'{"purpose": "' + b"x" * 300 + b'", "model": "m"}',
)  # fmt: skip


async def test_no_body_breaks_a_route(house: House, caller_factory: Any) -> None:
    async with client(house, caller_factory().headers) as http:
        for verb, path in (
            ("POST", "/v1/leases"),
            ("POST", "/v1/orders"),
            ("PUT", "/v1/agents/one"),
            ("PUT", "/v1/leases/0123456789abcdef"),
        ):
            for body in BROKEN:
                reply = await http.request(verb, path, content=body)
                fine = path == "/v1/agents/one" and body == b""  # every field has a default
                assert reply.status_code == (200 if fine else 422), (path, body, reply.text)
                if not fine:
                    assert set(reply.json()["error"]) == {"code", "reason", "fix", "correlation_id"}
                    assert "xxxx" not in reply.text, "nothing that was sent comes back"
        assert (await http.get("/v1/status")).status_code == 200


async def test_bodies_headers_and_queries_have_bounds(house: House, caller_factory: Any) -> None:
    owner = caller_factory().headers
    async with client(house, owner) as http:
        big = await http.post("/v1/leases", content=b"x" * (2 * 1024 * 1024))
        assert big.status_code == 413
        for query in ("limit=0", "limit=99999999", "since=-1", "until=x", "since=1e9", "limit="):
            assert (await http.get(f"/v1/history?{query}")).status_code == 422
        assert (await http.get("/v1/history?card=" + "x" * 200)).status_code == 422
        assert (await http.get("/v1/decisions?before=999999999999999")).status_code == 422
        for path in ("/v1/leases/..%2f..", "/v1/leases/%00", "/v1/nothing", "/v1/queue"):
            assert (await http.get(path)).status_code == 404
        assert (await http.patch("/v1/status")).status_code == 405
        twice = httpx.Headers([("X-Lares-Service", "a"), ("X-Lares-Service", "b")])
        assert (await http.get("/v1/status", headers=twice)).status_code == 401
