"""HTTP -> supersession."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.supersede import SupersedeRequest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from memory.asking import answer, path_id, read_body, writes
from memory.supersede.manual import Restore, Supersede

if TYPE_CHECKING:
    from collections.abc import Callable

    from contracts.tiers import Tier
    from kit.metrics import Metrics

    from memory.library import Library
    from memory.writing.remember import Remember


class SupersedeNumbers:
    """What is counted of it here; what rules do is counted by the worker."""

    def __init__(self, metrics: Metrics) -> None:
        self.decided = metrics.counter(
            "superseded_total", "Memories that a person had replaced or restored.", ("change",)
        )


@dataclass(frozen=True)
class SupersedeApi:
    """The use cases and what they are reached by."""

    supersede: Supersede
    restore: Restore
    numbers: SupersedeNumbers

    @staticmethod
    def over(
        library: Library,
        remember: Remember,
        wake: Callable[[Tier], None],
        numbers: SupersedeNumbers,
    ) -> SupersedeApi:
        """Return the routes over these stores."""
        return SupersedeApi(Supersede(library, remember, wake), Restore(library, wake), numbers)

    def routes(self) -> list[Route]:
        """Return the routes of supersession."""
        return [
            Route("/v1/memories/{id}/supersede", self.post_supersede, methods=["POST"]),
            Route("/v1/memories/{id}/restore", self.post_restore, methods=["POST"]),
        ]

    async def post_supersede(self, request: Request) -> Response:
        """`POST /v1/memories/{id}/supersede`."""
        caller = await writes(request)
        body = await read_body(request, SupersedeRequest)
        memory = await self.supersede(caller, path_id(request), body)
        self.numbers.decided.labels("superseded").inc()
        return answer(memory)

    async def post_restore(self, request: Request) -> Response:
        """`POST /v1/memories/{id}/restore`."""
        caller = await writes(request)
        memory = await self.restore(caller, path_id(request))
        self.numbers.decided.labels("restored").inc()
        return answer(memory)
