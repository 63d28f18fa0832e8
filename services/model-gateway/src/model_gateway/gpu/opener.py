"""A way over the GPU nodes: ask for a place, wait, send what was granted to the node, hold its answer open.

A place is taken back only before the first byte, and a request is repeated only there: once, on another connection
with the same fence and id, of which a node takes one.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

import aiohttp
from contracts.names import FENCE_HEADER, REQUEST_HEADER
from contracts.scheduling import Ask, Granted
from kit import trace
from kit.errors import KitError

from model_gateway import errors
from model_gateway.call import Call
from model_gateway.catalogue import Leg
from model_gateway.endpoint import Answer, Outgoing
from model_gateway.gpu.link import Link
from model_gateway.gpu.place import Place, Taken
from model_gateway.replies import HttpAnswer, refusal, refuse_compressed
from model_gateway.ways import Way

CONNECT_SECONDS = 5.0
GRANTS_MAX = 16
# After a grant that could not be used at all, the scheduler is asked again, after so many seconds: once where the node
# knew better than it, for then it knows by now; longer where the model's server had just died, which nobody knew yet.
STALE_PAUSES = (0.0,)
NOT_REACHED_PAUSES = (0.1, 0.2, 0.4, 0.8)
# Where there is no other way, a scheduler that starts anew is waited for.
LAST_WAY_PATIENCE_SECONDS = 20.0
# What follows an answer's last byte is read this long, so that its connection can be used again.
REST_SECONDS = 0.05
NODE_ERROR_HEADER = "x-lares-node-error"
# With these the node says that the model has not heard of the request.
NOT_REACHED = "node.model_not_reached"
NOT_SENT = frozenset(
    {
        NOT_REACHED,
        "node.fence_stale",
        "node.instance_unknown",
        "node.instance_not_ready",
        "node.busy",
        "node.leaving",
        "node.disabled",
    }
)
REPEATED = "node.request_repeated"
WayThere = Callable[[], tuple[aiohttp.ClientSession, ssl.SSLContext]]


class NotSent(Exception):
    """The node refused a grant before the model heard of the request."""

    def __init__(self, code: str) -> None:
        self.code = code


class Gpu:
    """Opens answers of GPU nodes."""

    def __init__(
        self,
        link: Link,
        way_there: WayThere,
        proxy: str | None,
    ) -> None:
        self._link = link
        self._way_there = way_there
        self._proxy = proxy

    @property
    def available(self) -> bool:
        """Whether the scheduler is there."""
        return self._link.connected

    @asynccontextmanager
    async def open(self, call: Call, way: Way, outgoing: Outgoing) -> AsyncGenerator[Answer]:
        """Wait for a place, send the request, and hold the node's answer open during the block, its first byte read.

        Raises GpuRefused, GpuUnavailable, QueueTimeout and the kin of BackendFailed before the first byte; GpuLost,
        BackendFailed and BackendTimeout after it.
        """
        attempt = 0
        while True:
            ask = self._ask(call, way, attempt)
            try:
                call.waiting = "waits for a GPU"
                async with self._link.place(ask, call) as place:
                    async with self._granted(place, call, way.leg, outgoing) as answer:
                        yield answer
                return
            except NotSent as refused:
                code = refused.code
            pauses = NOT_REACHED_PAUSES if code == NOT_REACHED else STALE_PAUSES
            if attempt >= len(pauses):
                raise errors.GpuUnavailable(f"The GPU node would not take the request ({code}).")
            await asyncio.sleep(pauses[attempt])
            attempt += 1

    def _ask(self, call: Call, way: Way, attempt: int) -> Ask:
        if way.gpu is None:
            raise AssertionError("a way over the GPU nodes names a model")
        return Ask(
            request_id=call.request_id if attempt == 0 else f"{call.request_id}-{attempt}",
            model=way.gpu,
            service_class=call.terms.service_class,
            caller=call.terms.caller,
            agent=call.terms.agent,
            tier=call.terms.tier,
            prompt_tokens=call.prompt_tokens,
        )

    @asynccontextmanager
    async def _granted(
        self, place: Place, call: Call, leg: Leg, outgoing: Outgoing
    ) -> AsyncGenerator[Answer]:
        """Send the request under a grant; a grant that is taken back is waited for anew."""
        for _ in range(GRANTS_MAX):
            waited_from = time.monotonic()
            granted = await self._wait(place, call, leg.queue_seconds)
            call.queue_seconds += time.monotonic() - waited_from
            try:
                async with self._sent(place, granted, leg, outgoing) as answer:
                    yield answer
                return
            except Taken:
                continue
        raise errors.QueueTimeout(f"The request was set back {GRANTS_MAX} times.", Retry_After="30")

    async def _wait(self, place: Place, call: Call, queue_seconds: float) -> Granted:
        try:
            async with asyncio.timeout(queue_seconds):
                while True:
                    if place.refusal is not None:
                        raise errors.gpu_refused(place.refusal)
                    if place.taken:
                        # Given and taken back before anybody looked: it waits for our word that nothing runs.
                        self._link.ended(place, "preempted", 0.0)
                    if place.grant is not None:
                        return place.grant
                    await self._change(place, call)
        except TimeoutError:
            raise errors.QueueTimeout(
                f"No GPU became free within {queue_seconds:g} s.", Retry_After="10"
            ) from None

    async def _change(self, place: Place, call: Call) -> None:
        if self._link.connected:
            await place.change()
            return
        patience = LAST_WAY_PATIENCE_SECONDS if call.last_way else self._link.grace_seconds
        left = patience - self._link.away_seconds
        call.waiting = "waits for the GPU scheduler"
        try:
            async with asyncio.timeout(max(0.0, left)):
                await place.change()
        except TimeoutError:
            if not self._link.connected:
                raise errors.GpuUnavailable("The GPU scheduler is not answering.") from None

    @asynccontextmanager
    async def _sent(
        self, place: Place, granted: Granted, leg: Leg, outgoing: Outgoing
    ) -> AsyncGenerator[Answer]:
        began, outcome = time.monotonic(), "failed"
        try:
            async with asyncio.timeout(leg.answer_seconds):
                answer, first = await self._first(place, granted, leg, outgoing)
                place.cut_by(answer.close)
                try:
                    yield HttpAnswer(answer, first)
                    outcome = "ok"  # all of it was handed on; many clients go before the connection's own end
                    await _rest(answer)
                finally:
                    place.cut_by(None)
                    answer.close()
        except Taken:
            outcome = "preempted"
            raise
        except (asyncio.CancelledError, GeneratorExit):
            outcome = "ok" if outcome == "ok" else "cancelled"
            raise
        except NotSent:
            outcome = "lost"
            raise
        except TimeoutError as error:
            raise errors.BackendTimeout() from error
        except aiohttp.ClientError as error:
            outcome = "lost"
            raise _broken_off(place, granted) from error
        finally:
            self._link.ended(place, outcome, time.monotonic() - began)

    async def _first(
        self, place: Place, granted: Granted, leg: Leg, outgoing: Outgoing
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """Return the node's answer and its first bytes. Raises Taken or GpuRefused if the scheduler is faster."""
        opening = asyncio.create_task(self._post(place, granted, leg, outgoing))
        given = False
        try:
            while not opening.done():
                changing = asyncio.create_task(place.change())
                try:
                    await asyncio.wait({opening, changing}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    changing.cancel()
                if place.refusal is not None:
                    raise errors.gpu_refused(place.refusal)
                if place.taken:
                    raise Taken
            started = opening.result()
            self._link.began(place)
            given = True
            return started
        finally:
            if not given:
                await _undo(opening)

    async def _post(
        self, place: Place, granted: Granted, leg: Leg, outgoing: Outgoing
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        try:
            answer = await self._send(place, granted, leg, outgoing)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if isinstance(error, aiohttp.ClientConnectorError):
                raise errors.BackendUnavailable(
                    f"The GPU node {granted.node} cannot be reached.", Retry_After="5"
                ) from error
            # A kept connection may be closed by the other end at the very moment it is used again. Nobody knows whether
            # the request arrived: the node does, and takes this fence and id once.
            answer = await self._send(place, granted, leg, outgoing)
        try:
            await _check(answer, granted)
            return answer, await answer.content.readany()
        except BaseException:
            answer.close()
            raise

    async def _send(
        self, place: Place, granted: Granted, leg: Leg, outgoing: Outgoing
    ) -> aiohttp.ClientResponse:
        session, context = self._way_there()
        try:
            return await session.post(
                f"{granted.node_url}{granted.path}/v1{outgoing.path}",
                data=outgoing.data(),
                headers={
                    "content-type": outgoing.content_type,
                    "accept": outgoing.accept,
                    "accept-encoding": "identity",
                    **outgoing.headers,
                    FENCE_HEADER: str(granted.fence),
                    REQUEST_HEADER: place.ask.request_id,
                    trace.HEADER: trace.outgoing(),
                },
                proxy=self._proxy,
                ssl=context,
                # The one name under which this node is believed; never its address.
                server_hostname=granted.tls_name,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=CONNECT_SECONDS, sock_read=leg.silence_seconds
                ),
            )
        except aiohttp.ClientHttpProxyError as error:
            raise errors.BackendUnavailable(
                f"The egress proxy does not reach the GPU node {granted.node} ({error.status}).",
                fix="`make gpu-node` allows a node's address; look whether the node is on.",
            ) from error
        except aiohttp.ConnectionTimeoutError as error:
            raise errors.BackendUnavailable(
                f"The GPU node {granted.node} cannot be reached.", Retry_After="5"
            ) from error


async def _check(answer: aiohttp.ClientResponse, granted: Granted) -> None:
    code = answer.headers.get(NODE_ERROR_HEADER)
    if code in NOT_SENT:
        raise NotSent(code)
    if code == REPEATED:
        raise errors.BackendFailed(f"The GPU node {granted.node} broke off the request.")
    refuse_compressed(answer)
    if answer.status != 200:
        raise await refusal(answer, f"The model on the GPU node {granted.node}")


def _broken_off(place: Place, granted: Granted) -> KitError:
    if place.refusal is not None or place.taken:
        return errors.GpuLost(f"The GPU node {granted.node} went away while it answered.")
    return errors.BackendFailed(
        f"The GPU node {granted.node} broke off in the middle of its answer."
    )


async def _rest(answer: aiohttp.ClientResponse) -> None:
    """Read an answer to its very end, so that its connection can be used again; a server that goes on is cut off."""
    with suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(REST_SECONDS):
            while await answer.content.readany():
                pass


async def _undo(opening: "asyncio.Task[tuple[aiohttp.ClientResponse, bytes]]") -> None:
    opening.cancel()
    [result] = await asyncio.gather(opening, return_exceptions=True)
    if not isinstance(result, BaseException):
        result[0].close()
