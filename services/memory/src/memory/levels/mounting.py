"""Puts the levels into the service: their routes, and what runs beside them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memory.levels.act import Actor
from memory.levels.numbers import LevelNumbers, watch_levels
from memory.levels.observe import Observer
from memory.levels.overview import Overview
from memory.levels.routes import LevelApi
from memory.levels.store import LevelStore
from memory.levels.touch import Touch

if TYPE_CHECKING:
    from uuid import UUID

    from contracts.tiers import Tier
    from kit.clock import Clock
    from kit.metrics import Metrics
    from kit.pool import Connection
    from starlette.routing import Route

    from memory.library import Library
    from memory.settings import Settings


@dataclass(frozen=True)
class Levels:
    """The levels' part of the service."""

    touch: Touch
    api: LevelApi
    store: LevelStore
    numbers: LevelNumbers
    clock: Clock

    def routes(self) -> list[Route]:
        """Return the routes of levels and consolidation."""
        return self.api.routes()

    def tasks(self) -> list[asyncio.Task[None]]:
        """Start what runs beside the requests, and return it to be cancelled."""
        return [
            asyncio.create_task(self.touch.run()),
            asyncio.create_task(watch_levels(self.store, self.numbers, self.clock)),
        ]


def mount(
    settings: Settings, library: Library, numbers: LevelNumbers, metrics: Metrics, clock: Clock
) -> Levels:
    """Return the levels over the library's stores."""

    async def announce(
        conn: Connection, memory_id: UUID, subject: UUID, tier: Tier, change: str
    ) -> None:
        # Through the shelf, which tells this process's caches first.
        await library.shelf(tier).announce(conn, memory_id, subject, tier, change)

    limits = settings.limits()
    store = LevelStore(library.plain.pool, library.sacred.pool, announce)
    shelf = library.plain if settings.merge else None
    overview = Overview(
        store,
        Observer(store, limits, shelf),
        Actor(store, limits, shelf),
        settings.consolidation,
        clock,
    )
    return Levels(Touch(store, limits, clock, metrics), LevelApi(overview), store, numbers, clock)
