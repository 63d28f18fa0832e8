"""The W3C `traceparent` that travels on every hop. Its trace id is the correlation id a person sees in an error."""

from __future__ import annotations

import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "traceparent"
CORRELATION_HEADER = "x-correlation-id"
_PATTERN = re.compile(r"^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})\Z")


@dataclass(frozen=True)
class Trace:
    """One hop of a journey through the house."""

    trace_id: str
    span_id: str
    flags: str = "01"

    @property
    def header(self) -> str:
        """The value to send on."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"

    def child(self) -> Trace:
        """Return the next hop of the same journey."""
        return Trace(self.trace_id, secrets.token_hex(8), self.flags)


_current: ContextVar[Trace | None] = ContextVar("lares_trace", default=None)


def new() -> Trace:
    """Begin a journey."""
    return Trace(secrets.token_hex(16), secrets.token_hex(8))


def parse(header: str | None) -> Trace | None:
    """Read a `traceparent`; None when it is absent or malformed, as the standard asks (start a new one then)."""
    match = _PATTERN.match(header) if header else None
    if match is None:
        return None
    trace_id, span_id, flags = match.groups()
    if set(trace_id) == {"0"} or set(span_id) == {"0"}:
        return None
    return Trace(trace_id, span_id, flags)


def current() -> Trace | None:
    """Return the trace of the running task, if it has one."""
    return _current.get()


def correlation_id() -> str:
    """Return the id to show a person: the trace id, or a new one where nothing was traced."""
    trace = _current.get()
    return trace.trace_id if trace else new().trace_id


def outgoing() -> str:
    """Return the `traceparent` to send with a call, a stream entry or a task."""
    trace = _current.get()
    return (trace.child() if trace else new()).header


@contextmanager
def use(trace: Trace | None) -> Generator[Trace]:
    """Run a block under `trace` (a new one when None): for consumers and jobs, which have no request."""
    chosen = trace or new()
    token = _current.set(chosen)
    try:
        yield chosen
    finally:
        _current.reset(token)


class TraceMiddleware:
    """Continue the caller's trace or begin one, and answer with its id."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        sent = next(
            (value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"),
            None,
        )
        inbound = parse(sent)
        with use(inbound.child() if inbound else None) as trace:

            async def send_with_id(message: Message) -> None:
                if message["type"] == "http.response.start":
                    headers = [
                        *message.get("headers", []),
                        (CORRELATION_HEADER.encode(), trace.trace_id.encode()),
                    ]
                    message = {**message, "headers": headers}
                await send(message)

            await self.app(scope, receive, send_with_id)
