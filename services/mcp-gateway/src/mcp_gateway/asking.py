"""How a tool reaches the service behind it, and the arguments that several tools share."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from contracts.base import Contract
from contracts.memory import LIST_LIMIT_MAX, QUERY_CHARS_MAX, RECALL_LIMIT_MAX, TEXT_CHARS_MAX
from fastmcp.server.dependencies import get_access_token
from kit.client import ServiceClient
from kit.errors import Internal
from pydantic import Field

from mcp_gateway.errors import ArgumentsInvalid

Answer = TypeVar("Answer", bound=Contract)
NAMESPACE = r"^[a-z][a-z0-9_-]{0,39}$"

TierName = Literal["convenience", "sensitive"]
LevelName = Literal["identity", "session", "working", "episodic", "knowledge"]
StateName = Literal["active", "archived", "superseded", "all"]
Text = Annotated[
    str,
    Field(min_length=1, max_length=TEXT_CHARS_MAX, description="What to remember, in plain words."),
]
Query = Annotated[
    str,
    Field(
        min_length=1, max_length=QUERY_CHARS_MAX, description="What to look for, in plain words."
    ),
]
Id = Annotated[str, Field(min_length=32, max_length=36, description="A memory's id.")]
EntityId = Annotated[str, Field(min_length=32, max_length=36, description="An entity's id.")]
Tiers = Annotated[
    list[TierName] | None,
    Field(max_length=2, description="Only these tiers; without it, all the token may read."),
]
Level = Annotated[
    LevelName,
    Field(
        description="How long it stays: identity is always in context, session half an hour, working an hour, episodic"
        " as long as it is used, knowledge for good."
    ),
]
Levels = Annotated[list[LevelName] | None, Field(max_length=5, description="Only these levels.")]
Namespace = Annotated[
    str, Field(pattern=NAMESPACE, description="Where to keep it; `list_namespaces` names them.")
]
NamespaceFilter = Annotated[
    str | None, Field(pattern=NAMESPACE, description="Only this namespace.")
]
Namespaces = Annotated[
    list[Annotated[str, Field(pattern=NAMESPACE)]] | None,
    Field(max_length=32, description="Only these namespaces."),
]
SourceKind = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,39}$")]
SourceFilter = Annotated[
    SourceKind | None, Field(description="Only from this kind of source, such as `turn` or `mcp`.")
]
Sources = Annotated[
    list[SourceKind] | None,
    Field(max_length=32, description="Only from these kinds of source, such as `turn` or `mcp`."),
]
EntityFilter = Annotated[
    str | None,
    Field(
        min_length=32,
        max_length=36,
        description="Only what speaks of this entity; `find_entities` names their ids.",
    ),
]
Entities = Annotated[
    list[EntityId] | None,
    Field(
        max_length=32,
        description="Only what speaks of one of these entities; `find_entities` names their ids.",
    ),
]
Moment = Annotated[str | None, Field(max_length=40, description="ISO 8601 with an offset.")]
Since = Annotated[
    str | None, Field(max_length=40, description="Not before this moment, ISO 8601 with an offset.")
]
Until = Annotated[
    str | None, Field(max_length=40, description="Before this moment, ISO 8601 with an offset.")
]
AsOf = Annotated[
    str | None,
    Field(max_length=40, description="As it was true at this moment, ISO 8601 with an offset."),
]
Cursor = Annotated[
    str | None, Field(max_length=300, description="`next_cursor` of the page before.")
]
RecallLimit = Annotated[int, Field(ge=1, le=RECALL_LIMIT_MAX)]
ListLimit = Annotated[int, Field(ge=1, le=LIST_LIMIT_MAX)]


class House:
    """A service of the house, as the owner of the running request's token."""

    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    async def ask(self, answer: type[Answer], method: str, path: str, **options: Any) -> Answer:
        """Return the service's answer. Raises its own coded errors."""
        token = get_access_token()
        caller = token.claims.get("caller") if token else None
        if not isinstance(caller, str):
            raise Internal("A tool ran without a caller.")
        reply = await self._service.request(method, path, caller_token=caller, **options)
        return answer.model_validate_json(reply.body)


def given(**values: Any) -> dict[str, Any]:
    """Return what was given a value."""
    return {name: value for name, value in values.items() if value is not None}


def checked_id(raw: str) -> UUID:
    """Return the id, so that no path of memory's can be built out of an argument. Raises ArgumentsInvalid."""
    try:
        return UUID(raw)
    except ValueError:
        raise ArgumentsInvalid("The id is not one.") from None
