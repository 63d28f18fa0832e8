"""HTTP -> use cases. The bodies are the contracts' models; what does not fit is refused with a code."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from contracts.base import Contract
from contracts.memory import EditRequest, NamespaceRequest, RecallRequest, RememberRequest
from kit.auth import require_scope
from kit.errors import InvalidRequest
from pydantic import ValidationError
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from memory.browse import Browse
from memory.domain import Order, Shown, State, aware, check_span, parse_level, parse_namespace
from memory.errors import LimitInvalid, MemoryNotFound, StateUnknown, TimeInvalid
from memory.forget import Forget
from memory.identity import IdentityContext
from memory.namespaces import Namespaces
from memory.numbers import Numbers
from memory.recall import Recall
from memory.writing.edit import Edit
from memory.writing.remember import Remember

LIST_LIMIT = "50"
_reads = require_scope("memory:read")
_writes = require_scope("memory:write")
Body = TypeVar("Body", bound=Contract)


@dataclass(frozen=True)
class Api:
    """The use cases and what they are reached by."""

    remember: Remember
    recall: Recall
    browse: Browse
    edit: Edit
    forget: Forget
    identity: IdentityContext
    namespaces: Namespaces
    numbers: Numbers

    def routes(self) -> list[Route]:
        """Return the service's own routes."""
        return [
            Route("/v1/memories", self.post_memory, methods=["POST"]),
            Route("/v1/memories", self.get_memories, methods=["GET"]),
            Route("/v1/memories/{id}", self.get_memory, methods=["GET"]),
            Route("/v1/memories/{id}", self.patch_memory, methods=["PATCH"]),
            Route("/v1/memories/{id}", self.delete_memory, methods=["DELETE"]),
            Route("/v1/recall", self.post_recall, methods=["POST"]),
            Route("/v1/timeline", self.get_timeline, methods=["GET"]),
            Route("/v1/identity", self.get_identity, methods=["GET"]),
            Route("/v1/namespaces", self.get_namespaces, methods=["GET"]),
            Route("/v1/namespaces/{name}", self.put_namespace, methods=["PUT"]),
            Route("/v1/namespaces/{name}", self.delete_namespace, methods=["DELETE"]),
        ]

    async def post_memory(self, request: Request) -> Response:
        """`POST /v1/memories`."""
        caller = await _writes(request)
        body = await _read(request, RememberRequest)
        memory = await self.remember(caller, body, request.headers.get("idempotency-key"))
        self.numbers.remembered.labels(memory.tier.value).inc()
        return _json(memory, 201)

    async def get_memories(self, request: Request) -> Response:
        """`GET /v1/memories?tier=&namespace=&level=&source=&state=&since=&until=&thread=&order=&limit=&cursor=`."""
        caller = await _reads(request)
        query = request.query_params
        page = await self.browse.page(
            caller,
            query.get("tier") or None,
            _shown(query),
            _limit(query.get("limit") or LIST_LIMIT),
            query.get("cursor") or None,
        )
        return _json(page)

    async def get_timeline(self, request: Request) -> Response:
        """`GET /v1/timeline?bucket=&since=&until=`."""
        caller = await _reads(request)
        query = request.query_params
        timeline = await self.browse.timeline(
            caller, query.get("bucket") or "month", _moment(query, "since"), _moment(query, "until")
        )
        return _json(timeline)

    async def get_identity(self, request: Request) -> Response:
        """`GET /v1/identity`."""
        return _json(await self.identity(await _reads(request)))

    async def get_namespaces(self, request: Request) -> Response:
        """`GET /v1/namespaces`."""
        return _json(await self.namespaces.list(await _reads(request)))

    async def put_namespace(self, request: Request) -> Response:
        """`PUT /v1/namespaces/{name}`."""
        caller = await _writes(request)
        body = await _read(request, NamespaceRequest)
        return _json(await self.namespaces.put(caller, request.path_params["name"], body))

    async def delete_namespace(self, request: Request) -> Response:
        """`DELETE /v1/namespaces/{name}`."""
        await self.namespaces.delete(await _writes(request), request.path_params["name"])
        return Response(status_code=204)

    async def get_memory(self, request: Request) -> Response:
        """`GET /v1/memories/{id}`."""
        caller = await _reads(request)
        return _json(await self.browse.one(caller, _id(request)))

    async def patch_memory(self, request: Request) -> Response:
        """`PATCH /v1/memories/{id}`."""
        caller = await _writes(request)
        return _json(await self.edit(caller, _id(request), await _read(request, EditRequest)))

    async def delete_memory(self, request: Request) -> Response:
        """`DELETE /v1/memories/{id}`."""
        caller = await _writes(request)
        erased = await self.forget(caller, _id(request))
        self.numbers.forgotten.inc(erased.erased["rows"])
        return _json(erased)

    async def post_recall(self, request: Request) -> Response:
        """`POST /v1/recall`: reads only, though its method is POST."""
        caller = await _reads(request)
        result = await self.recall(caller, await _read(request, RecallRequest))
        self.numbers.recalled.labels(result.degraded or "whole").inc()
        return _json(result)


async def _read(request: Request, model: type[Body]) -> Body:
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        # Places and rules only: what was typed must not come back or reach a log.
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        named = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'body'}: {problem['type']}"
            for problem in problems[:5]
        )
        raise InvalidRequest(f"The request does not have the expected shape: {named}.") from None


def _json(model: Contract, status: int = 200) -> Response:
    return Response(
        model.model_dump_json(),
        status,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )


def _id(request: Request) -> UUID:
    try:
        return UUID(request.path_params["id"])
    except ValueError:
        # What is no id names no memory.
        raise MemoryNotFound() from None


def _limit(raw: str) -> int:
    if not raw.isascii() or not raw.isdigit() or len(raw) > 4:
        raise LimitInvalid()
    return int(raw)


def _shown(query: QueryParams) -> Shown:
    level, namespace = query.get("level"), query.get("namespace")
    since, until = _moment(query, "since"), _moment(query, "until")
    check_span(since, until)
    try:
        state, order = State(query.get("state") or "all"), Order(query.get("order") or "created")
    except ValueError:
        raise StateUnknown() from None
    return Shown(
        state=state,
        order=order,
        namespace=parse_namespace(namespace) if namespace else None,
        level=parse_level(level) if level else None,
        source=query.get("source") or None,
        thread=query.get("thread") or None,
        since=since,
        until=until,
    )


def _moment(query: QueryParams, name: str) -> datetime | None:
    raw = query.get(name)
    if not raw:
        return None
    try:
        return aware(datetime.fromisoformat(raw))
    except ValueError:
        raise TimeInvalid() from None
