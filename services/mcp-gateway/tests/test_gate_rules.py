"""Which scope a message needs, and how often a token may ask."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_gateway.domain import (
    BUCKETS_MAX,
    LOOK,
    MANAGE,
    READ,
    SCOPE_OF_TOOL,
    WRITE,
    Allowance,
    needed_scopes,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["method", "params", "name"]), inner)
    ),
    max_leaves=12,
)


def call(name: Any) -> dict[str, Any]:
    return {"method": "tools/call", "params": {"name": name}}


@pytest.mark.parametrize(("tool", "scope"), sorted(SCOPE_OF_TOOL.items()))
def test_a_call_needs_its_tools_scope_alone_or_in_a_batch(tool: str, scope: str) -> None:
    assert needed_scopes(call(tool)) == {scope}
    assert needed_scopes([{"method": "ping"}, call(tool)]) == {scope}


def test_a_batch_needs_every_scope_of_its_parts() -> None:
    assert needed_scopes([call("recall"), call("remember")]) == {READ, WRITE}


def test_whatever_changes_something_needs_the_writing_scope() -> None:
    assert {tool for tool, scope in SCOPE_OF_TOOL.items() if scope == WRITE} == {
        "remember",
        "supersede_memory",
        "forget_memory",
    }
    assert {tool for tool, scope in SCOPE_OF_TOOL.items() if scope == MANAGE} == {
        "load_model",
        "unload_model",
    }


@given(JSON)
def test_no_message_however_odd_breaks_the_decision(body: Any) -> None:
    assert needed_scopes(body) <= {READ, WRITE, LOOK, MANAGE}


@given(st.lists(st.floats(0, 5), min_size=1, max_size=200))
def test_a_token_never_gets_more_than_its_burst_and_its_rate(pauses: list[float]) -> None:
    allowance = Allowance(per_minute=60, burst=10, at_once=4)
    now = 0.0
    taken = 0
    for pause in pauses:
        now += pause
        taken += allowance.wait_seconds("a", now) == 0
    assert taken <= 10 + now + 1e-6


def test_who_waited_as_told_may_go_on() -> None:
    allowance = Allowance(per_minute=60, burst=2, at_once=4)
    assert allowance.wait_seconds("a", 0) == 0
    assert allowance.wait_seconds("a", 0) == 0
    wait = allowance.wait_seconds("a", 0)
    assert wait > 0
    assert allowance.wait_seconds("a", wait + 0.001) == 0
    assert allowance.wait_seconds("b", 0) == 0, "another token paid for it"


def test_no_more_than_allowed_are_under_way_at_once() -> None:
    allowance = Allowance(per_minute=60, burst=60, at_once=2)
    assert [allowance.enter("a", 0) for _ in range(3)] == [True, True, False]
    allowance.leave("a")
    assert allowance.enter("a", 0) is True


def test_a_flood_of_tokens_takes_bounded_memory() -> None:
    allowance = Allowance(per_minute=60, burst=60, at_once=2)
    for number in range(BUCKETS_MAX * 2):
        allowance.wait_seconds(str(number), 0)
    assert len(allowance._buckets) == BUCKETS_MAX
