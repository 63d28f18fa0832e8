"""Wires writing for the HTTP service: its use cases, its routes, and the numbers it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.tiers import Tier
from contracts.writing import (
    BatchRequest,
    EmbeddingModel,
    EmbeddingProblem,
    EmbeddingStatus,
    MergeMemories,
)
from kit import logs
from kit.errors import KitError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from memory.asking import answer, path_id, read_body, reads, writes
from memory.facts.store import Books
from memory.settings import Settings
from memory.writing.batch import RememberMany
from memory.writing.limit import WriteLimit
from memory.writing.manual import Merge
from memory.writing.merge import Join
from memory.writing.models import State, known
from memory.writing.remember import Remember, Rules
from memory.writing.store import PLAIN, SACRED, text_of

if TYPE_CHECKING:
    from kit.clock import Clock
    from kit.metrics import Metrics

    from memory.library import Library
    from memory.vault import Vault

log = logs.get(__name__)
# Ten times what the longest batch of ordinary sentences has; 256 texts of the greatest length go in several.
BATCH_BYTES_MAX = 4 * 1024 * 1024
BATCH_PATH = "/v1/memories/batch"
WATCH_SECONDS = 15.0


class WritingNumbers:
    """What writing counts. Rules, queues and events are closed sets of words; no id and no text is a label."""

    def __init__(self, metrics: Metrics) -> None:
        self.refused = metrics.counter("refused_total", "Memories refused, by rule.", ("rule",))
        self.embedding_invalid = metrics.counter(
            "embedding_invalid_total",
            "Answers of the embedding model that were no vector of its kind.",
        )
        self.due = metrics.gauge(
            "queue_waiting", "Memories waiting behind a write, by queue.", ("queue",)
        )
        self.oldest = metrics.gauge(
            "queue_oldest_due_seconds",
            "For how long the oldest of a queue has been due.",
            ("queue",),
        )
        self.worker = metrics.gauge(
            "worker_events",
            "What the worker has counted: batches and texts embedded, texts refused, memories related and merged.",
            ("event",),
        )
        self.model = metrics.gauge(
            "embedding_vectors", "Vectors of the model being built, and memories in all.", ("kind",)
        )


@dataclass(frozen=True)
class Writing:
    """Writing's use cases as the service has them."""

    library: Library
    remember: Remember
    many: RememberMany
    merge: Merge
    numbers: WritingNumbers

    def routes(self) -> list[Route]:
        """Return writing's own routes."""
        return [
            Route(BATCH_PATH, self.post_batch, methods=["POST"]),
            Route("/v1/memories/{id}/merge", self.post_merge, methods=["POST"]),
            Route("/v1/embedding", self.get_embedding, methods=["GET"]),
        ]

    async def post_batch(self, request: Request) -> Response:
        """`POST /v1/memories/batch`."""
        caller = await writes(request)
        return answer(await self.many(caller, await read_body(request, BatchRequest)))

    async def post_merge(self, request: Request) -> Response:
        """`POST /v1/memories/{id}/merge`."""
        caller = await writes(request)
        other = (await read_body(request, MergeMemories)).other
        return answer(await self.merge(caller, path_id(request), other))

    async def get_embedding(self, request: Request) -> Response:
        """`GET /v1/embedding`."""
        await reads(request)
        return answer(await embedding_status(self.library))

    async def watch(self, clock: Clock) -> None:
        """Keep the gauges true until cancelled."""
        while True:
            try:
                await self._read()
            except KitError as error:
                log.warning("writing.numbers_waiting", code=error.code)
            await clock.sleep(WATCH_SECONDS)

    async def _read(self) -> None:
        async with self.library.plain.pool.own(read_only=True) as conn:
            queues = {
                "embedding": await PLAIN.state(conn),
                "relation": await PLAIN.state(conn, "relation_queue_state"),
                "extraction": await Books().state(conn),
            }
            for row in await conn.fetch(text_of("list_tally")):
                self.numbers.worker.labels(row["name"]).set(row["n"])
        async with self.library.sacred.pool.own(read_only=True) as conn:
            queues["sacred_embedding"] = await SACRED.state(conn)
        for queue, (waiting, oldest) in queues.items():
            self.numbers.due.labels(queue).set(waiting)
            self.numbers.oldest.labels(queue).set(oldest)
        status = await embedding_status(self.library)
        self.numbers.model.labels("done").set(status.done)
        self.numbers.model.labels("total").set(status.total)


async def embedding_status(library: Library) -> EmbeddingStatus:
    """Return which model answers and how far the next has come. Raises DataUnavailable."""
    async with library.plain.pool.own(read_only=True) as conn:
        models = [known(row) for row in await conn.fetch(text_of("list_models"))]
        problem = await conn.fetchrow(text_of("get_problem"))
    by_state = {model.state: model for model in models}
    active, building = by_state[State.ACTIVE], by_state.get(State.BUILDING)
    return EmbeddingStatus(
        active=EmbeddingModel(name=active.name, dimensions=active.dimensions),
        building=EmbeddingModel(name=building.name, dimensions=building.dimensions)
        if building
        else None,
        done=building.done if building else 0,
        total=building.total if building else 0,
        problem=EmbeddingProblem(model=problem["wanted"], code=problem["problem"])
        if problem and problem["problem"]
        else None,
    )


def mount_writing(
    settings: Settings,
    library: Library,
    vault: Vault,
    wake: Callable[[Tier], None],
    numbers: WritingNumbers,
    clock: Clock,
) -> Writing:
    """Return writing, wired."""
    rules = Rules(
        WriteLimit(settings.writes_per_minute, clock),
        Join(library, settings.merge),
        settings.junk_filter,
        lambda rule: numbers.refused.labels(rule).inc(),
    )
    remember = Remember(library, vault, wake, rules)
    many = RememberMany(library, remember, rules, wake)
    return Writing(library, remember, many, Merge(library, wake), numbers)
