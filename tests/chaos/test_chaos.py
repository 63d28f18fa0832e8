"""Things break while a person talks. Everything comes back by itself, no promise is broken, and nobody is left guessing.

The tests run in this order and share one talker; the last two read what it has written down.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
import yaml

from tests.chaos.house import ONE_SHOT, ROOT, House, wait_for
from tests.chaos.talker import Talker

BACK_SECONDS_MAX = 45.0
TALK_SECONDS_MAX = 60.0
HEALTHY_SECONDS_MAX = 90.0
# Killing these cuts the line itself: there is nobody left to say a code.
ON_THE_LINE = frozenset({"caddy", "dashboard"})
MEGABYTE = b"x" * (1024 * 1024)


def all_services() -> list[str]:
    """Return every long-running service of the Compose fragments."""
    found: set[str] = set()
    for fragment in (ROOT / "compose").glob("*.yaml"):
        found |= set((yaml.safe_load(fragment.read_text()) or {}).get("services") or {})
    return sorted(found - ONE_SHOT)


def talks_again(talker: Talker, since: float) -> None:
    """Wait until a fact is kept and an answer is finished that are younger than `since`."""

    def both() -> bool:
        kept, ended = talker.ledger.remembered_at, talker.ledger.answered_at
        return bool(kept and kept[-1] > since and ended and ended[-1] > since)

    wait_for(both, TALK_SECONDS_MAX, f"the house did not talk again; {talker.summary()}")


def uncoded(talker: Talker, since: float, *, line_may_break: bool) -> list[Any]:
    """Return what the person could not have understood: no code at all, or one that says nothing."""
    return [
        trouble
        for trouble in talker.ledger.since(since)
        if trouble.code in ("", "kit.internal") and not (line_may_break and trouble.status == 0)
    ]


@pytest.mark.parametrize("service", all_services())
def test_a_killed_container_comes_back_by_itself_while_a_person_talks(
    house: House, talker: Talker, service: str
):
    begun = time.monotonic()
    before = house.kill(service)
    ready_s = house.back(service, before, BACK_SECONDS_MAX)
    talks_again(talker, time.monotonic())
    house.note(
        f"{service:16s} killed: ready after {ready_s:4.1f} s, talks after {time.monotonic() - begun:4.1f} s"
    )
    assert uncoded(talker, begun, line_may_break=service in ON_THE_LINE) == []


@pytest.mark.parametrize(
    ("service", "codes"),
    [
        ("forward-auth", {"edge.upstream_unavailable"}),
        ("dashboard", {"edge.upstream_unavailable"}),
        ("orchestrator", {"orchestrator.unavailable"}),
        ("memory", {"memory.unavailable", "agents.memory_away"}),
        ("model-gateway", {"agents.model_away"}),
        ("local-llm", {"agents.model_away"}),
        ("postgres", {"data.unavailable", "edge.unavailable"}),
    ],
)
def test_while_a_part_is_away_the_person_reads_which_code(
    house: House, talker: Talker, service: str, codes: set[str]
):
    begun = time.monotonic()
    house.stop(service)
    try:
        told = f"nobody was told that {service} is away"
        wait_for(lambda: bool(codes & {t.code for t in talker.ledger.since(begun)}), 30, told)
    finally:
        house.start(service)
    talks_again(talker, time.monotonic())
    # While it is being stopped a line may still break; once it is away nothing is left to break.
    assert uncoded(talker, begun, line_may_break=True) == []


def test_without_an_embedder_the_house_remembers_and_finds_by_words(house: House, talker: Talker):
    house.stop("embedder")
    begun = time.monotonic()
    try:
        talks_again(talker, begun)
        assert talker.ledger.since(begun) == []
    finally:
        house.start("embedder")


@pytest.mark.parametrize("service", ["postgres", "valkey"])
def test_a_restart_of_a_store_is_survived(house: House, talker: Talker, service: str):
    begun, before = time.monotonic(), house.pid(service)
    house.restart(service)
    house.back(service, before, BACK_SECONDS_MAX)
    talks_again(talker, time.monotonic())
    assert uncoded(talker, begun, line_may_break=False) == []


def test_a_full_valkey_stops_no_person_and_loses_no_event(house: House, talker: Talker):
    # The worker's queues are the only place where a service may put much: fill it as a flood of jobs would.
    keys = [f"memory:celery:chaos:{number}".encode() for number in range(192)]
    try:
        filled = house.valkey(
            "memory_worker",
            "memory-worker",
            b"".join(b"SET " + k + b" " + MEGABYTE + b"\n" for k in keys),
        )
        assert "OOM" in filled, "Valkey never refused: its limit is not on"
        begun = time.monotonic()
        for _ in range(2):
            talks_again(talker, time.monotonic())
        assert talker.ledger.since(begun) == []
        while_full = talker.ledger.facts[-1]
    finally:
        house.valkey("memory_worker", "memory-worker", b"DEL " + b" ".join(keys) + b"\n")

    def embedded() -> bool:
        found = [m for m in talker.do(lambda r: r.memories()) if m["text"] == while_full]
        return len(found) == 1 and found[0]["embedded"]

    wait_for(embedded, 120, "what was told while Valkey was full was never embedded")


def test_nothing_acknowledged_is_lost_and_nothing_is_doubled(talker: Talker):
    talker.hush()
    ledger = talker.ledger
    assert ledger.given_up == [], talker.summary()
    assert len(ledger.facts) >= 20, talker.summary()
    kept = Counter(m["text"] for m in talker.do(lambda r: r.memories()))
    assert [fact for fact in ledger.facts if kept[fact] == 0] == []
    assert {text: count for text, count in kept.items() if count > 1} == {}

    turns: dict[str, Any] = {}
    for conversation in {where for where, _, _ in ledger.turns.values()}:
        shown = talker.do(lambda r, c=conversation: r.conversation(c))
        turns |= {turn["id"]: turn for turn in shown["turns"]}
    assert [turn_id for turn_id in ledger.turns if turn_id not in turns] == []
    for turn_id, (_, status, answer) in ledger.turns.items():
        assert turns[turn_id]["status"] not in ("running", "waiting"), turns[turn_id]
        if status in ("done", "stopped"):
            assert turns[turn_id]["status"] == status
            assert turns[turn_id]["answer"] == answer


def test_every_container_is_healthy_in_the_end(house: House):
    healthy = dict.fromkeys(house.services(), "healthy")
    wait_for(lambda: house.health() == healthy, HEALTHY_SECONDS_MAX, "not everything is healthy")
