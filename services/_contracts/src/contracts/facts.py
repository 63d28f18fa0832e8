"""What the memory service tells of entities, of facts over time, and of the graph that they make."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from contracts.base import Contract, Instant
from contracts.memory import Source
from contracts.tiers import Tier

EntityKind = Literal["person", "place", "organisation", "thing", "event", "topic"]


class EntityRef(Contract):
    """An entity by name. `me` is the person whose memory it is."""

    id: UUID
    name: str
    kind: EntityKind
    me: bool = False


class Entity(EntityRef):
    """Somebody or something that memories speak of; `mentions` counts the memories that the asker may see."""

    tiers: list[Tier]
    namespace: str
    mentions: int


class EntityPage(Contract):
    """`GET /v1/entities`, the most mentioned first. `next_cursor` is null on the last page."""

    items: list[Entity]
    next_cursor: str | None = None


class Alias(Contract):
    """A name by which an entity is called. `given` by a person, or found in `mentions` memories."""

    name: str
    given: bool
    mentions: int


class EntityChange(Contract):
    """What a person did to an entity, and to which other one."""

    at: Instant
    change: Literal["merged", "unmerged", "split", "renamed", "retyped"]
    other_id: UUID | None = None
    before_name: str | None = None
    before_kind: EntityKind | None = None


class EntityView(Entity):
    """`GET /v1/entities/{id}`. `merged` are the entities shown as this one, each of which `split` takes out again."""

    aliases: list[Alias]
    merged: list[EntityRef]
    memories: list[UUID]
    changes: list[EntityChange]


class EntityEdit(Contract):
    """`PATCH /v1/entities/{id}`: only what is sent changes."""

    name: str | None = None
    kind: EntityKind | None = None


class EntityMerge(Contract):
    """`POST /v1/entities/{id}/merge`: `other` is shown as this entity from now on."""

    other: UUID


class EntitySplit(Contract):
    """`POST /v1/entities/{id}/split`, by exactly one of three.

    `entity` undoes a merge exactly. `aliases` gives these names to an entity of their own; `memories` says that these
    memories mean somebody else. `name` is the new entity's name, and needed for `memories`.
    """

    entity: UUID | None = None
    aliases: list[str] | None = Field(default=None, min_length=1, max_length=50)
    memories: list[UUID] | None = Field(default=None, min_length=1, max_length=200)
    name: str | None = None


class Fact(Contract):
    """What one memory says of an entity.

    It was true from `valid_from` (null: since ever) up to `valid_to` (null: as far as is known it still is), and was
    believed from `learned_at` up to `retired_at`. `superseded_by` is the fact that took its place. `current` says
    whether it holds at the moment that was asked about.
    """

    id: UUID
    entity: EntityRef
    predicate: str
    label: str
    qualifier: str
    polarity: bool
    object: str
    object_entity: EntityRef | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    learned_at: Instant
    retired_at: datetime | None = None
    superseded_by: UUID | None = None
    current: bool
    confidence: float
    extractor: str
    tier: Tier
    namespace: str
    memory_id: UUID
    source: Source
    span: tuple[int, int]


class FactPage(Contract):
    """`GET /v1/facts`, the last learned first. `next_cursor` is null on the last page."""

    items: list[Fact]
    next_cursor: str | None = None


class GraphNode(EntityRef):
    """An entity in the graph, and how many memories mention it."""

    mentions: int


class GraphEdge(Contract):
    """A relation that a fact states, or, without a `fact_id`, that `weight` memories mention both."""

    model_config = ConfigDict(serialize_by_alias=True)

    source: UUID = Field(alias="from")
    target: UUID = Field(alias="to")
    predicate: str
    fact_id: UUID | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    current: bool = True
    weight: int = 1


class Graph(Contract):
    """`GET /v1/graph`: who is around an entity, `truncated` when there is more than was asked for."""

    nodes: list[GraphNode]
    edges: list[GraphEdge]
    truncated: bool
