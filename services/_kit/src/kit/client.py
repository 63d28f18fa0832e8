"""Calling another service of the house: bounded, traced, on behalf of the caller, with coded failures."""

import asyncio
import codecs
import json
import random
import re
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contracts.names import CALLER_HEADER, SERVICE_HEADER

from kit import logs, trace
from kit.clock import Clock
from kit.errors import KitError

if TYPE_CHECKING:
    import httpx

log = logs.get(__name__)

BODY_BYTES_MAX = 8 * 1024 * 1024
EVENT_CHARS_MAX = 256 * 1024
IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
RETRY_STATUS = frozenset({502, 503, 504})
BACKOFF_SECONDS = 0.1
CONNECT_SECONDS_MAX = 2.0
_EVENT_TOO_LARGE = "One event of a stream is larger than is taken."
_LINE_END = re.compile(r"\r\n|\n|\r(?!\Z)")

_acting_for: ContextVar[str | None] = ContextVar("lares_acting_for", default=None)


def act_for(caller_token: str) -> None:
    """Send `caller_token` with every later call of this task: kit.auth does it for each verified request."""
    _acting_for.set(caller_token)


@contextmanager
def acting_for_nobody() -> Generator[None]:
    """Run a block whose calls carry no caller until `act_for` names one; what came before is back at its end."""
    before = _acting_for.set(None)
    try:
        yield
    finally:
        _acting_for.reset(before)


class RemoteError(KitError):
    """A coded error of another service, passed on as it came."""

    code = "kit.upstream_failed"
    status = 502
    reason = "A part of the house gave an answer that makes no sense."
    fix = "Try again. If it happens again, look for the correlation id in the logs."

    def __init__(self, code: str, status: int, reason: str, fix: str) -> None:
        self.code = code
        self.status = status
        super().__init__(reason, fix=fix)


class Unavailable(KitError):
    """`<service>.unavailable`: the service did not answer in time."""

    code = "<service>.unavailable"
    status = 503
    reason = "A part of the house is not answering."
    fix = "Try again in a moment; System shows which part is down."

    def __init__(self, service: str) -> None:
        self.code = f"{service}.unavailable"
        super().__init__(f"{service} is not answering.", Retry_After="2")


class UpstreamTooLarge(KitError):
    code = "kit.upstream_too_large"
    status = 502
    reason = "A part of the house answered with more than is taken."
    fix = "Ask for less at once."


@dataclass(frozen=True)
class Reply:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the decoded body. Raises RemoteError when it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise RemoteError(
                RemoteError.code, RemoteError.status, RemoteError.reason, RemoteError.fix
            ) from None


@dataclass(frozen=True)
class ServerEvent:
    """One server-sent event."""

    event: str
    data: str
    id: str | None = None

    def json(self) -> Any:
        """Return the decoded data."""
        return json.loads(self.data)


class ServiceClient:
    """One other service. Make one at start, `await close()` it at the end."""

    def __init__(
        self,
        service: str,
        base_url: str,
        *,
        timeout_s: float = 5.0,
        retries: int = 2,
        connections_max: int = 20,
        body_bytes_max: int = BODY_BYTES_MAX,
        clock: Clock | None = None,
        proxy: str | None = None,
    ) -> None:
        import httpx

        self.service = service
        self._timeout_s = timeout_s
        self._retries = retries
        self._body_bytes_max = body_bytes_max
        self._clock = clock or Clock()
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_SECONDS_MAX, timeout_s)),
            limits=httpx.Limits(
                max_connections=connections_max, max_keepalive_connections=connections_max
            ),
            follow_redirects=False,
            # The environment's proxy settings are for people's shells, not for calls within the house.
            trust_env=False,
            # Loading the authorities costs 3 MB a process, and a plain URL has no use for them.
            verify=not base_url.startswith("http://"),
            proxy=proxy,
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def __aenter__(self) -> "ServiceClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def ping(self) -> None:
        """Return if the service is alive. Raises `<service>.unavailable`."""
        await self.request("GET", "/healthz", retries=0)

    async def get(self, path: str, **options: Any) -> Reply:
        """GET `path`; see `request`."""
        return await self.request("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Reply:
        """POST to `path`; see `request`."""
        return await self.request("POST", path, **options)

    async def patch(self, path: str, **options: Any) -> Reply:
        """PATCH `path`; see `request`."""
        return await self.request("PATCH", path, **options)

    async def delete(self, path: str, **options: Any) -> Reply:
        """DELETE `path`; see `request`."""
        return await self.request("DELETE", path, **options)

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: bytes | None = None,
        params: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        caller_token: str | None = None,
        timeout_s: float | None = None,
        retries: int | None = None,
    ) -> Reply:
        """Return the answer to one call, whole and bounded, within `timeout_s` in all, retries included.

        Only calls that may be repeated are: idempotent methods, those with an Idempotency-Key, and those whose
        connection was never made. Raises Unavailable, RemoteError (the other service's own coded error) or
        UpstreamTooLarge.
        """
        sent = self._headers(headers, caller_token)
        repeatable = method in IDEMPOTENT or "idempotency-key" in {name.lower() for name in sent}
        tries = 1 + (self._retries if retries is None else retries)
        prepared = {"json": json, "content": content, "params": params, "headers": sent}
        try:
            async with asyncio.timeout(timeout_s or self._timeout_s):
                for attempt in range(1, tries + 1):
                    reply = await self._attempt(
                        method, path, prepared, repeatable, attempt == tries
                    )
                    if reply is not None:
                        return self._checked(reply)
                    pause = BACKOFF_SECONDS * 2 ** (attempt - 1)
                    # Jitter: callers that failed together must not come back together.
                    await self._clock.sleep(pause * (0.5 + random.random()))
        except TimeoutError:
            log.warning("client.timeout", service_called=self.service, method=method)
        raise Unavailable(self.service)

    async def _attempt(
        self, method: str, path: str, prepared: dict[str, Any], repeatable: bool, last: bool
    ) -> Reply | None:
        """Return an answer, or None when the call should be tried again."""
        import httpx

        try:
            async with self._http.stream(method, path, **prepared) as response:
                reply = Reply(
                    response.status_code, dict(response.headers), await self._read(response)
                )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            failed: Exception = error
        except httpx.TransportError as error:
            if not repeatable:
                log.warning(
                    "client.failed", service_called=self.service, error_type=type(error).__name__
                )
                raise Unavailable(self.service) from None
            failed = error
        else:
            if last or not repeatable or reply.status not in RETRY_STATUS:
                return reply
            return None
        log.warning("client.failed", service_called=self.service, error_type=type(failed).__name__)
        if last:
            raise Unavailable(self.service) from None
        return None

    async def _read(self, response: "httpx.Response") -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in response.aiter_bytes():
            size += len(part)
            if size > self._body_bytes_max:
                raise UpstreamTooLarge(
                    f"{self.service} answered with more than {self._body_bytes_max} bytes."
                )
            parts.append(part)
        return b"".join(parts)

    def _checked(self, reply: Reply) -> Reply:
        if reply.status < 400:
            return reply
        raise self._coded(reply.status, reply.body)

    def _coded(self, status: int, body: bytes) -> KitError:
        try:
            told = json.loads(body)["error"]
            return RemoteError(str(told["code"]), status, str(told["reason"]), str(told["fix"]))
        except (ValueError, KeyError, TypeError):
            log.warning("client.uncoded", service_called=self.service, status=status)
        if status in RETRY_STATUS:
            return Unavailable(self.service)
        return RemoteError(
            RemoteError.code,
            RemoteError.status,
            f"{self.service} answered with status {status} and no code.",
            RemoteError.fix,
        )

    def _headers(self, extra: dict[str, str] | None, caller_token: str | None) -> dict[str, str]:
        headers = {**(extra or {}), trace.HEADER: trace.outgoing()}
        if service := logs.service_name():
            # Whose work it is, for accounts and quotas. It proves nothing: the networks say who can call whom.
            headers[SERVICE_HEADER] = service
        if token := caller_token or _acting_for.get():
            headers[CALLER_HEADER] = token
        return headers

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: AsyncIterable[bytes] | None = None,
        params: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        caller_token: str | None = None,
        idle_s: float = 60.0,
    ) -> AsyncGenerator["EventStream"]:
        """Open a server-sent event stream: `async with client.stream(...) as events: async for event in events`.

        `content` is sent piece by piece, and `events.raw()` gives any other answer the same way.
        Nothing is retried; a silence longer than `idle_s` or a lost connection raises Unavailable.
        """
        import httpx

        timeout = httpx.Timeout(idle_s, connect=min(CONNECT_SECONDS_MAX, self._timeout_s))
        sent = {"accept": "text/event-stream", **self._headers(headers, caller_token)}
        try:
            async with self._http.stream(
                method,
                path,
                json=json,
                content=content,
                params=params,
                headers=sent,
                timeout=timeout,
            ) as response:
                if response.status_code >= 400:
                    raise self._coded(response.status_code, await self._read(response))
                yield EventStream(response)
        except httpx.TransportError as error:
            log.warning(
                "client.stream_lost", service_called=self.service, error_type=type(error).__name__
            )
            raise Unavailable(self.service) from None


class EventStream:
    """The events of one open stream, in order."""

    def __init__(self, response: "httpx.Response") -> None:
        self._response = response
        self.status = response.status_code
        self.headers = dict(response.headers)

    async def __aiter__(self) -> AsyncIterator[ServerEvent]:
        name, data, last_id, size = "message", list[str](), None, 0
        async for line in self._lines():
            size += len(line)
            if size > EVENT_CHARS_MAX:
                raise UpstreamTooLarge(_EVENT_TOO_LARGE)
            if line == "":
                if data:
                    yield ServerEvent(name, "\n".join(data), last_id)
                name, data, size = "message", [], 0
                continue
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
            elif field == "id":
                last_id = value

    async def _lines(self) -> AsyncIterator[str]:
        """Split the stream into lines. httpx's own splitter keeps a line without end in memory for ever."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        held = ""
        async for part in self._response.aiter_bytes():
            held += decoder.decode(part)
            # A carriage return at the very end may be half of a line end: it waits for its other half.
            *lines, held = _LINE_END.split(held)
            for line in lines:
                yield line
            if len(held) > EVENT_CHARS_MAX:
                raise UpstreamTooLarge(_EVENT_TOO_LARGE)

    async def raw(self) -> AsyncIterator[bytes]:
        """The stream's bytes as they come, for passing on unread."""
        async for part in self._response.aiter_raw():
            yield part
