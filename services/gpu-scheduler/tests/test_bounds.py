"""What is bounded and how it ends: outboxes, rows that wait, answers of nodes and proxies, certificates that are wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from contracts.scheduling import Granted, Offered, OfferedModel, Preempted, Queued
from gpu_scheduler import keeping, session
from gpu_scheduler.authority import client_context
from gpu_scheduler.errors import NodeRefused, SlowReader
from gpu_scheduler.join_store import MemberNode
from gpu_scheduler.keeping import Keeper
from gpu_scheduler.node_http import ANSWER_BYTES_MAX, Unreachable, Way
from gpu_scheduler.numbers import Numbers
from gpu_scheduler.session import Session
from gpu_scheduler.store import QUERIES, Decided, KeptLease, Minute, Store
from kit.clock import Clock, FakeClock
from kit.metrics import Metrics
from kit.pool import Pool
from kit.testing.bus import until
from starlette.websockets import WebSocket

from .a_house import TLS_NAME, Certificates
from .a_node import ANode, Proxy

Answerer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def stuck_socket(sent: list[str] | None = None) -> WebSocket:
    """A connection whose other side reads nothing; or everything, into `sent`."""

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        if sent is None:
            await asyncio.Event().wait()
        else:
            sent.append(message["text"])

    socket = WebSocket({"type": "websocket", "headers": []}, receive, send)
    socket.application_state = socket.client_state = type(socket.client_state).CONNECTED
    return socket


async def test_who_reads_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "SEND_SECONDS_MAX", 0.05)
    slow = Session(stuck_socket())
    slow.send(Preempted(request_id="a", why="x"))
    with pytest.raises(SlowReader):
        await slow.write()


async def test_an_outbox_that_runs_over_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "OUTBOX_MAX", 3)
    slow = Session(stuck_socket())
    for number in range(5):
        slow.send(Preempted(request_id=str(number), why="x"))
    assert isinstance(await slow.ended(), SlowReader)


async def test_places_and_offers_do_not_pile_up_and_no_place_follows_a_grant() -> None:
    sent: list[str] = []
    slow = Session(stuck_socket(sent))
    for number in range(1, 1000):
        slow.send(Queued(request_id="a", position=number, why="x"))
        slow.send(Queued(request_id="b", position=number, why="x"))
        model = OfferedModel(
            model=f"m{number}", kind="chat", available=True, resident=False, max_tier="sacred"
        )
        slow.send(Offered(models=(model,)))
    granted = Granted(
        request_id="a", node="n", node_url="https://n", tls_name="n", instance_id="i", path="/x",
        fence=1, waited_seconds=0, why="x",
    )  # fmt: skip
    slow.send(granted)
    task = asyncio.create_task(slow.write())
    await until(lambda: len(sent) == 3)
    task.cancel()
    assert '"type":"granted"' in sent[0]
    assert '"m999"' in sent[1]
    assert '"request_id":"b","position":999' in sent[2]


# What nodes and proxies answer.


@asynccontextmanager
async def proxy_that(answer: Answerer) -> AsyncGenerator[str]:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def member(port: int = 8443, tls_name: str = TLS_NAME) -> MemberNode:
    now = datetime.now(UTC)
    return MemberNode("forge", "127.0.0.1", port, tls_name, False, "f", now, now, now)


def way(proxy: str, certificates: Certificates) -> Way:
    context = client_context(certificates.authority, certificates.client, certificates.client_key)
    return Way(proxy, context)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 403 Forbidden\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nthis is no TLS at all",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"x" * 100_000,
    ],
)
async def test_a_proxy_that_does_not_let_through_is_an_unreachable_node(
    answer: bytes, certificates: Certificates
) -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with proxy_that(say) as url:
        with pytest.raises(Unreachable):
            await way(url, certificates).call(member(), "GET", "/", None, 2.0)


async def test_a_proxy_that_is_not_there_or_silent_is_an_unreachable_node(
    certificates: Certificates,
) -> None:
    async def be_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with proxy_that(be_silent) as url:
        with pytest.raises(Unreachable):
            await way(url, certificates).call(member(), "GET", "/", None, 0.1)
    with pytest.raises(Unreachable):
        await way("http://127.0.0.1:1", certificates).call(member(), "GET", "/", None, 2.0)


@asynccontextmanager
async def tls_node_that(
    certificates: Certificates, answer: Answerer
) -> AsyncGenerator[tuple[Way, MemberNode]]:
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=certificates.server())
    async with Proxy().serving() as proxy:
        try:
            port = server.sockets[0].getsockname()[1]
            yield way(f"http://127.0.0.1:{proxy.port}", certificates), member(port)
        finally:
            server.close()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", Unreachable),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", Unreachable),
        (b"not http\r\n\r\n", Unreachable),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000, NodeRefused),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + b"x" * (ANSWER_BYTES_MAX * 4),
            NodeRefused,
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Unreachable),
    ],
)
async def test_no_answer_of_a_node_is_taken_beyond_its_bounds(
    answer: bytes, error: type[Exception], certificates: Certificates
) -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with tls_node_that(certificates, say) as (to, node):
        with pytest.raises(error):
            await to.call(node, "POST", "/v1/actions", b"{}", 3.0)


async def test_a_whole_answer_is_read_in_pieces(certificates: Certificates) -> None:
    asked: list[bytes] = []

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(2))
        for piece in (
            b"HTTP/1.1 202 Acc",
            b"epted\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"2\r\n{}",
            b"\r\n0\r\n\r\n",
        ):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        writer.close()

    async with tls_node_that(certificates, say) as (to, node):
        assert await to.call(node, "POST", "/v1/actions", b"{}", 3.0) == (202, b"{}")
    assert asked[0].startswith(b"POST /v1/actions HTTP/1.1\r\nHost: 127.0.0.1:")
    assert asked[0].endswith(b"Content-Length: 2\r\n\r\n{}")


async def test_a_node_that_shows_another_certificate_is_not_believed(
    certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = Certificates(tmp_path_factory.mktemp("stranger"))
    for context in (
        certificates.server(tls_name="forge-ffffffff.node.lares"),  # of an earlier joining
        stranger.server(),  # of another house
    ):
        node = ANode()
        async with node.serving(context), Proxy().serving() as proxy:
            to = way(f"http://127.0.0.1:{proxy.port}", certificates)
            with pytest.raises(Unreachable):
                await to.call(member(node.port), "GET", "/v1/events", None, 2.0)
            assert node.listeners == 0


# What waits for Postgres.


@pytest.fixture
def numbers() -> Numbers:
    return Numbers(Metrics("gpu-scheduler", "inference"))


def decided(why: str) -> Decided:
    return Decided(datetime.now(UTC), "start", "m on n", why)


def minute(at: datetime) -> Minute:
    return Minute("GPU-0", at, "forge", 24_000, 1, 2, None, None, [{"what": "free", "mib": 3}])


@pytest.mark.integration
async def test_what_was_noted_while_postgres_was_away_is_written_when_it_is_back(
    pg: Any, numbers: Numbers
) -> None:
    async with await Pool.open(pg.database("svc_gpu_scheduler"), max_size=1, wait_s=0.3) as pool:
        store = Store(pool)
        keeper = Keeper(store, Clock(), numbers, 7)
        await asyncio.to_thread(pg.container.kill)
        keeper.peak(("n", "m", "ab" * 16), 4000)
        keeper.order("paused", "", enabled=True)
        for number in range(5):
            keeper.decided(decided(f"{number}"))
        keeper.minute(minute(datetime.now(UTC)))
        task = asyncio.create_task(keeper.run())
        await asyncio.sleep(1.5)
        assert keeper.waiting == 8
        await asyncio.to_thread(pg.container.start)
        await asyncio.to_thread(pg.wait)
        await until(lambda: keeper.waiting == 0, 20)
        task.cancel()
        assert await store.peaks() == {("n", "m", "ab" * 16): 4000}
        assert await store.orders() == [("paused", "", True)]
        later = datetime.now(UTC) + timedelta(seconds=5)
        assert [one.why for one in await store.decisions(later, 10)] == list("43210")


async def test_rows_that_wait_too_long_give_way_to_newer_ones(
    clock: FakeClock, numbers: Numbers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "NAMES_MAX", 2)
    keeper = Keeper(Store(None), clock, numbers, 7)  # type: ignore[arg-type]
    for number in range(keeping.ROWS_MAX + 10):
        keeper.decided(decided(str(number)))
        keeper.peak(("n", str(number), "f"), 1)
        keeper.renewed(str(number))
    assert keeper.waiting == keeping.ROWS_MAX + 2 + 2
    assert numbers.dropped_rows.labels("decision")._value.get() == 10


@pytest.mark.integration
async def test_of_a_span_of_minutes_the_fullest_of_each_card_is_shown(pg: Any) -> None:
    begin = datetime(2026, 5, 1, 10, 0, tzinfo=UTC)
    kept = [
        replace(minute(begin + timedelta(minutes=number)), card=card, used_mib=used)
        for card, sizes in (("GPU-0", (5, 9, 7, 1, 2)), ("GPU-1", (3, 3, 3)))
        for number, used in enumerate(sizes)
    ]
    async with await Pool.open(pg.database("svc_gpu_scheduler"), max_size=1) as pool:
        store = Store(pool)
        await store.keep_minutes(kept)
        until_ = begin + timedelta(hours=1)
        found = await store.minutes(begin, until_, None, 100, 3)
        assert [(one.card, one.at.minute, one.used_mib) for one in found] == [
            ("GPU-1", 0, 3),
            ("GPU-0", 1, 9),
            ("GPU-0", 4, 2),
        ]
        assert len(await store.minutes(begin, until_, "GPU-0", 100)) == 5


@pytest.mark.integration
async def test_a_peak_only_grows_and_the_past_is_forgotten(pg: Any, numbers: Numbers) -> None:
    async with await Pool.open(pg.database("svc_gpu_scheduler"), max_size=1) as pool:
        store, key = Store(pool), ("n", "m", "ab" * 16)
        await store.keep_peaks({key: 4000})
        await store.keep_peaks({key: 3000})
        assert await store.peaks() == {key: 4000}
        now = datetime.now(UTC)
        await store.keep_minutes([minute(now - timedelta(days=8)), minute(now), minute(now)])
        old = Decided(now - timedelta(days=8), "stop", "m", "old")
        await store.keep_decisions(1, [old, decided("new")])
        await store.forget(7)
        found = await store.minutes(now - timedelta(days=30), now + timedelta(days=1), None, 100)
        assert len(found) == 1
        assert [one.why for one in await store.decisions(now + timedelta(days=1), 9)] == ["new"]


@pytest.mark.integration
async def test_epochs_grow_and_a_kept_lease_comes_back_as_it_was(pg: Any) -> None:
    async with await Pool.open(pg.database("svc_gpu_scheduler"), max_size=1) as pool:
        store = Store(pool)
        assert await store.next_epoch() < await store.next_epoch()
        lease = KeptLease(
            "l1", "service:x", None, "p", "batch", None, 100, "n", "GPU-0", None, 7, 30.0
        )
        await store.keep_lease(lease)
        assert await store.leases() == [lease]
        await store.renew_leases(["l1", "nobody"])
        await store.end_leases(["l1", "nobody"])
        assert await store.leases() == []


@pytest.mark.integration
async def test_every_statement_can_be_prepared_by_the_role_that_runs_it(pg: Any) -> None:
    connection = await pg.connect("svc_gpu_scheduler")
    try:
        for query in QUERIES.values():
            await connection.prepare(str(query))
    finally:
        await connection.close()
