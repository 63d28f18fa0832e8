"""One backend: how it is called, and what its refusals mean here."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
from kit import trace
from kit.clock import Clock

from model_gateway import errors
from model_gateway.breaker import Breaker
from model_gateway.call import Call
from model_gateway.catalogue import Backend
from model_gateway.endpoint import Answer, Outgoing
from model_gateway.lane import Lane
from model_gateway.protocols import protocol_of
from model_gateway.replies import REQUEST_AT_FAULT, refusal, refuse_compressed
from model_gateway.ways import Way

CONNECT_TRIES = 3
CONNECT_PAUSE_SECONDS = 0.2
_PROXY_REFUSED = (403, 407)
# Squid's own answers bear it. In plain http they come in the place of the backend's.
PROXY_ERROR_HEADER = "x-squid-error"


class Upstream:
    """A backend with its queue, its breaker and its way there."""

    def __init__(
        self,
        name: str,
        backend: Backend,
        session: aiohttp.ClientSession,
        clock: Clock,
        *,
        proxy: str | None,
        api_key: str | None,
    ) -> None:
        self.name = name
        self.backend = backend
        self.lane = Lane(backend.max_concurrency, backend.queue_max, backend.queue_seconds)
        self.breaker = Breaker(clock)
        self._session = session
        self._clock = clock
        self._proxy = proxy
        self._api_key = api_key
        self._protocol = protocol_of(backend)
        # The session's own check where the backend brings no certificate.
        self._tls = backend.tls() or True

    @property
    def available(self) -> bool:
        """Whether the last calls give no reason to doubt it."""
        return not self.breaker.open

    @asynccontextmanager
    async def open(self, call: Call, way: Way, outgoing: Outgoing) -> AsyncGenerator[Answer]:
        """Wait for a place, send the request, and hold the answer open during the block, its first byte read.

        Leaving the block early closes the connection, which is how a backend learns that nobody listens any more.
        Raises the coded error that says what went wrong; a failure inside the block counts against the backend too.
        """
        async with self._turn(call):
            if not self.breaker.allow():
                raise errors.BackendUnavailable(
                    f"The backend {self.name} failed several times and is left alone for some seconds.",
                    Retry_After="5",
                )
            try:
                async with asyncio.timeout(self.backend.answer_seconds):
                    put = self._protocol.put(way, outgoing)
                    call.sent = True
                    answer = await self._send(put)
                    try:
                        await self._check(answer)
                        yield await self._protocol.read(answer)
                        self.breaker.succeeded()
                    finally:
                        answer.close()
            except (
                errors.BackendUnavailable,
                errors.BackendFailed,
                errors.BackendInvalid,
                errors.BackendTimeout,
            ):
                self.breaker.failed()
                raise
            except TimeoutError as error:
                # aiohttp's own time-outs are TimeoutErrors too: silence and the whole answer's deadline both end here.
                self.breaker.failed()
                raise errors.BackendTimeout() from error
            except aiohttp.ClientError as error:
                self.breaker.failed()
                raise errors.BackendFailed(
                    f"The backend {self.name} broke off in the middle of its answer."
                ) from error

    @asynccontextmanager
    async def _turn(self, call: Call) -> AsyncGenerator[None]:
        waited_from = self._clock.monotonic()
        call.waiting = f"waits for {self.name}"
        try:
            async with self.lane.turn():
                call.waiting = ""
                call.queue_seconds += self._clock.monotonic() - waited_from
                yield
        finally:
            call.waiting = ""

    async def _send(self, outgoing: Outgoing) -> aiohttp.ClientResponse:
        for attempt in range(1, CONNECT_TRIES + 1):
            try:
                return await self._session.post(
                    self.backend.url + outgoing.path,
                    data=outgoing.data(),
                    headers=self._headers(outgoing),
                    proxy=self._proxy,
                    ssl=self._tls,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(
                        total=None,
                        sock_connect=self.backend.connect_seconds,
                        sock_read=self.backend.silence_seconds,
                    ),
                )
            except aiohttp.ClientHttpProxyError as error:
                raise self._proxy_refusal(error.status) from error
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                # Only here is it certain that no byte of the request was sent: whatever fails later is not repeated.
                if attempt == CONNECT_TRIES:
                    raise errors.BackendUnavailable(
                        f"The backend {self.name} cannot be reached.", Retry_After="5"
                    ) from error
                await self._clock.sleep(CONNECT_PAUSE_SECONDS * attempt)
        raise AssertionError("the loop returns or raises")

    def _headers(self, outgoing: Outgoing) -> dict[str, str]:
        headers = {
            "content-type": outgoing.content_type,
            "accept": outgoing.accept,
            "accept-encoding": "identity",
            "user-agent": "lares",
        }
        headers.update(self._protocol.headers(self._api_key))
        headers.update(outgoing.headers)
        if self.backend.in_house:
            # Outside, a trace id would only tell the provider which requests belong together.
            headers[trace.HEADER] = trace.outgoing()
        return headers

    def _proxy_refusal(self, status: int) -> errors.BackendUnavailable:
        if status in _PROXY_REFUSED:
            return errors.BackendUnavailable(
                f"The egress proxy does not let model-gateway reach the backend {self.name}.",
                fix="Allow the backend's host for model-gateway in networks/egress.yaml: a domain, or under lan an address at home.",
            )
        return errors.BackendUnavailable(
            f"The egress proxy could not reach the backend {self.name}.", Retry_After="5"
        )

    async def _check(self, answer: aiohttp.ClientResponse) -> None:
        if self._proxy and self.backend.plain and PROXY_ERROR_HEADER in answer.headers:
            raise self._proxy_refusal(answer.status)
        refuse_compressed(answer)
        if answer.status == 200:
            return
        if answer.status in REQUEST_AT_FAULT:
            # Its own limits and grammar: the request is at fault and the backend is well.
            self.breaker.succeeded()
        raise await refusal(answer, f"The backend {self.name}")
