"""What memory counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit import logs
from kit.errors import KitError

from memory.index.upkeep import sizes

if TYPE_CHECKING:
    from kit.clock import Clock
    from kit.metrics import Metrics

    from memory.library import Library

log = logs.get(__name__)
WATCH_SECONDS = 30.0


class Numbers:
    """The service's own numbers. Tiers are a closed set of words; no id and no text is a label."""

    def __init__(self, metrics: Metrics) -> None:
        self.remembered = metrics.counter("remembered_total", "Memories remembered.", ("tier",))
        self.recalled = metrics.counter(
            "recalls_total", "Recalls answered, whole or by words alone.", ("answer",)
        )
        self.answered = metrics.counter(
            "answers_total",
            "Answers by where they came from: process, valkey, postgres, or past a cache that is off or unsure.",
            ("level",),
        )
        self.forgotten = metrics.counter("forgotten_total", "Memories forgotten.")
        self.pending = metrics.gauge(
            "pending_embeddings", "Memories not yet found by meaning, by store.", ("store",)
        )
        self.bytes = metrics.gauge(
            "stored_bytes",
            "What texts, vectors and the index of words take on the disk.",
            ("part",),
        )


async def watch(library: Library, numbers: Numbers, clock: Clock) -> None:
    """Keep the gauges true until cancelled."""
    while True:
        try:
            for store, shelf in (("plain", library.plain), ("sacred", library.sacred)):
                async with shelf.pool.own(read_only=True) as conn:
                    numbers.pending.labels(store).set(await shelf.count_pending(conn))
            async with library.plain.pool.own(read_only=True) as conn:
                for part, size in await sizes(conn):
                    numbers.bytes.labels(part).set(size)
        except KitError as error:
            log.warning("numbers.waiting", code=error.code)
        await clock.sleep(WATCH_SECONDS)
