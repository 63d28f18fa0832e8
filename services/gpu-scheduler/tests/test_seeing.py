"""A node's line becomes what the core is told: when it was read, what it has, what cannot be started."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from contracts.gpunode import CardReading
from gpu_scheduler.core.model import Phase
from gpu_scheduler.seeing import LINES_REMEMBERED, NodeClock, node_seen

from .a_node import ANode, Running, model

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_a_reading_is_dated_by_the_nodes_clock_and_the_least_delay_that_was_seen() -> None:
    clock = NodeClock()
    assert clock.read_at("b", at(0.0), 100.010) == pytest.approx(100.010)
    # The second line was held up for two seconds: its reading is as old as the node says.
    assert clock.read_at("b", at(1.0), 103.0) == pytest.approx(101.010)


def test_readings_stay_in_order_and_are_never_dated_into_the_future() -> None:
    clock, last = NodeClock(), float("-inf")
    # Lines of one stream arrive in order; the first ones were held up, the last came at once.
    for told, arrived in ((0.0, 100.5), (0.1, 100.5), (0.2, 100.51), (0.52, 100.53), (0.6, 100.6)):
        read_at = clock.read_at("b", at(told), arrived)
        assert last <= read_at <= arrived
        last = read_at


def test_a_clock_set_back_makes_readings_old_and_is_believed_again_after_a_while() -> None:
    clock = NodeClock()
    clock.read_at("b", at(1000), 100.0)
    first = clock.read_at("b", at(0), 101.0)
    assert first == pytest.approx(100.0, abs=0.1), "old, so that it books nothing new"
    for number in range(LINES_REMEMBERED):
        last = clock.read_at("b", at(1 + number), 102.0 + number)
    assert last == pytest.approx(101.0 + LINES_REMEMBERED)


def test_a_node_that_has_started_anew_begins_with_a_new_clock() -> None:
    clock = NodeClock()
    clock.read_at("b", at(1000), 100.0)
    assert clock.read_at("c", at(0), 101.0) == pytest.approx(101.0)


def test_a_line_says_what_there_is() -> None:
    node = ANode().offer(model("small", 4000, can_sleep=True, ram_mib=100, group="g"))
    node.instances["i"] = Running("i", node.models["small"], ("GPU-0",), "ready", 7, in_flight=2)
    event = node_seen(node.state(), 5.0, wakeable=True)
    (card,), (deployment,), (instance,) = event.cards, event.deployments, event.instances
    assert (card.id, card.total_mib, card.used_mib) == ("GPU-0", 24_000, 4300)
    assert card.ours_mib == {"i": 4000}
    assert deployment.key == ("forge", "small")
    assert (deployment.predicted_mib, deployment.peak_mib) == (4000, None)
    assert (deployment.can_sleep, deployment.group, deployment.slots) == (True, "g", 2)
    assert (instance.phase, instance.fence, instance.in_flight) == (Phase.READY, 7, 2)
    assert event.ram_foreign_mib == 3900, "what the model takes of the host is no foreign use"
    assert event.wakeable


def test_what_cannot_be_started_is_not_enabled() -> None:
    node = ANode().offer(
        model("broken", error="the file is missing"), model("unknown", footprint=None)
    )
    event = node_seen(node.state(), 5.0, wakeable=False)
    assert [deployment.enabled for deployment in event.deployments] == [False, False]


def test_a_card_that_could_not_be_read_is_told_as_such() -> None:
    state = ANode().state()
    card = CardReading(
        id="GPU-0", index=0, name="x", vendor="nvidia", total_mib=0, used_mib=0, error="lost"
    )
    event = node_seen(state.model_copy(update={"cards": (card,)}), 5.0, wakeable=False)
    assert event.cards[0].error == "lost"
