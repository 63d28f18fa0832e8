"""Puts this part of the service together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memory.exchange.bulk import ForgetMany
from memory.exchange.copies import Copies
from memory.exchange.export import Export
from memory.exchange.forget import Forget
from memory.exchange.importing import Import
from memory.exchange.numbers import ExchangeNumbers
from memory.exchange.routes import ExchangeApi
from memory.writing.move import Move

if TYPE_CHECKING:
    from contracts.tiers import Tier
    from kit.clock import Clock
    from kit.metrics import Metrics
    from starlette.routing import Route

    from memory.exchange.eraser import Cache
    from memory.exchange.settings import ExchangeSettings
    from memory.library import Library


@dataclass(frozen=True)
class Exchange:
    """Leaving, coming back and forgetting, ready to be served."""

    forget: Forget
    forget_many: ForgetMany
    api: ExchangeApi
    clock: Clock

    def routes(self) -> list[Route]:
        """Return the routes of this part."""
        return self.api.routes()

    def tasks(self) -> list[asyncio.Task[None]]:
        """Start what runs beside the requests; the caller cancels it."""
        return [asyncio.create_task(self.forget_many.run(self.clock))]


def mount_exchange(
    settings: ExchangeSettings,
    library: Library,
    wake: Callable[[Tier], None],
    caches: Sequence[Cache],
    metrics: Metrics,
    clock: Clock,
) -> Exchange:
    """Return this part; `caches` drop what they hold of a person when a memory of theirs is forgotten."""
    copies = Copies(settings.backup_days, settings.log_days)
    forget = Forget(library, wake, copies, caches)
    forget_many = ForgetMany(library, forget)
    api = ExchangeApi(
        export=Export(library),
        imports=Import(library, Move(library), forget, wake),
        forget=forget,
        forget_many=forget_many,
        numbers=ExchangeNumbers(metrics),
        seconds=settings.exchange_seconds,
    )
    return Exchange(forget, forget_many, api, clock)
