"""The tools that keep, find, correct and erase memories."""

from __future__ import annotations

from typing import Annotated

from contracts.exchange import ForgetReport
from contracts.memory import (
    Identity,
    Memory,
    MemoryPage,
    NamespaceList,
    RecallResult,
    Timeline,
)
from contracts.provenance import Provenance
from pydantic import Field

from mcp_gateway.asking import (
    AsOf,
    Cursor,
    Entities,
    EntityFilter,
    House,
    Id,
    Level,
    Levels,
    ListLimit,
    Moment,
    Namespace,
    NamespaceFilter,
    Namespaces,
    Query,
    RecallLimit,
    Since,
    SourceFilter,
    Sources,
    StateName,
    Text,
    TierName,
    Tiers,
    Until,
    checked_id,
    given,
)


class MemoryTools:
    """Each method is a tool of its own name; what a model reads of it stands in `tools.DESCRIPTIONS`."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def remember(
        self,
        text: Text,
        tier: TierName = "convenience",
        occurred_at: Moment = None,
        namespace: Namespace = "home",
        level: Level = "knowledge",
        valid_from: Moment = None,
        valid_to: Moment = None,
    ) -> Memory:
        body = given(
            text=text,
            tier=tier,
            source={"kind": "mcp"},
            occurred_at=occurred_at,
            namespace=namespace,
            level=level,
            valid_from=valid_from,
            valid_to=valid_to,
        )
        return await self._house.ask(Memory, "POST", "/v1/memories", json=body)

    async def recall(
        self,
        query: Query,
        limit: RecallLimit = 10,
        tiers: Tiers = None,
        namespaces: Namespaces = None,
        levels: Levels = None,
        sources: Sources = None,
        entities: Entities = None,
        since: Since = None,
        until: Until = None,
        as_of: AsOf = None,
        archived: Annotated[bool, Field(description="Also what was archived.")] = False,
    ) -> RecallResult:
        body = given(
            query=query,
            limit=limit,
            tiers=tiers,
            namespaces=namespaces,
            levels=levels,
            sources=sources,
            entities=[str(checked_id(entity)) for entity in entities] if entities else None,
            since=since,
            until=until,
            as_of=as_of,
            archived=archived,
        )
        return await self._house.ask(RecallResult, "POST", "/v1/recall", json=body)

    async def list_memories(
        self,
        tier: TierName | None = None,
        limit: ListLimit = 50,
        cursor: Cursor = None,
        namespace: NamespaceFilter = None,
        level: Level | None = None,
        source: SourceFilter = None,
        entity: EntityFilter = None,
        state: StateName = "all",
        since: Since = None,
        until: Until = None,
    ) -> MemoryPage:
        params = given(
            tier=tier,
            limit=limit,
            cursor=cursor,
            namespace=namespace,
            level=level,
            source=source,
            entity=str(checked_id(entity)) if entity else None,
            state=state,
            since=since,
            until=until,
        )
        return await self._house.ask(MemoryPage, "GET", "/v1/memories", params=params)

    async def get_memory(self, id: Id) -> Memory:
        return await self._house.ask(Memory, "GET", f"/v1/memories/{checked_id(id)}")

    async def get_provenance(self, id: Id) -> Provenance:
        return await self._house.ask(Provenance, "GET", f"/v1/memories/{checked_id(id)}/provenance")

    async def supersede_memory(self, id: Id, text: Text, valid_from: Moment = None) -> Memory:
        body = given(text=text, source={"kind": "mcp"}, valid_from=valid_from)
        return await self._house.ask(
            Memory, "POST", f"/v1/memories/{checked_id(id)}/supersede", json=body
        )

    async def forget_memory(self, id: Id) -> ForgetReport:
        return await self._house.ask(ForgetReport, "DELETE", f"/v1/memories/{checked_id(id)}")

    async def list_namespaces(self) -> NamespaceList:
        return await self._house.ask(NamespaceList, "GET", "/v1/namespaces")

    async def timeline(
        self,
        bucket: Annotated[str, Field(pattern="^(day|week|month)$")] = "month",
        since: Since = None,
        until: Until = None,
    ) -> Timeline:
        params = given(bucket=bucket, since=since, until=until)
        return await self._house.ask(Timeline, "GET", "/v1/timeline", params=params)

    async def identity(self) -> Identity:
        return await self._house.ask(Identity, "GET", "/v1/identity")
