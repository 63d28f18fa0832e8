"""HTTP -> levels."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.levels import ConsolidationSwitch, RunRequest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from memory.asking import answer, limit_of, read_body, reads, writes
from memory.levels.overview import Overview


@dataclass(frozen=True)
class LevelApi:
    """The levels and what they are reached by."""

    overview: Overview

    def routes(self) -> list[Route]:
        """Return the routes of levels and consolidation."""
        return [
            Route("/v1/levels", self.get_levels, methods=["GET"]),
            Route("/v1/consolidation", self.get_consolidation, methods=["GET"]),
            Route("/v1/consolidation", self.put_consolidation, methods=["PUT"]),
            Route("/v1/consolidation/run", self.post_run, methods=["POST"]),
            Route("/v1/consolidation/journal", self.get_journal, methods=["GET"]),
        ]

    async def get_levels(self, request: Request) -> Response:
        """`GET /v1/levels`."""
        return answer(await self.overview.levels(await reads(request)))

    async def get_consolidation(self, request: Request) -> Response:
        """`GET /v1/consolidation`."""
        await reads(request)
        return answer(await self.overview.consolidation())

    async def put_consolidation(self, request: Request) -> Response:
        """`PUT /v1/consolidation`."""
        caller = await writes(request)
        return answer(
            await self.overview.switch(caller, await read_body(request, ConsolidationSwitch))
        )

    async def post_run(self, request: Request) -> Response:
        """`POST /v1/consolidation/run`: a dry run unless the body says otherwise."""
        caller = await writes(request)
        asked = await read_body(request, RunRequest)
        return answer(await self.overview.run(caller, dry_run=asked.dry_run))

    async def get_journal(self, request: Request) -> Response:
        """`GET /v1/consolidation/journal?limit=&before=`."""
        caller = await reads(request)
        query = request.query_params
        return answer(
            await self.overview.journal(caller, limit_of(query), query.get("before") or None)
        )
