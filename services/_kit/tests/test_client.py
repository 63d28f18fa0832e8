"""Calls between services, against a real server on a real socket: what is repeated, bounded, passed on, and given up."""

import asyncio
import io
import json
import logging
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from kit import logs, trace
from kit.client import RemoteError, ServiceClient, Unavailable, UpstreamTooLarge, act_for
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route


@dataclass
class Peer:
    """Another service: answers as told, and remembers what it was asked."""

    url: str = ""
    seen: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    answers: list[Response] = field(default_factory=list)

    async def any(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        self.seen.append({"method": request.method, **dict(request.headers)})
        return self.answers.pop(0) if self.answers else JSONResponse({"said": "ok"})

    async def slow(self, _: Request) -> Response:
        await asyncio.sleep(30)
        return Response()

    async def events(self, _: Request) -> Response:
        async def body() -> AsyncIterator[str]:
            yield ": hello\n\n"
            yield 'event: stage\ndata: {"name": "plan"}\n\n'
            yield "id: 7\r\ndata: one\r\n"
            yield "data: two\r\n\r\n"

        return StreamingResponse(body(), media_type="text/event-stream")

    async def endless(self, _: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b"data: " + b"x" * 65536

        return StreamingResponse(body(), media_type="text/event-stream")


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    made = Peer()
    routes = [
        Route("/slow", made.slow),
        Route("/events", made.events),
        Route("/endless", made.endless),
        Route("/{path:path}", made.any, methods=["GET", "POST", "DELETE"]),
    ]
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    made.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(Starlette(routes=routes), log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.01)
    yield made
    server.should_exit = True
    await task


@pytest.fixture
async def client(peer: Peer) -> AsyncIterator[ServiceClient]:
    async with ServiceClient("memory", peer.url, timeout_s=3, body_bytes_max=10_000) as made:
        yield made


def coded(status: int, code: str) -> Response:
    body = {"error": {"code": code, "reason": "r", "fix": "f", "correlation_id": "c"}}
    return JSONResponse(body, status_code=status)


async def test_an_answer_is_returned_whole(client: ServiceClient) -> None:
    reply = await client.get("/v1/memories", params={"limit": 3})
    assert reply.status == 200
    assert reply.json() == {"said": "ok"}


async def test_the_trace_and_the_caller_travel_with_the_call(
    client: ServiceClient, peer: Peer
) -> None:
    with trace.use(None) as here:
        act_for("token-of-ada")
        await client.get("/x")
        await client.get("/x", caller_token="token-of-grace")
    assert peer.seen[0]["traceparent"].split("-")[1] == here.trace_id
    assert peer.seen[0]["x-lares-caller"] == "token-of-ada"
    assert peer.seen[1]["x-lares-caller"] == "token-of-grace"


async def test_a_coded_error_is_passed_on_as_it_came(client: ServiceClient, peer: Peer) -> None:
    peer.answers = [coded(403, "memory.tier_denied")]
    with pytest.raises(RemoteError) as raised:
        await client.get("/x")
    assert raised.value.body()["error"]["code"] == "memory.tier_denied"
    assert (raised.value.status, raised.value.reason, raised.value.fix) == (403, "r", "f")
    assert len(peer.seen) == 1


async def test_a_read_is_repeated_when_the_service_is_briefly_down(
    client: ServiceClient, peer: Peer
) -> None:
    peer.answers = [coded(503, "data.unavailable"), coded(503, "data.unavailable")]
    assert (await client.get("/x")).json() == {"said": "ok"}
    assert len(peer.seen) == 3


async def test_repeating_ends_and_the_last_answer_counts(client: ServiceClient, peer: Peer) -> None:
    peer.answers = [coded(503, "data.unavailable") for _ in range(9)]
    with pytest.raises(RemoteError, match="data.unavailable"):
        await client.get("/x")
    assert len(peer.seen) == 3


async def test_a_write_is_never_repeated(client: ServiceClient, peer: Peer) -> None:
    peer.answers = [coded(503, "data.unavailable")]
    with pytest.raises(RemoteError, match="data.unavailable"):
        await client.post("/x", json={})
    assert len(peer.seen) == 1


async def test_a_write_with_an_idempotency_key_is_repeated(
    client: ServiceClient, peer: Peer
) -> None:
    peer.answers = [coded(503, "data.unavailable")]
    await client.post("/x", json={}, headers={"Idempotency-Key": "k1"})
    assert [seen["idempotency-key"] for seen in peer.seen] == ["k1", "k1"]


async def test_an_error_without_a_code_becomes_one(client: ServiceClient, peer: Peer) -> None:
    peer.answers = [Response("<html>oops</html>", status_code=500)]
    with pytest.raises(RemoteError) as raised:
        await client.get("/x")
    assert (raised.value.code, raised.value.status) == ("kit.upstream_failed", 502)
    assert "oops" not in json.dumps(raised.value.body())


async def test_a_service_that_is_away_is_unavailable_by_its_name() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        async with ServiceClient("memory", url, timeout_s=2) as client:
            with pytest.raises(Unavailable) as raised:
                await client.post("/x", json={})
    assert raised.value.code == "memory.unavailable"
    assert raised.value.status == 503
    assert raised.value.headers == {"Retry-After": "2"}


async def test_a_service_that_is_slow_is_given_up_in_time(client: ServiceClient) -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(Unavailable):
        await client.get("/slow", timeout_s=0.3)
    assert loop.time() - begun < 1.5


async def test_an_answer_larger_than_the_bound_is_refused(
    client: ServiceClient, peer: Peer
) -> None:
    peer.answers = [Response(b"x" * 20_000)]
    with pytest.raises(UpstreamTooLarge):
        await client.get("/x")


async def test_redirects_are_not_followed(client: ServiceClient, peer: Peer) -> None:
    peer.answers = [Response(status_code=302, headers={"location": "http://127.0.0.1:1/"})]
    assert (await client.get("/x")).status == 302


async def test_what_is_not_json_is_a_coded_error(client: ServiceClient, peer: Peer) -> None:
    peer.answers = [Response("plain")]
    reply = await client.get("/x")
    with pytest.raises(RemoteError, match="upstream_failed"):
        reply.json()


async def test_events_arrive_in_order_with_their_parts(client: ServiceClient) -> None:
    async with client.stream("GET", "/events") as events:
        got = [event async for event in events]
    assert [(event.event, event.data, event.id) for event in got] == [
        ("stage", '{"name": "plan"}', None),
        ("message", "one\ntwo", "7"),
    ]
    assert got[0].json() == {"name": "plan"}


async def test_a_stream_can_be_passed_on_unread(client: ServiceClient) -> None:
    async with client.stream("GET", "/events") as events:
        raw = b"".join([part async for part in events.raw()])
    assert raw.startswith(b": hello\n\nevent: stage\n")


async def test_a_body_can_be_passed_on_piece_by_piece(client: ServiceClient, peer: Peer) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"one ", b"two"):
            yield piece

    async with client.stream(
        "POST", "/things", content=pieces(), headers={"content-length": "7"}
    ) as answer:
        assert answer.status == 200
    assert peer.bodies == [b"one two"]
    assert peer.seen[0]["content-length"] == "7"
    assert "transfer-encoding" not in peer.seen[0]


async def test_an_event_without_end_is_cut(client: ServiceClient) -> None:
    async def drain() -> Any:
        async with client.stream("GET", "/endless") as events:
            return [event async for event in events]

    with pytest.raises(UpstreamTooLarge):
        await asyncio.wait_for(drain(), 10)


async def test_a_refused_stream_raises_the_coded_error(client: ServiceClient, peer: Peer) -> None:
    peer.answers = [coded(409, "agents.busy")]
    with pytest.raises(RemoteError, match="agents.busy"):
        async with client.stream("POST", "/turns", json={}):
            pytest.fail("a refused stream was opened")


async def test_a_silent_stream_is_given_up(client: ServiceClient) -> None:
    with pytest.raises(Unavailable):
        async with client.stream("GET", "/slow", idle_s=0.2):
            pytest.fail("a silent stream was opened")


async def test_a_call_says_which_service_makes_it(peer: Peer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    async with ServiceClient("peer", peer.url) as client:
        await client.get("/x")
        logs.setup("memory-worker", stream=io.StringIO())
        await client.get("/x")
    assert [seen.get("x-lares-service") for seen in peer.seen] == [None, "memory-worker"]
