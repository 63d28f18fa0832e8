"""One request over its ways: each is tried in order until one answers, and that answer is handed on.

Whatever fails before an answer's first byte passes to the next way; after it, nothing is ever asked again.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from kit import trace
from kit.clock import Clock
from kit.errors import KitError

from model_gateway import errors
from model_gateway.accounts.entry import entry_of
from model_gateway.accounts.writer import Accounts
from model_gateway.budgets import Amount, Budgets, most, taken
from model_gateway.call import Call
from model_gateway.endpoint import Answer, Ask, Endpoint, Outgoing, Whole
from model_gateway.numbers import Numbers
from model_gateway.ways import Way

# Failures of a way, not of the request: another way may well answer.
PASSED_ON = (
    errors.BackendBusy,
    errors.BackendFailed,
    errors.BackendInvalid,
    errors.BackendRefusedKey,
    errors.BackendTimeout,
    errors.BackendUnavailable,
    errors.BudgetSpent,
    errors.BudgetUnknown,
    errors.GpuLost,
    errors.GpuRefused,
    errors.GpuUnavailable,
    errors.ModelUnable,
    errors.PromptTooLong,  # this way's context; the next may have a larger one
    errors.QueueFull,
    errors.QueueTimeout,
)

# With these a backend says that it has not worked: nothing is owed for a request that ends so.
REFUSED = (
    errors.BackendBusy,
    errors.BackendInvalid,
    errors.BackendRefusedKey,
    errors.BackendUnavailable,
    errors.PromptTooLong,
    errors.RequestRefused,
)


class Opener(Protocol):
    """Whoever can be asked: a backend, the GPU nodes."""

    @property
    def available(self) -> bool: ...
    def open(
        self, call: Call, way: Way, outgoing: Outgoing
    ) -> AbstractAsyncContextManager[Answer]: ...


class Sink(Protocol):
    """Where a streamed answer goes."""

    async def start(self, content_type: str) -> None: ...
    async def send(self, piece: bytes) -> None: ...


@dataclass(frozen=True)
class Work:
    """One request, ready to be tried."""

    call: Call
    endpoint: Endpoint[Any]
    ask: Ask
    ways: Sequence[Way]


@dataclass
class Desk:
    """Asks the ways and hands their answers on."""

    backends: Mapping[str, Opener]
    numbers: Numbers
    clock: Clock
    gpu: Opener | None = None
    budgets: Budgets | None = None
    accounts: Accounts | None = None

    def opener(self, way: Way) -> Opener:
        """Return who opens the answers of `way`."""
        if way.gpu is None:
            return self.backends[way.name]
        if self.gpu is None:
            raise errors.GpuUnavailable(
                "This house has no GPU scheduler.", fix="Set LARES_GPU_SCHEDULER_URL."
            )
        return self.gpu

    async def whole(self, work: Work) -> Whole:
        """Return a whole answer. Raises what the last way's failure means."""
        with self._counted(work.call):
            async with self._opened(work) as (way, answer):
                return await work.endpoint.whole(work.ask, way, answer, work.call.tally)

    async def stream(self, work: Work, sink: Sink) -> None:
        """Hand an answer to `sink` while it is made, its regular ending included.

        Raises a coded error when no way answered, or when the answer broke off: what the client is told then is the
        sink's to say, since it knows what was sent.
        """
        call, endpoint = work.call, work.endpoint
        began, first = time.perf_counter(), True
        with self._counted(call):
            async with self._opened(work) as (way, answer):
                events = endpoint.stream(work.ask, way, answer, call.tally)
                try:
                    async for piece in events:
                        if first:
                            await sink.start(endpoint.stream_type(answer))
                        if first and call.tally.pieces:
                            first = False
                            waited = time.perf_counter() - began
                            self.numbers.first_token.labels(way.model).observe(waited)
                        await sink.send(piece)
                    call.complete = True
                finally:
                    await events.aclose()

    @asynccontextmanager
    async def _opened(self, work: Work) -> AsyncGenerator[tuple[Way, Answer]]:
        call = work.call
        for way in work.ways:
            call.way, call.last_way, call.sent = way.name, way is work.ways[-1], False
            try:
                outgoing = work.endpoint.outgoing(work.ask, way)
                async with (
                    self._paid(work, way, outgoing),
                    self.opener(way).open(call, way, outgoing) as answer,
                ):
                    call.sent = call.answered = True
                    yield way, answer
                return
            except PASSED_ON as error:
                call.waiting = ""
                if call.answered or call.last_way:
                    raise
                call.falls += 1
                self.numbers.falls.labels(way.model, way.name, error.code).inc()

    @asynccontextmanager
    async def _paid(self, work: Work, way: Way, outgoing: Outgoing) -> AsyncGenerator[None]:
        """Reserve the most that the block can cost, and settle what it did cost."""
        call = work.call
        at_most = most(way, work.ask, call.endpoint, outgoing)
        reservation = (
            None if self.budgets is None else await self.budgets.reserve(call, way, at_most)
        )
        refused = False
        try:
            yield
        except REFUSED:
            # After the first byte the same errors mean that an answer which is owed for went wrong.
            refused = not call.answered
            raise
        finally:
            amount = taken(way, call.tally, at_most) if call.sent and not refused else Amount()
            call.cost_micros += amount.cost_micros
            if self.budgets is not None and reservation is not None:
                self.budgets.settle(call, reservation, amount)

    @contextmanager
    def _counted(self, call: Call) -> Generator[None]:
        began, outcome = time.perf_counter(), "kit.internal"
        try:
            yield
            outcome = "ok"
        except KitError as error:
            outcome = error.code
            raise
        except asyncio.CancelledError:
            outcome = "ok" if call.complete else "client_gone"
            raise
        finally:
            seconds = time.perf_counter() - began
            self.numbers.count(call, outcome, seconds)
            if self.accounts is not None:
                now, trace_id = self.clock.now(), trace.correlation_id()
                self.accounts.put(entry_of(call, outcome, now, seconds, trace_id))
