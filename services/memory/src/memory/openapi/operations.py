"""Every operation of the service: what it takes and gives. A test holds the table against the routes that there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contracts import exchange, facts, levels, memory, provenance, supersede, writing
from contracts.base import Contract

Schema = dict[str, Any]
_MOMENT: Schema = {"type": "string", "format": "date-time"}
_LIMIT: Schema = {"type": "integer", "minimum": 1, "maximum": memory.LIST_LIMIT_MAX}
_TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": 200}
_CURSOR: Schema = {"type": "string", "maxLength": 300}
_ID: Schema = {"type": "string", "format": "uuid"}
_TIER: Schema = {"type": "string", "enum": [tier.value for tier in memory.Tier]}
_LEVEL: Schema = {"type": "string", "enum": [level.value for level in memory.Level]}
_NAMESPACE: Schema = {"type": "string", "pattern": "^[a-z][a-z0-9_-]{0,39}$"}
_FLAG: Schema = {"type": "boolean"}
_PAGE = {"limit": _LIMIT, "cursor": _CURSOR}
_SPAN = {"since": _MOMENT, "until": _MOMENT}
_OVER_TIME = {"as_of": _MOMENT, "known_at": _MOMENT}


@dataclass(frozen=True)
class Operation:
    """One method of one path. `answers` maps a status to its model; None is an answer without a body."""

    method: str
    path: str
    says: str
    answers: dict[int, type[Contract] | None]
    body: type[Contract] | None = None
    query: dict[str, Schema] | None = None
    scope: str = "memory:read"
    files: tuple[str, ...] = ()


def _reading(path: str, says: str, answer: type[Contract], **query: Schema) -> Operation:
    return Operation("GET", path, says, {200: answer}, query=query)


def _writing(
    method: str,
    path: str,
    says: str,
    body: type[Contract] | None,
    answers: dict[int, type[Contract] | None],
) -> Operation:
    return Operation(method, path, says, answers, body=body, scope="memory:write")


_MEMORIES = (
    _writing(
        "POST",
        "/v1/memories",
        "Remember; 200 when it joined what was there.",
        memory.RememberRequest,
        {201: memory.Memory, 200: memory.Memory},
    ),
    _reading(
        "/v1/memories",
        "List memories, newest first.",
        memory.MemoryPage,
        tier=_TIER,
        namespace=_NAMESPACE,
        level=_LEVEL,
        source=_TEXT,
        thread=_TEXT,
        entity=_ID,
        state={"type": "string", "enum": ["active", "archived", "superseded", "all"]},
        order={"type": "string", "enum": ["created", "occurred"]},
        **_SPAN,
        **_PAGE,
    ),
    _writing(
        "POST",
        "/v1/memories/batch",
        "Remember up to 256 at once, each judged for itself.",
        writing.BatchRequest,
        {200: writing.BatchResult},
    ),
    _reading("/v1/memories/{id}", "One memory.", memory.Memory),
    _writing(
        "PATCH",
        "/v1/memories/{id}",
        "Change a memory.",
        memory.EditRequest,
        {200: memory.Memory},
    ),
    _writing(
        "DELETE",
        "/v1/memories/{id}",
        "Erase a memory everywhere, and say how.",
        None,
        {200: exchange.ForgetReport},
    ),
    _reading("/v1/memories/{id}/provenance", "Where a memory comes from.", provenance.Provenance),
    _writing(
        "POST",
        "/v1/memories/{id}/merge",
        "Join another memory into this one.",
        writing.MergeMemories,
        {200: memory.Memory},
    ),
    _writing(
        "POST",
        "/v1/memories/{id}/supersede",
        "Replace what is no longer true; the old one is kept.",
        supersede.SupersedeRequest,
        {200: memory.Memory},
    ),
    _writing(
        "POST",
        "/v1/memories/{id}/restore",
        "It holds after all, or is wanted back from the archive.",
        None,
        {200: memory.Memory},
    ),
    Operation(
        "POST",
        "/v1/recall",
        "Find memories, best first, each with its reasons.",
        {200: memory.RecallResult},
        body=memory.RecallRequest,
    ),
    _reading(
        "/v1/timeline",
        "How much happened when.",
        memory.Timeline,
        bucket={"type": "string", "enum": ["day", "week", "month"]},
        **_SPAN,
    ),
    _reading("/v1/identity", "What is always in context.", memory.Identity),
    _reading("/v1/embedding", "Which model finds by meaning.", writing.EmbeddingStatus),
)

_NAMESPACES = (
    _reading("/v1/namespaces", "The namespaces that may be used.", memory.NamespaceList),
    _writing(
        "PUT",
        "/v1/namespaces/{name}",
        "Create or share a namespace.",
        memory.NamespaceRequest,
        {200: memory.Namespace},
    ),
    _writing("DELETE", "/v1/namespaces/{name}", "Delete an empty namespace.", None, {204: None}),
)

_LEVELS = (
    _reading("/v1/levels", "The five levels and what they hold.", levels.LevelList),
    _reading("/v1/consolidation", "Whether and when it runs.", levels.Consolidation),
    _writing(
        "PUT",
        "/v1/consolidation",
        "The off switch.",
        levels.ConsolidationSwitch,
        {200: levels.Consolidation},
    ),
    _writing(
        "POST",
        "/v1/consolidation/run",
        "Look at the levels now.",
        levels.RunRequest,
        {200: levels.MoveList},
    ),
    _reading(
        "/v1/consolidation/journal",
        "Every move and why.",
        levels.Journal,
        limit=_LIMIT,
        before=_TEXT,
    ),
)

_FACTS = (
    _reading(
        "/v1/facts",
        "Facts, as they hold and as they were known.",
        facts.FactPage,
        entity=_ID,
        predicate=_TEXT,
        superseded=_FLAG,
        **_OVER_TIME,
        **_PAGE,
    ),
    _writing("DELETE", "/v1/facts/{id}", "A fact is wrong.", None, {204: None}),
    _writing("POST", "/v1/facts/{id}/restore", "It was right after all.", None, {204: None}),
    _reading(
        "/v1/entities",
        "Entities, the most mentioned first.",
        facts.EntityPage,
        query=_TEXT,
        kind=_TEXT,
        **_PAGE,
    ),
    _reading("/v1/entities/{id}", "One entity.", facts.EntityView),
    _writing(
        "PATCH",
        "/v1/entities/{id}",
        "Rename an entity.",
        facts.EntityEdit,
        {200: facts.EntityView},
    ),
    _writing(
        "POST",
        "/v1/entities/{id}/merge",
        "Two entities are one.",
        facts.EntityMerge,
        {200: facts.EntityView},
    ),
    _writing(
        "POST",
        "/v1/entities/{id}/split",
        "One entity is two.",
        facts.EntitySplit,
        {200: facts.EntityView},
    ),
    _reading(
        "/v1/graph",
        "Who and what is around an entity.",
        facts.Graph,
        entity=_ID,
        depth={"type": "integer", "minimum": 1, "maximum": 3},
        limit=_LIMIT,
        **_OVER_TIME,
    ),
)

_EXCHANGE = (
    Operation(
        "GET",
        "/v1/export",
        "Memories as files.",
        {200: None},
        query={
            "format": {"type": "string", "enum": ["markdown", "jsonl"]},
            "tiers": _TEXT,
            "namespaces": _TEXT,
        },
        files=("application/zip", "application/x-ndjson"),
    ),
    Operation(
        "POST",
        "/v1/import",
        "Files as memories; a dry run unless it is told otherwise.",
        {200: exchange.ImportReport},
        query={"dry_run": _FLAG, "delete": _FLAG, "resurrect": _FLAG},
        scope="memory:write",
        files=("application/zip", "application/x-ndjson", "text/markdown"),
    ),
    _writing(
        "POST",
        "/v1/forget",
        "Erase all that fits; counts until it is confirmed.",
        exchange.ForgetRequest,
        {200: exchange.ForgetReport, 202: exchange.ForgetReport},
    ),
    _reading("/v1/forgotten/{id}", "The report of a forgetting.", exchange.ForgetReport),
)

OPERATIONS: tuple[Operation, ...] = (*_MEMORIES, *_NAMESPACES, *_LEVELS, *_FACTS, *_EXCHANGE)
