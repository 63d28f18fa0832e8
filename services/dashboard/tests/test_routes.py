"""What the browser asks goes to whom it concerns, and comes back as it was said."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from contracts.gpustatus import Trouble, TroubleList
from contracts.system import ContainerList, ContainerState
from dashboard.needs import about, broken, illness
from dashboard.openapi import document

SOMEBODY = uuid4()
ROUTES = [
    ("GET", "/api/conversations", "orchestrator", "GET /v1/conversations?limit=30 "),
    ("GET", "/api/audit?before=7", "orchestrator", "GET /v1/audit?limit=30&before=7 "),
    ("GET", "/api/memories?tier=sacred", "memory", "GET /v1/memories?tier=sacred&limit=50 "),
    (
        "GET",
        "/api/memories?namespace=work&state=archived&since=2026-05-01T00:00:00Z&order=occurred",
        "memory",
        "GET /v1/memories?namespace=work&state=archived&since=2026-05-01T00%3A00%3A00Z&order=occurred&limit=50 ",
    ),
    ("GET", "/api/memory/timeline?bucket=week", "memory", "GET /v1/timeline?bucket=week "),
    ("GET", "/api/memory/identity", "memory", "GET /v1/identity "),
    ("GET", "/api/memory/namespaces", "memory", "GET /v1/namespaces "),
    ("GET", "/api/memory/levels", "memory", "GET /v1/levels "),
    ("GET", "/api/memory/consolidation", "memory", "GET /v1/consolidation "),
    (
        "GET",
        "/api/memory/consolidation/journal?before=7",
        "memory",
        "GET /v1/consolidation/journal?limit=30&before=7 ",
    ),
    ("GET", "/api/memory/entities?query=Ana", "memory", "GET /v1/entities?query=Ana&limit=50 "),
    (
        "GET",
        "/api/memory/facts?as_of=2026-03-01T00:00:00Z&superseded=true",
        "memory",
        "GET /v1/facts?as_of=2026-03-01T00%3A00%3A00%2B00%3A00&superseded=true&limit=50 ",
    ),
    (
        "GET",
        f"/api/memory/graph?entity={SOMEBODY}&depth=2",
        "memory",
        f"GET /v1/graph?entity={SOMEBODY}&depth=2&limit=100 ",
    ),
    ("GET", f"/api/memory/entities/{SOMEBODY}", "memory", f"GET /v1/entities/{SOMEBODY} "),
    (
        "GET",
        f"/api/memories/{SOMEBODY}/provenance",
        "memory",
        f"GET /v1/memories/{SOMEBODY}/provenance ",
    ),
    ("GET", "/api/system", "registry", "GET /v1/containers "),
    ("GET", "/api/inference/status", "scheduler", "GET /v1/status "),
    (
        "GET",
        "/api/inference/history?since=1000&card=gpu-0",
        "scheduler",
        "GET /v1/history?since=1000&card=gpu-0&limit=360 ",
    ),
    ("GET", "/api/inference/decisions?limit=5", "scheduler", "GET /v1/decisions?limit=5 "),
    (
        "GET",
        "/api/inference/usage?since=2026-05-01&by=day,caller",
        "models",
        "GET /v1/usage?since=2026-05-01&by=day%2Ccaller ",
    ),
    ("GET", "/api/inference/budgets", "models", "GET /v1/budgets "),
    ("DELETE", "/api/inference/leases/l-1", "scheduler", "DELETE /v1/leases/l-1 "),
]


@pytest.mark.parametrize(("method", "path", "neighbour", "line"), ROUTES)
async def test_a_question_reaches_the_service_that_knows(
    house: Any, method: str, path: str, neighbour: str, line: str
) -> None:
    asked = getattr(house, neighbour)
    asked.says(line.split(" ")[1].split("?")[0], b'{"said": "as it was"}')
    response = await house.client.request(method, path, headers=house.signed_in())
    assert response.json() == {"said": "as it was"}
    assert response.headers["cache-control"] == "no-store"
    assert asked.requests[0].decode().startswith(line)


async def test_only_the_fields_that_were_sent_are_changed(house: Any) -> None:
    memory_id = uuid4()
    house.memory.says(f"/v1/memories/{memory_id}", b"{}")
    await house.client.patch(
        f"/api/memories/{memory_id}", json={"tier": "sensitive"}, headers=house.signed_in()
    )
    assert json.loads(house.memory.requests[0].split(b"\r\n\r\n")[1]) == {"tier": "sensitive"}


WRITES = [
    ("PUT", "/api/memory/namespaces/work", {"shared": False, "clients": ["pat:1"]}, "/v1/namespaces/work"),
    ("PUT", "/api/memory/consolidation", {"enabled": False}, "/v1/consolidation"),
    ("POST", "/api/memory/consolidation/run", {"dry_run": True}, "/v1/consolidation/run"),
    ("PATCH", f"/api/memory/entities/{SOMEBODY}", {"name": "Anna"}, f"/v1/entities/{SOMEBODY}"),
    ("POST", f"/api/memory/entities/{SOMEBODY}/merge", {"other": str(SOMEBODY)}, f"/v1/entities/{SOMEBODY}/merge"),
    ("POST", f"/api/memory/entities/{SOMEBODY}/split", {"aliases": ["Ann"]}, f"/v1/entities/{SOMEBODY}/split"),
    ("POST", f"/api/memories/{SOMEBODY}/merge", {"other": str(SOMEBODY)}, f"/v1/memories/{SOMEBODY}/merge"),
    ("POST", f"/api/memories/{SOMEBODY}/supersede", {"text": "No."}, f"/v1/memories/{SOMEBODY}/supersede"),
    ("POST", "/api/memory/forget", {"namespace": "work", "dry_run": True}, "/v1/forget"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "asked"), WRITES)
async def test_what_is_sent_reaches_the_memory_service_as_it_was(
    house: Any, method: str, path: str, body: dict[str, Any], asked: str
) -> None:
    house.memory.says(asked, b'{"said": "as it was"}')
    response = await house.client.request(method, path, json=body, headers=house.signed_in())
    assert response.json() == {"said": "as it was"}
    head, sent = house.memory.requests[0].split(b"\r\n\r\n")
    assert head.decode().startswith(f"{method} {asked} ")
    assert json.loads(sent) == body


async def test_what_was_forgotten_comes_back_as_its_proof(house: Any) -> None:
    memory_id = uuid4()
    house.memory.says(f"/v1/memories/{memory_id}", b'{"verified": true}')
    response = await house.client.delete(f"/api/memories/{memory_id}", headers=house.signed_in())
    assert response.json() == {"verified": True}


@pytest.mark.parametrize(
    "path",
    [
        "/api/memories/..%2f..%2fhealthz",
        "/api/memories/x",
        "/api/turns/x/stop",
        "/api/memory/forgotten/x",
        "/api/memory/namespaces/..%2fmemories",
        "/api/memory/namespaces/Work%3Fa=1",
    ],
)
async def test_no_path_of_a_neighbour_can_be_made_up(house: Any, path: str) -> None:
    method = "POST" if "turns" in path else "DELETE" if "namespaces" in path else "GET"
    response = await house.client.request(method, path, headers=house.signed_in())
    assert response.status_code in (404, 405, 422)
    assert house.memory.requests == house.orchestrator.requests == []


async def test_a_memory_service_that_is_away_is_a_coded_503(house: Any) -> None:
    response = await house.client.get("/api/memories", headers=house.signed_in())
    assert response.status_code == 503
    error = response.json()["error"]
    assert error["code"] == "memory.unavailable"
    assert error["fix"]


@pytest.mark.parametrize("path", ["/api/memories", "/api/system", "/api/events", "/api/needs"])
async def test_nobody_is_told_anything(house: Any, path: str) -> None:
    assert (await house.client.get(path)).status_code == 401


async def test_what_needs_me_names_whom_it_could_not_ask(house: Any) -> None:
    pending = {
        "confirmation_id": str(uuid4()),
        "turn_id": str(uuid4()),
        "conversation_id": str(uuid4()),
        "action": "memory.forget",
        "description": "Forget 1 memory",
        "reversible": False,
        "expires_at": "2030-01-01T00:00:00Z",
    }
    house.orchestrator.says("/v1/confirmations", json.dumps({"confirmations": [pending]}).encode())
    told = (await house.client.get("/api/needs", headers=house.signed_in())).json()
    assert [need["kind"] for need in told["needs"]] == ["confirmation"]
    assert told["needs"][0]["href"] == f"/?c={pending['conversation_id']}"
    assert told["unknown"] == ["state-registry", "gpu-scheduler"]


async def test_the_houses_illness_is_its_owners_concern_alone(house: Any) -> None:
    house.orchestrator.says("/v1/confirmations", b'{"confirmations": []}')
    ill = ContainerState(name="memory", domain="memory", state="restarting")
    reading = ContainerList(containers=(ill,), stale=False)
    house.registry.says("/v1/containers", reading.model_dump_json().encode())
    wrong = TroubleList(troubles=(Trouble(kind="node_away", on="forge", why="It is silent."),))
    house.scheduler.says("/v1/troubles", wrong.model_dump_json().encode())
    for role, count in (("owner", 2), ("member", 0)):
        told = await house.client.get("/api/needs", headers=house.signed_in(role=role))
        assert len(told.json()["needs"]) == count
        assert told.json()["unknown"] == []
    assert len(house.scheduler.requests) == 1, "a member's needs are none of the cards' business"


@pytest.mark.parametrize(
    ("kind", "on", "title"),
    [
        ("node_away", "forge", "forge cannot be reached"),
        ("card_over_budget", "RTX 4090 of forge", "RTX 4090 of forge is over its budget"),
        ("crash_loop", "qwen on forge", "qwen on forge does not start"),
    ],
)
def test_what_is_wrong_with_the_cards_leads_to_the_page_of_the_cards(
    kind: Any, on: str, title: str
) -> None:
    need = about(Trouble(kind=kind, on=on, why="For a reason."))
    assert (need.kind, need.title, need.detail) == ("cards", title, "For a reason.")
    assert need.href == "/inference"


def container(**changed: Any) -> ContainerState:
    return ContainerState(**{"name": "memory", "domain": "memory", "state": "running", **changed})


def test_a_reading_that_is_too_old_says_nothing_of_single_containers() -> None:
    old = ContainerList(containers=(container(state="exited"),), stale=True)
    assert [need.kind for need in broken(old)] == ["snapshot"]


def test_a_finished_job_and_a_starting_container_need_nobody() -> None:
    assert illness(container(state="finished")) is None
    assert illness(container(health="starting")) is None
    assert illness(container(health="unhealthy")) == "unhealthy"
    assert illness(container(state="exited")) == "exited"


def test_the_committed_description_of_the_api_is_the_code() -> None:
    committed = Path(__file__).parents[1] / "web" / "openapi.json"
    assert committed.read_text() == document(), (
        "run `python -m dashboard.openapi > services/dashboard/web/openapi.json`"
    )


async def test_an_order_reaches_the_scheduler_with_the_proof_of_who_gives_it(house: Any) -> None:
    house.scheduler.says("/v1/orders", b"{}")
    headers = house.signed_in()
    await house.client.post(
        "/api/inference/orders", json={"verb": "load", "on": "qwen"}, headers=headers
    )
    head, body = house.scheduler.requests[0].split(b"\r\n\r\n")
    assert json.loads(body) == {"verb": "load", "on": "qwen"}
    assert headers["X-Lares-Caller"].encode() in head


async def test_an_order_that_nobody_knows_is_refused_here(house: Any) -> None:
    response = await house.client.post(
        "/api/inference/orders", json={"verb": "explode"}, headers=house.signed_in()
    )
    assert response.status_code == 422
    assert house.scheduler.requests == []
