"""Whom a person merged, split and named leaves with the memories, comes back as it was, and is gone with them."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest

pytestmark = pytest.mark.integration
TYPES = {"markdown": "application/zip", "jsonl": "application/x-ndjson"}
TEXTS = [
    "I met Rita Mendes in Porto.",
    "Rita Mendes lives in Braga.",
    "Carla Dias plays the violin.",
    "Carla Dias called about the concert.",
    "Bruno Sousa repaired the roof.",
    "Bruno Sousa sings in the choir.",
    "Duarte Pinto is a cook.",
    "I live in Lisbon.",
]
SHAPE = """
SELECT entity.namespace, entity.kind, entity.name, entity.key, entity.self, head.name AS merged_into, root.name AS root,
       (SELECT array_agg((alias.alias, alias.key, alias.given)::text ORDER BY alias.key)
        FROM {0}.entity_alias AS alias WHERE alias.entity_id = entity.id) AS aliases,
       (SELECT array_agg((memory.text, mention.alias_key, mention.role, mention.pinned)::text
                         ORDER BY memory.text, mention.alias_key)
        FROM {0}.mention AS mention JOIN {0}.memory AS memory ON memory.id = mention.memory_id
        WHERE mention.entity_id = entity.id) AS mentions
FROM {0}.entity AS entity
LEFT JOIN {0}.entity AS head ON head.id = entity.merged_into
JOIN {0}.entity AS root ON root.id = entity.root
WHERE entity.subject_id = $1
ORDER BY entity.name, entity.key, mentions
"""
COUNTS = """
SELECT (SELECT count(*) FROM {0}.entity WHERE subject_id = $1)
     + (SELECT count(*) FROM {0}.entity_alias WHERE subject_id = $1)
     + (SELECT count(*) FROM {0}.entity_change WHERE subject_id = $1)
     + (SELECT count(*) FROM {0}.mention WHERE subject_id = $1)
"""


class House:
    """What the tests do to it."""

    def __init__(self, api: Any, connection: Any, until: Any, worker: Any) -> None:
        self.api, self.connection, self.until, self.worker = api, connection, until, worker

    async def remember(self, who: Any, text: str, **more: Any) -> str:
        answer = await self.api.post(
            "/v1/memories", json={"text": text, **more}, headers=who.headers
        )
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    async def read(self) -> None:
        """Wait until everything is read."""

        async def quiet() -> bool:
            waiting = await self.connection.fetchval(
                "SELECT (SELECT count(*) FROM memory.pending_embedding)"
                " + (SELECT count(*) FROM memory.pending_relation)"
                " + (SELECT count(*) FROM memory.pending_extraction WHERE stage = 'rules')"
            )
            return waiting == 0

        await self.until(quiet, seconds=60, why=self.worker.log())

    async def entity(self, who: Any, name: str) -> dict[str, Any]:
        answer = await self.api.get("/v1/entities", params={"limit": 200}, headers=who.headers)
        found = [item for item in answer.json()["items"] if item["name"] == name]
        assert len(found) == 1, answer.text
        return found[0]

    async def change(self, who: Any, name: str, what: str, body: dict[str, Any]) -> dict[str, Any]:
        ident = (await self.entity(who, name))["id"]
        method, path = ("PATCH", "") if what == "name" else ("POST", f"/{what}")
        answer = await self.api.request(
            method, f"/v1/entities/{ident}{path}", json=body, headers=who.headers
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def shape(self, who: Any) -> list[Any]:
        """Return all that there is of entities in both tiers, but for the ids."""
        return [
            [
                tuple(row)
                for row in await self.connection.fetch(SHAPE.format(tier), who.caller.subject)
            ]
            for tier in ("convenience", "sensitive")
        ]

    async def left(self, who: Any) -> int:
        return sum(
            [
                await self.connection.fetchval(COUNTS.format(tier), who.caller.subject)
                for tier in ("convenience", "sensitive")
            ]
        )

    async def export(self, who: Any, kind: str) -> bytes:
        answer = await self.api.get("/v1/export", params={"format": kind}, headers=who.headers)
        assert answer.status_code == 200
        return answer.content

    async def take_in(self, who: Any, kind: str, body: bytes, **query: Any) -> dict[str, Any]:
        answer = await self.api.post(
            "/v1/import",
            params={"dry_run": "false", **query},
            content=body,
            headers={**who.headers, "content-type": TYPES[kind]},
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["quarantined"] == 0, answer.text
        return answer.json()


@pytest.fixture
async def house(api: Any, worker: Any, pg: Any, until: Any) -> Any:
    connection = await pg.connect()
    yield House(api, connection, until, worker)
    await connection.close()


async def settle_in(house: House, who: Any) -> None:
    """Remember, and let a person do everything to entities that can be done."""
    idents = [await house.remember(who, text) for text in TEXTS]
    await house.remember(who, "Doctor Rita treats my back.", tier="sensitive")
    await house.read()
    rita, carla = await house.entity(who, "Rita Mendes"), await house.entity(who, "Carla Dias")
    await house.change(who, "Rita Mendes", "merge", {"other": carla["id"]})
    me = await house.entity(who, "me")
    duarte = await house.entity(who, "Duarte Pinto")
    await house.change(who, "me", "merge", {"other": duarte["id"]})
    assert me["id"] != duarte["id"]
    named = {"memories": [idents[5]], "name": "Bruno the singer"}
    await house.change(who, "Bruno Sousa", "split", named)
    await house.change(who, "Braga", "name", {"name": "Old Braga"})
    answer = await house.api.get("/v1/entities", params={"query": "rita"}, headers=who.headers)
    private = next(item for item in answer.json()["items"] if item["tiers"] == ["sensitive"])
    await house.change(who, "Rita Mendes", "merge", {"other": private["id"]})
    assert (await house.entity(who, "Rita Mendes"))["id"] == rita["id"]


@pytest.mark.parametrize("kind", ["markdown", "jsonl"])
async def test_in_an_empty_house_the_same_are_one_and_go_with_the_last_memory(
    house: House, caller_factory: Any, kind: str
) -> None:
    ada, ben = caller_factory(), caller_factory()
    await settle_in(house, ada)
    before = await house.shape(ada)
    leaving = await house.export(ada, kind)

    dry = await house.take_in(ben, kind, leaving, dry_run="true")
    assert await house.left(ben) == 0
    report = await house.take_in(ben, kind, leaving)
    assert report["entities"] == dry["entities"] == 8
    await house.read()
    assert await house.shape(ben) == before
    assert await house.shape(ada) == before

    again = await house.take_in(ben, kind, leaving)
    assert (again["inserted"], again["edited"]) == (0, 0)
    await house.read()
    assert await house.shape(ben) == before
    # A merge between tiers is taken back there as it would have been here.
    private = (
        await house.connection.fetchrow(
            "SELECT id FROM sensitive.entity WHERE subject_id = $1 AND NOT self", ben.caller.subject
        )
    )["id"]
    await house.change(ben, "Rita Mendes", "split", {"entity": str(private)})
    names = [row[2] for row in (await house.shape(ben))[1]]
    assert names != [row[2] for row in before[1]]

    items = (await house.api.get("/v1/memories", headers=ben.headers)).json()["items"]
    for item in items:
        gone = await house.api.delete(f"/v1/memories/{item['id']}", headers=ben.headers)
        assert gone.status_code == 200, gone.text
    assert await house.left(ben) == 0
    assert await house.shape(ada) == before


async def test_what_was_forgotten_here_brings_no_name_along(
    house: House, caller_factory: Any
) -> None:
    ada, ben = caller_factory(), caller_factory()
    await settle_in(house, ada)
    leaving = await house.export(ada, "jsonl")
    assert b"Carla Dias" in leaving
    kept = [line for line in leaving.splitlines() if b'"entity"' in line or b"Carla" not in line]
    await house.take_in(ben, "jsonl", b"\n".join(kept))
    await house.read()
    assert "Carla Dias" not in str(await house.shape(ben))
    assert "Rita Mendes" in str(await house.shape(ben))


async def test_what_a_person_took_back_since_an_old_file_does_not_do_again(
    house: House, caller_factory: Any
) -> None:
    ada = caller_factory()
    await settle_in(house, ada)
    leaving = await house.export(ada, "markdown")
    carla = await house.connection.fetchval(
        "SELECT id FROM convenience.entity WHERE name = 'Carla Dias'"
    )
    await house.change(ada, "Rita Mendes", "split", {"entity": str(carla)})
    before = await house.shape(ada)
    await house.take_in(ada, "markdown", leaving)
    assert await house.shape(ada) == before


async def test_the_file_of_entities_is_for_people_and_nobody_made_means_no_file(
    house: House, caller_factory: Any
) -> None:
    ada = caller_factory()
    for text in TEXTS:
        await house.remember(ada, text)
    await house.read()
    plain = zipfile.ZipFile(io.BytesIO(await house.export(ada, "markdown")))
    assert "ENTITIES.md" not in plain.namelist()
    await house.change(ada, "Braga", "name", {"name": "Old Braga"})
    archive = zipfile.ZipFile(io.BytesIO(await house.export(ada, "markdown")))
    page = archive.read("ENTITIES.md").decode()
    assert "- Old Braga, place, also Braga" in page


@pytest.mark.parametrize(
    "line",
    [
        {"entity": "x"},
        {"entity": "00000000-0000-0000-0000-000000000001", "tier": "sacred"},
        {"name": "\0"},
        {"name": "."},
        {"kind": "animal"},
        {"names": [{"name": "Rita", "key": ":self"}]},
        {"names": ["Rita"]},
        {"names": [{"name": "a" * 201}]},
        {"memories": [{"id": "x", "as": "rita"}]},
        {"changes": [{"change": "eaten", "at": "2025-01-01T00:00:00Z"}]},
        {"unknown": 1},
    ],
)
async def test_an_entity_that_could_not_be_is_refused_and_nothing_comes_of_it(
    api: Any, caller_factory: Any, line: dict[str, Any]
) -> None:
    whole = {
        "entity": "00000000-0000-0000-0000-000000000001",
        "tier": "convenience",
        "namespace": "home",
        "kind": "person",
        "name": "Rita",
    }
    ada = caller_factory()
    answer = await api.post(
        "/v1/import?dry_run=false",
        content=json.dumps({**whole, **line}),
        headers={**ada.headers, "content-type": TYPES["jsonl"]},
    )
    assert answer.status_code == 200, answer.text
    assert (answer.json()["quarantined"], answer.json()["entities"]) == (1, 0)
