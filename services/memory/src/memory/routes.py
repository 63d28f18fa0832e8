"""HTTP -> use cases. The bodies are the contracts' models; what does not fit is refused with a code."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.memory import EditRequest, NamespaceRequest, RecallRequest, RememberRequest
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from memory.asking import (
    answer,
    answer_bytes,
    as_bytes,
    label_of,
    limit_of,
    moment_of,
    path_id,
    read_body,
    reads,
    writes,
)
from memory.browse import Browse
from memory.caching.answers import Answers, keepable
from memory.domain import Order, Shown, State, check_span, parse_level, parse_namespace
from memory.errors import StateUnknown
from memory.exchange.forget import Forget
from memory.facts.routes import entity_of
from memory.identity import IdentityContext
from memory.levels.touch import Touch
from memory.namespaces import Namespaces
from memory.numbers import Numbers
from memory.recall.recall import Recall
from memory.writing.edit import Edit
from memory.writing.remember import Remember


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
    answers: Answers
    touch: Touch
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
        caller = await writes(request)
        body = await read_body(request, RememberRequest)
        memory = await self.remember(caller, body, request.headers.get("idempotency-key"))
        if memory.merged:
            return answer(memory)
        self.numbers.remembered.labels(memory.tier.value).inc()
        return answer(memory, 201)

    async def get_memories(self, request: Request) -> Response:
        """`GET /v1/memories?tier=&namespace=&level=&source=&state=&since=&until=&thread=&entity=&order=&limit=&cursor=`."""
        caller = await reads(request)
        query = request.query_params
        page = await self.browse.page(
            caller,
            query.get("tier") or None,
            _shown(query),
            limit_of(query),
            query.get("cursor") or None,
        )
        return answer(page)

    async def get_timeline(self, request: Request) -> Response:
        """`GET /v1/timeline?bucket=&since=&until=`."""
        caller = await reads(request)
        query = request.query_params
        timeline = await self.browse.timeline(
            caller,
            query.get("bucket") or "month",
            moment_of(query, "since"),
            moment_of(query, "until"),
        )
        return answer(timeline)

    async def get_identity(self, request: Request) -> Response:
        """`GET /v1/identity`."""
        caller = await reads(request)

        async def ask() -> tuple[bytes, bool]:
            return as_bytes(await self.identity(caller)), True

        return answer_bytes(await self.answers.get(caller, "identity", b"", ask))

    async def get_namespaces(self, request: Request) -> Response:
        """`GET /v1/namespaces`."""
        return answer(await self.namespaces.list(await reads(request)))

    async def put_namespace(self, request: Request) -> Response:
        """`PUT /v1/namespaces/{name}`."""
        caller = await writes(request)
        body = await read_body(request, NamespaceRequest)
        return answer(await self.namespaces.put(caller, request.path_params["name"], body))

    async def delete_namespace(self, request: Request) -> Response:
        """`DELETE /v1/namespaces/{name}`."""
        await self.namespaces.delete(await writes(request), request.path_params["name"])
        return Response(status_code=204)

    async def get_memory(self, request: Request) -> Response:
        """`GET /v1/memories/{id}`."""
        caller = await reads(request)
        memory_id = path_id(request)

        async def ask() -> tuple[bytes, bool]:
            memory = await self.browse.one(caller, memory_id)
            return as_bytes(memory), keepable([memory.tier.value])

        content = await self.answers.get(caller, "memory", memory_id.bytes, ask)
        self.touch.answered(caller.subject, content)
        return answer_bytes(content)

    async def patch_memory(self, request: Request) -> Response:
        """`PATCH /v1/memories/{id}`."""
        caller = await writes(request)
        return answer(
            await self.edit(caller, path_id(request), await read_body(request, EditRequest))
        )

    async def delete_memory(self, request: Request) -> Response:
        """`DELETE /v1/memories/{id}`."""
        caller = await writes(request)
        erased = await self.forget(caller, path_id(request))
        self.numbers.forgotten.inc(erased.erased["rows"])
        return answer(erased)

    async def post_recall(self, request: Request) -> Response:
        """`POST /v1/recall`: reads only, though its method is POST."""
        caller = await reads(request)
        asked = await read_body(request, RecallRequest)

        async def ask() -> tuple[bytes, bool]:
            result = await self.recall(caller, asked)
            self.numbers.recalled.labels(result.degraded or "whole").inc()
            return as_bytes(result), result.degraded is None

        if keepable(asked.tiers):
            content = await self.answers.get(caller, "recall", await request.body(), ask)
        else:
            content, _ = await ask()
        self.touch.answered(caller.subject, content)
        return answer_bytes(content)


def _shown(query: QueryParams) -> Shown:
    level, namespace = query.get("level"), query.get("namespace")
    since, until = moment_of(query, "since"), moment_of(query, "until")
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
        source=label_of(query, "source"),
        thread=label_of(query, "thread"),
        entities=(entity,) if (entity := entity_of(query)) is not None else None,
        since=since,
        until=until,
    )
