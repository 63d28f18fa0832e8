"""The registry before a real Valkey: what is announced, and when."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from contracts.system import STATE_TOPIC
from kit.bus import Bus
from kit.clock import Clock
from state_registry.app import build
from state_registry.house import Place
from state_registry.settings import Settings
from state_registry.watcher import Watcher

pytestmark = pytest.mark.integration


def write(path: Path, *names: str, **changed: Any) -> None:
    rows = [
        {
            "name": name,
            "state": "running",
            "exit_code": 0,
            "one_shot": False,
            "health": "healthy",
            "started_at": None,
            "restarts": 0,
            "memory_bytes": 1,
            "cpu_percent": None,
            **changed,
        }
        for name in names
    ]
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"sampled_at": datetime.now(UTC).isoformat(), "containers": rows}))
    fresh.replace(path)


def news(valkey: Any) -> list[dict[str, Any]]:
    with valkey.client() as client:
        entries = client.xrange(f"lares:stream:{STATE_TOPIC}")
    return [json.loads(entry["data"]) for _, entry in entries]


async def test_a_change_is_announced_once_and_a_lost_announcement_is_made_up_for(
    valkey: Any, tmp_path: Path
) -> None:
    snapshot = tmp_path / "containers.json"
    places = {"memory": Place("memory", 1)}
    async with Bus.open(valkey.broker("state_registry")) as bus:
        watcher = Watcher(snapshot, places, 30, bus, Clock())
        await watcher.look()
        assert watcher.containers().stale is True
        write(snapshot, "memory", "caddy")
        await watcher.look()
        await watcher.look()
        assert sorted(one["name"] for one in news(valkey)) == ["caddy", "memory"]
        write(snapshot, "memory", "caddy", memory_bytes=9)
        await watcher.look()
        assert len(news(valkey)) == 2
        write(snapshot, "memory", health="unhealthy")
        await watcher.look()
        told = (news(valkey))[2:]
        assert {(one["name"], one["state"], one["health"]) for one in told} == {
            ("memory", "running", "unhealthy"),
            ("caddy", "gone", None),
        }


async def test_what_could_not_be_announced_is_announced_when_the_bus_is_back(
    valkey: Any, tmp_path: Path
) -> None:
    snapshot = tmp_path / "containers.json"
    write(snapshot, "memory")
    broker = valkey.broker("state_registry")
    away = Bus.open(type(broker)("127.0.0.1", broker.user, broker.password, 9))
    watcher = Watcher(snapshot, {}, 30, away, Clock())
    await watcher.look()
    assert news(valkey) == []
    async with Bus.open(broker) as bus:
        watcher._bus = bus
        await watcher.look()
    assert [one["name"] for one in news(valkey)] == ["memory"]
    await away.close()


async def test_containers_are_served_to_a_signed_in_caller_and_to_nobody_else(
    valkey: Any, tmp_path: Path, caller_factory: Any, make_settings: Any
) -> None:
    snapshot = tmp_path / "containers.json"
    write(snapshot, "memory")
    broker = valkey.broker("state_registry")
    settings = make_settings(
        Settings,
        snapshot_path=snapshot,
        services_path=Path(__file__).parents[2],
        valkey_host=broker.host,
        valkey_port=broker.port,
        valkey_password=broker.password,
        caller_public_key=caller_factory.public_key_pem,
    )
    app = build(settings)
    async with app.router.lifespan_context(app) as state:
        transport = httpx.ASGITransport(app=_with_state(app, state))
        async with httpx.AsyncClient(transport=transport, base_url="http://registry") as client:
            assert (await client.get("/v1/containers")).status_code == 401
            for _ in range(50):
                reply = await client.get("/v1/containers", headers=caller_factory().headers)
                if reply.json()["containers"]:
                    break
                await asyncio.sleep(0.05)
    told = reply.json()
    assert told["stale"] is False
    assert told["containers"][0]["domain"] == "memory"
    described = yaml.safe_load((Path(__file__).parents[2] / "memory/service.yaml").read_text())
    assert told["containers"][0]["budget_bytes"] == described["memory_budget_mib"] * 2**20


def _with_state(app: Any, state: Any) -> Any:
    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    return asgi
