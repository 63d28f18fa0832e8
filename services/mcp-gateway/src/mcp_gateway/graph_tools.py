"""The tools that read entities, facts over time and the graph they make."""

from __future__ import annotations

from typing import Annotated

from contracts.facts import EntityKind, EntityPage, EntityView, FactPage, Graph
from pydantic import Field

from mcp_gateway.asking import (
    AsOf,
    Cursor,
    EntityId,
    House,
    ListLimit,
    checked_id,
    given,
)


class GraphTools:
    """Each method is a tool of its own name; what a model reads of it stands in `tools.DESCRIPTIONS`."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def find_entities(
        self,
        query: Annotated[
            str | None, Field(min_length=1, max_length=200, description="A name or a part of one.")
        ] = None,
        kind: EntityKind | None = None,
        limit: ListLimit = 20,
        cursor: Cursor = None,
    ) -> EntityPage:
        params = given(query=query, kind=kind, limit=limit, cursor=cursor)
        return await self._house.ask(EntityPage, "GET", "/v1/entities", params=params)

    async def get_entity(self, id: EntityId) -> EntityView:
        return await self._house.ask(EntityView, "GET", f"/v1/entities/{checked_id(id)}")

    async def list_facts(
        self,
        entity: EntityId | None = None,
        predicate: Annotated[str | None, Field(max_length=60)] = None,
        as_of: AsOf = None,
        known_at: Annotated[
            str | None,
            Field(max_length=40, description="As it was known at this moment, ISO 8601."),
        ] = None,
        superseded: Annotated[
            bool, Field(description="Also facts that no longer hold at that moment.")
        ] = False,
        limit: ListLimit = 50,
        cursor: Cursor = None,
    ) -> FactPage:
        params = given(
            entity=str(checked_id(entity)) if entity is not None else None,
            predicate=predicate,
            as_of=as_of,
            known_at=known_at,
            superseded=str(superseded).lower(),
            limit=limit,
            cursor=cursor,
        )
        return await self._house.ask(FactPage, "GET", "/v1/facts", params=params)

    async def entity_graph(
        self,
        entity: EntityId,
        depth: Annotated[int, Field(ge=1, le=3)] = 1,
        limit: Annotated[int, Field(ge=1, le=200)] = 50,
    ) -> Graph:
        params = {"entity": str(checked_id(entity)), "depth": depth, "limit": limit}
        return await self._house.ask(Graph, "GET", "/v1/graph", params=params)
