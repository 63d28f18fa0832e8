"""HTTP -> entities, facts and the graph."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from contracts.facts import EntityEdit, EntityMerge, EntitySplit
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from memory.asking import answer, label_of, limit_of, moment_of, read_body, reads, writes
from memory.facts.asking import Asked, Facts
from memory.facts.changing import Changing
from memory.facts.entities import Entities
from memory.facts.errors import DepthInvalid, EntityNotFound, FactNotFound
from memory.facts.graph import Graph
from memory.library import Library

NO = frozenset({"false", "0", "no"})


@dataclass(frozen=True)
class FactsApi:
    """The use cases and what they are reached by."""

    facts: Facts
    entities: Entities
    changing: Changing
    graph: Graph

    @classmethod
    def over(cls, library: Library) -> FactsApi:
        """Return the use cases over a library."""
        return cls(Facts(library), Entities(library), Changing(library), Graph(library))

    def routes(self) -> list[Route]:
        """Return the routes of entities, facts and the graph."""
        return [
            Route("/v1/facts", self.get_facts, methods=["GET"]),
            Route("/v1/facts/{id}", self.delete_fact, methods=["DELETE"]),
            Route("/v1/facts/{id}/restore", self.restore_fact, methods=["POST"]),
            Route("/v1/entities", self.get_entities, methods=["GET"]),
            Route("/v1/entities/{id}", self.get_entity, methods=["GET"]),
            Route("/v1/entities/{id}", self.patch_entity, methods=["PATCH"]),
            Route("/v1/entities/{id}/merge", self.merge_entity, methods=["POST"]),
            Route("/v1/entities/{id}/split", self.split_entity, methods=["POST"]),
            Route("/v1/graph", self.get_graph, methods=["GET"]),
        ]

    async def get_facts(self, request: Request) -> Response:
        """`GET /v1/facts?entity=&predicate=&as_of=&known_at=&superseded=&limit=&cursor=`."""
        caller = await reads(request)
        query = request.query_params
        asked = Asked(
            predicate=label_of(query, "predicate"),
            as_of=moment_of(query, "as_of"),
            known_at=moment_of(query, "known_at"),
            superseded=(query.get("superseded") or "true").casefold() not in NO,
            limit=limit_of(query),
        )
        entity = entity_of(query)
        return answer(await self.facts.page(caller, entity, asked, query.get("cursor") or None))

    async def delete_fact(self, request: Request) -> Response:
        """`DELETE /v1/facts/{id}`: it is wrong; kept, and no longer believed."""
        caller = await writes(request)
        await self.facts.retire(caller, _fact_id(request))
        return Response(status_code=204)

    async def restore_fact(self, request: Request) -> Response:
        """`POST /v1/facts/{id}/restore`."""
        caller = await writes(request)
        await self.facts.restore(caller, _fact_id(request))
        return Response(status_code=204)

    async def get_entities(self, request: Request) -> Response:
        """`GET /v1/entities?query=&kind=&limit=&cursor=`."""
        caller = await reads(request)
        query = request.query_params
        page = await self.entities.page(
            caller,
            query.get("query") or None,
            query.get("kind") or None,
            limit_of(query),
            query.get("cursor") or None,
        )
        return answer(page)

    async def get_entity(self, request: Request) -> Response:
        """`GET /v1/entities/{id}`."""
        caller = await reads(request)
        return answer(await self.entities.one(caller, _entity_id(request)))

    async def patch_entity(self, request: Request) -> Response:
        """`PATCH /v1/entities/{id}`."""
        caller = await writes(request)
        body = await read_body(request, EntityEdit)
        return answer(await self.changing.edit(caller, _entity_id(request), body))

    async def merge_entity(self, request: Request) -> Response:
        """`POST /v1/entities/{id}/merge`."""
        caller = await writes(request)
        body = await read_body(request, EntityMerge)
        return answer(await self.changing.merge(caller, _entity_id(request), body.other))

    async def split_entity(self, request: Request) -> Response:
        """`POST /v1/entities/{id}/split`."""
        caller = await writes(request)
        body = await read_body(request, EntitySplit)
        return answer(await self.changing.split(caller, _entity_id(request), body))

    async def get_graph(self, request: Request) -> Response:
        """`GET /v1/graph?entity=&depth=&limit=&as_of=&known_at=`."""
        caller = await reads(request)
        query = request.query_params
        entity = entity_of(query)
        if entity is None:
            raise EntityNotFound("The graph is asked for without an entity.")
        shown = await self.graph(
            caller,
            entity,
            _depth(query),
            limit_of(query),
            moment_of(query, "as_of"),
            moment_of(query, "known_at"),
        )
        return answer(shown)


def entity_of(query: QueryParams) -> UUID | None:
    """Return the entity that a query names; None when it names none. Raises EntityNotFound: what is no id is nobody."""
    raw = query.get("entity")
    if not raw:
        return None
    try:
        return UUID(raw)
    except ValueError:
        raise EntityNotFound() from None


def _entity_id(request: Request) -> UUID:
    try:
        return UUID(request.path_params["id"])
    except ValueError:
        raise EntityNotFound() from None


def _fact_id(request: Request) -> UUID:
    try:
        return UUID(request.path_params["id"])
    except ValueError:
        raise FactNotFound() from None


def _depth(query: QueryParams) -> int:
    raw = query.get("depth") or "1"
    if not raw.isascii() or not raw.isdigit() or len(raw) > 2:
        raise DepthInvalid()
    return int(raw)
