"""The trace id is what a person quotes when something failed: it must survive every hop, and be refused when malformed."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import trace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

HEADER = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
hexadecimal = st.text("0123456789abcdef", min_size=1)


def test_a_header_survives_being_read_and_written() -> None:
    parsed = trace.parse(HEADER)
    assert parsed is not None
    assert parsed.header == HEADER


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "garbage",
        HEADER.upper(),
        HEADER + "-00",
        HEADER.replace("00-", "ff-", 1),
        HEADER.replace("a" * 32, "0" * 32),
        HEADER.replace("b" * 16, "0" * 16),
        HEADER + "\n",
    ],
)
def test_a_malformed_header_is_ignored(header: str | None) -> None:
    assert trace.parse(header) is None


@given(st.text(max_size=80))
def test_no_header_breaks_the_parser(header: str) -> None:
    parsed = trace.parse(header)
    assert parsed is None or parsed.header == header


def test_a_child_keeps_the_journey_and_changes_the_hop() -> None:
    parent = trace.new()
    child = parent.child()
    assert child.trace_id == parent.trace_id
    assert child.span_id != parent.span_id


def test_outside_of_a_trace_something_is_still_sent() -> None:
    assert trace.current() is None
    assert trace.parse(trace.outgoing()) is not None


def test_use_ends_with_its_block() -> None:
    with trace.use(None) as here:
        assert trace.current() == here
        assert trace.correlation_id() == here.trace_id
    assert trace.current() is None


async def test_the_middleware_continues_the_callers_trace_and_answers_with_its_id() -> None:
    async def show(_: Request) -> JSONResponse:
        return JSONResponse({"outgoing": trace.outgoing()})

    app = Starlette(routes=[Route("/", show)])
    app.add_middleware(trace.TraceMiddleware)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://house"
    ) as client:
        told = await client.get("/", headers={"traceparent": HEADER})
        begun = await client.get("/", headers={"traceparent": "nonsense"})
    assert told.json()["outgoing"].split("-")[1] == "a" * 32
    assert told.headers["x-correlation-id"] == "a" * 32
    assert len(begun.headers["x-correlation-id"]) == 32
    assert begun.headers["x-correlation-id"] != "a" * 32
