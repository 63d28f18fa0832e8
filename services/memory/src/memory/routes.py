"""HTTP -> use cases. The bodies are the contracts' models; what does not fit is refused with a code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from contracts.base import Contract
from contracts.memory import EditRequest, RecallRequest, RememberRequest
from kit.auth import require_scope
from kit.errors import InvalidRequest
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from memory.browse import Browse
from memory.edit import Edit
from memory.errors import LimitInvalid, MemoryNotFound
from memory.forget import Forget
from memory.numbers import Numbers
from memory.recall import Recall
from memory.remember import Remember

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
        ]

    async def post_memory(self, request: Request) -> Response:
        """`POST /v1/memories`."""
        caller = await _writes(request)
        body = await _read(request, RememberRequest)
        memory = await self.remember(caller, body, request.headers.get("idempotency-key"))
        self.numbers.remembered.labels(memory.tier.value).inc()
        return _json(memory, 201)

    async def get_memories(self, request: Request) -> Response:
        """`GET /v1/memories?tier=&limit=&cursor=`."""
        caller = await _reads(request)
        query = request.query_params
        page = await self.browse.page(
            caller,
            query.get("tier") or None,
            _limit(query.get("limit") or LIST_LIMIT),
            query.get("cursor") or None,
        )
        return _json(page)

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
