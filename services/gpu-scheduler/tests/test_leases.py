"""Leases over HTTP: asked for, waited for, renewed, released, revoked, kept over a restart, refused without Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from contracts.scheduling import Began, Ended

from .a_house import Gateway, House
from .a_node import model

pytestmark = pytest.mark.integration
SPEECH, OTHER = {"X-Lares-Service": "voice-gateway"}, {"X-Lares-Service": "orchestrator"}


def client(house: House, headers: dict[str, str] = SPEECH) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=house.url, headers=headers, timeout=20, trust_env=False)


async def seen(house: House) -> None:
    """Return once the node was heard."""
    async with asyncio.timeout(5):
        while not house.scheduler.house.loop.state.deployments:
            await asyncio.sleep(0.02)


async def rows(pg: Any) -> list[Any]:
    connection = await pg.connect()
    try:
        return await connection.fetch("SELECT * FROM inference.lease")
    finally:
        await connection.close()


async def held(http: httpx.AsyncClient, **ask: Any) -> dict[str, Any]:
    reply = await http.post("/v1/leases", json={"model": "small", "wait_seconds": 5, **ask})
    assert reply.status_code == 201, reply.text
    return reply.json()


async def test_a_lease_of_a_model_names_the_instance_and_is_kept_before_its_holder_hears_of_it(
    house: House, pg: Any
) -> None:
    await seen(house)
    async with client(house) as http:
        lease = await held(http, ttl_seconds=20, purpose="dictation")
        assert lease["state"] == "held"
        assert lease["holder"] == "service:voice-gateway"
        assert lease["path"].startswith("/v1/instances/")
        assert lease["tls_name"].endswith(".node.lares")
        assert lease["expires_at"] is not None
        kept = await rows(pg)
        assert [(row["id"], row["fence"]) for row in kept] == [(lease["lease_id"], lease["fence"])]


async def test_a_lease_that_must_wait_is_answered_with_its_place(house: House) -> None:
    house.node.offer(model("small", slots=1))
    await seen(house)
    async with client(house) as http:
        first = await held(http)
        reply = await http.post("/v1/leases", json={"model": "small"})
        assert reply.status_code == 202
        waiting = reply.json()
        assert waiting["state"] == "queued"
        assert waiting["fence"] is None
        assert (await http.delete(f"/v1/leases/{first['lease_id']}")).status_code == 204
        async with asyncio.timeout(5):
            while True:
                now = (await http.get(f"/v1/leases/{waiting['lease_id']}")).json()
                if now["state"] == "held":
                    break
                assert now["position"] in (None, 1)
                await asyncio.sleep(0.05)
        assert now["fence"] > first["fence"]


async def test_a_lease_runs_out_without_heartbeats_and_lives_with_them(
    house: House, pg: Any
) -> None:
    await seen(house)
    async with client(house) as http:
        silent, beating = await held(http, ttl_seconds=1), await held(http, ttl_seconds=1)
        for _ in range(8):
            await asyncio.sleep(0.25)
            reply = await http.put(
                f"/v1/leases/{beating['lease_id']}", json={"fence": beating["fence"]}
            )
            assert reply.status_code == 200, reply.text
        lost = await http.put(f"/v1/leases/{silent['lease_id']}", json={"fence": silent["fence"]})
        assert lost.status_code == 409
        assert lost.json()["error"]["code"] == "inference.lease_lost"
        assert (await http.get(f"/v1/leases/{silent['lease_id']}")).json()["state"] == "revoked"
        await asyncio.sleep(1.5)
        assert [row["id"] for row in await rows(pg)] in ([], [beating["lease_id"]])


async def test_a_wrong_fence_does_not_renew(house: House) -> None:
    await seen(house)
    async with client(house) as http:
        lease = await held(http)
        for fence in (0, lease["fence"] - 1, lease["fence"] + 1):
            reply = await http.put(f"/v1/leases/{lease['lease_id']}", json={"fence": fence})
            assert reply.json()["error"]["code"] == "inference.lease_lost"


async def test_a_lease_is_unknown_to_everybody_but_its_holder_and_the_owner(
    house: House, caller_factory: Any
) -> None:
    await seen(house)
    member = caller_factory(role="member").headers
    owner = {**caller_factory().headers, "X-Lares-Service": "dashboard"}
    async with client(house) as http:
        lease = await held(http)
        path = f"/v1/leases/{lease['lease_id']}"
        for headers in (OTHER, member):
            async with client(house, headers) as other:
                assert (await other.get(path)).status_code == 404
                assert (await other.delete(path)).status_code == 404
                beat = await other.put(path, json={"fence": lease["fence"]})
                assert beat.status_code == 404
        assert (await http.get(path)).json()["state"] == "held"
        async with client(house, owner) as theirs:
            assert (await theirs.get(path)).json()["purpose"] == "unnamed"
            assert (await theirs.delete(path)).status_code == 204
        assert (await http.get(path)).json()["state"] == "revoked"


async def test_bare_memory_is_booked_and_what_would_not_fit_beside_it_waits_or_is_refused(
    house: House, gateways: Callable[..., Gateway]
) -> None:
    await seen(house)
    async with client(house) as http:
        reply = await http.post("/v1/leases", json={"memory_mib": 22_000, "wait_seconds": 5})
        assert reply.status_code == 201, reply.text
        lease = reply.json()
        assert lease["card"] == "GPU-0"
        assert lease["path"] is None
        gateway = await gateways(house.url).connect()
        await gateway.offered("small")
        await gateway.ask("a")
        await gateway.hear("queued", "a")
        assert house.node.actions == []
        too_much = await http.post("/v1/leases", json={"memory_mib": 90_000, "wait_seconds": 5})
        assert too_much.json()["error"]["code"] == "inference.never_fits"
        await http.delete(f"/v1/leases/{lease['lease_id']}")
        await gateway.hear("granted", "a")


async def test_a_lease_that_says_neither_or_both_is_unclear(house: House) -> None:
    async with client(house) as http:
        for ask in ({}, {"model": "small", "memory_mib": 5}, {"model": "small", "card": "GPU-0"}):
            reply = await http.post("/v1/leases", json=ask)
            assert reply.json()["error"]["code"] == "inference.lease_unclear"


async def test_without_postgres_no_lease_is_granted_and_requests_go_on(
    house: House, gateways: Callable[..., Gateway], pg: Any
) -> None:
    await seen(house)
    gateway = await gateways(house.url).connect()
    await gateway.offered("small", available=True)
    async with client(house) as http:
        before = await held(http, ttl_seconds=60)
        await asyncio.to_thread(pg.container.kill)
        try:
            reply = await http.post("/v1/leases", json={"model": "small", "wait_seconds": 5})
            assert reply.status_code == 503, reply.text
            assert reply.json()["error"]["code"].startswith("data.")
            await gateway.ask("a")
            granted = await gateway.hear("granted", "a")
            await gateway.say(Began(request_id="a"))
            beat = await http.put(
                f"/v1/leases/{before['lease_id']}", json={"fence": before["fence"]}
            )
            assert beat.status_code == 200, "a lease that is held goes on"
            assert granted.instance_id in house.node.instances
            assert house.scheduler.house.loop.state.queued_by_class.total() == 0
        finally:
            await asyncio.to_thread(pg.container.start)
            await asyncio.to_thread(pg.wait)
        await gateway.say(Ended(request_id="a", fence=granted.fence, outcome="ok"))
        assert (await held(http))["state"] == "held"


async def test_leases_of_a_restart_are_held_under_the_same_fence(
    start: Callable[..., Any], pg: Any
) -> None:
    async with start() as house:
        await seen(house)
        async with client(house) as http:
            lease = await held(http, ttl_seconds=30)
            bare = await http.post("/v1/leases", json={"memory_mib": 3000, "wait_seconds": 5})
            assert bare.status_code == 201
        epoch = house.scheduler.house.loop.state.epoch
    async with start() as house:
        assert house.scheduler.house.loop.state.epoch > epoch
        await seen(house)
        async with client(house) as http:
            for one in (lease, bare.json()):
                reply = await http.put(
                    f"/v1/leases/{one['lease_id']}", json={"fence": one["fence"]}
                )
                assert reply.status_code == 200, reply.text
                assert reply.json()["state"] == "held"
        # Nothing is over: not at once, and not when the node has been heard.
        await asyncio.sleep(2.5)
        state = house.scheduler.house.loop.state
        assert {request.id for request in state.granted.values()} == {
            f"lease:{lease['lease_id']}",
            f"lease:{bare.json()['lease_id']}",
        }
        assert sum(1 for verb, _ in house.node.verbs() if verb == "start") == 1


async def test_the_lease_of_a_model_that_dies_is_revoked(house: House, pg: Any) -> None:
    await seen(house)
    async with client(house) as http:
        lease = await held(http, ttl_seconds=60)
        (running,) = house.node.instances.values()
        running.phase, running.error = "failed", "killed"
        house.node.changed()
        async with asyncio.timeout(5):
            while (await http.get(f"/v1/leases/{lease['lease_id']}")).json()["state"] == "held":
                await asyncio.sleep(0.05)
        said = (await http.get(f"/v1/leases/{lease['lease_id']}")).json()
        assert said["state"] == "revoked"
        assert said["why"]
        async with asyncio.timeout(5):
            while await rows(pg):
                await asyncio.sleep(0.1)


async def test_a_dead_agents_leases_and_places_go(
    house: House, gateways: Callable[..., Gateway]
) -> None:
    house.node.offer(model("small", slots=1))
    await seen(house)
    async with client(house, OTHER) as http:
        reply = await http.put("/v1/agents/scribe", json={"ttl_seconds": 2})
        assert reply.status_code == 200
        lease = await held(http, agent="scribe", ttl_seconds=60)
        gateway = await gateways(house.url).connect()
        await gateway.offered("small")
        await gateway.ask("a", agent="scribe")
        await gateway.ask("b")
        await gateway.hear("queued", "b")
        view = (await http.get("/v1/agents/scribe")).json()
        assert (view["leases"], view["queued"]) == (1, 1)
        refused = await gateway.hear("refused", "a")
        assert refused.code == "inference.agent_gone"
        await gateway.hear("granted", "b")
        assert (await http.get(f"/v1/leases/{lease['lease_id']}")).json()["state"] == "revoked"
        assert (await http.get("/v1/agents/scribe")).status_code == 404
