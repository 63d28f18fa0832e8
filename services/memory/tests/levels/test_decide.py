"""The plan loses nothing, doubles nothing, ends where it says, and ends there too when it is cut off and begun again."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory.levels.decay import STRENGTH_MAX
from memory.levels.decide import (
    WORDS,
    Item,
    Kind,
    Move,
    Pair,
    Snapshot,
    Why,
    after,
    joined,
    next_for,
    plan,
    score,
)
from memory.levels.plan import LEVELS, LIMITS, Limits

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
TIERS = ("convenience", "sensitive")
# Small enough that spilling happens in every other example.
TIGHT = replace(
    LIMITS,
    levels={
        name: replace(level, capacity=3, tokens_max=level.tokens_max and 50)
        for name, level in LEVELS.items()
    },
)

times = st.datetimes(datetime(2026, 1, 1), datetime(2026, 7, 1), timezones=st.just(UTC))


@st.composite
def items(draw: st.DrawFn) -> Item:
    level = draw(st.sampled_from(sorted(LEVELS)))
    passing = level in ("session", "working")
    archived = level == "knowledge" and draw(st.booleans())
    return Item(
        id=UUID(int=draw(st.integers(1, 40))),
        tier=draw(st.sampled_from(TIERS)),
        namespace=draw(st.sampled_from(("home", "work"))),
        level=level,
        strength=draw(st.floats(0, STRENGTH_MAX)),
        accesses=draw(st.integers(0, 14)),
        accessed_at=draw(times),
        created_at=draw(times),
        expires_at=draw(st.none() | times) if passing else None,
        archived_at=draw(times) if archived else None,
        tokens=draw(st.integers(1, 40)) if level == "identity" else 0,
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    found = draw(st.lists(items(), max_size=24, unique_by=lambda item: item.id))
    idents = [item.id for item in found]
    pairs: list[Pair] = []
    if idents:
        ident = st.sampled_from(idents)
        pairs = draw(st.lists(st.builds(Pair, ident, ident, st.floats(0.9, 1.0)), max_size=8))
    return Snapshot(tuple(found), tuple(pairs))


limits = st.sampled_from((LIMITS, TIGHT))


def carry_out(world: Snapshot, moves: list[Move], by: Limits) -> tuple[Snapshot, dict[UUID, UUID]]:
    """Do what the moves say, as rows: a merged memory's row is gone, and its id is kept beside the one it joined."""
    rows = {item.id: item for item in world.items}
    gone: dict[UUID, UUID] = {}
    for move in moves:
        item = rows[move.id]
        assert item.level == move.from_level
        if move.into is None:
            rows[move.id] = after(item, move, NOW, by)
        else:
            rows[move.into] = joined(rows[move.into], item, NOW)
            del rows[move.id]
            gone[move.id] = move.into
    return replace(world, items=tuple(rows.values())), gone


def by_id(world: Snapshot) -> dict[UUID, Item]:
    return {item.id: item for item in world.items}


@given(snapshots(), limits)
def test_no_memory_is_lost_and_none_is_doubled(world: Snapshot, by: Limits) -> None:
    end, gone = carry_out(world, plan(world, NOW, by), by)
    counted = Counter([*by_id(end), *gone])
    assert counted == Counter(item.id for item in world.items)
    assert all(into in by_id(end) or into in gone for into in gone.values())


@given(snapshots(), limits)
def test_planning_twice_is_planning_once(world: Snapshot, by: Limits) -> None:
    end, _ = carry_out(world, plan(world, NOW, by), by)
    assert plan(end, NOW, by) == []


@settings(max_examples=200)
@given(snapshots(), limits, st.lists(st.integers(0, 6), max_size=4))
def test_a_crash_between_any_two_steps_ends_at_the_same_place(
    world: Snapshot, by: Limits, cuts: list[int]
) -> None:
    whole, gone = carry_out(world, plan(world, NOW, by), by)
    interrupted, lost = world, {}
    for cut in cuts:
        interrupted, more = carry_out(interrupted, plan(interrupted, NOW, by)[:cut], by)
        lost |= more
    interrupted, more = carry_out(interrupted, plan(interrupted, NOW, by), by)
    assert by_id(interrupted) == by_id(whole)
    assert lost | more == gone


@given(snapshots(), limits)
def test_the_order_in_which_memories_are_seen_does_not_matter(world: Snapshot, by: Limits) -> None:
    turned = Snapshot(tuple(reversed(world.items)), tuple(reversed(world.pairs)))
    assert plan(turned, NOW, by) == plan(world, NOW, by)


@given(snapshots(), limits)
def test_every_level_ends_within_what_it_holds(world: Snapshot, by: Limits) -> None:
    end, _ = carry_out(world, plan(world, NOW, by), by)
    active = Counter(item.level for item in end.items if item.active)
    assert all(count <= by.capacity(level) for level, count in active.items())
    for tier in TIERS:
        always = [i for i in end.items if i.active and i.level == "identity" and i.tier == tier]
        assert sum(each.tokens for each in always) <= (by.levels["identity"].tokens_max or 0)


@given(snapshots(), limits)
def test_nothing_crosses_a_tier_or_a_namespace(world: Snapshot, by: Limits) -> None:
    moves = plan(world, NOW, by)
    before = by_id(world)
    for move in moves:
        assert (move.tier, move.namespace) == (before[move.id].tier, before[move.id].namespace)
        if move.into is not None:
            assert (move.tier, move.namespace) == (
                before[move.into].tier,
                before[move.into].namespace,
            )


@given(snapshots(), limits)
def test_every_move_says_why_in_words_and_scores_within_bounds(world: Snapshot, by: Limits) -> None:
    for move in plan(world, NOW, by):
        assert move.why == WORDS[move.reason]
        assert 0.0 <= move.score <= 1.0


@given(snapshots())
def test_an_archived_memory_stays_archived_unless_it_is_used(world: Snapshot) -> None:
    quiet = tuple(
        replace(item, accessed_at=min(item.accessed_at, item.archived_at))
        if item.archived_at
        else item
        for item in world.items
    )
    archived = {item.id for item in quiet if not item.active}
    assert not archived & {move.id for move in plan(Snapshot(quiet), NOW)}


def item(level: str, **changed: object) -> Item:
    told: dict[str, object] = {
        "id": UUID(int=1),
        "tier": "convenience",
        "namespace": "home",
        "level": level,
        "strength": 1.0,
        "accesses": 0,
        "accessed_at": NOW,
        "created_at": NOW - timedelta(minutes=5),
        "expires_at": LIMITS.expires_at(level, NOW),
    }
    return Item(**{**told, **changed})  # type: ignore[arg-type]


def kinds(*found: Item, pairs: tuple[Pair, ...] = (), by: Limits = LIMITS) -> list[tuple[str, str]]:
    return [(move.kind.value, move.to_level) for move in plan(Snapshot(found, pairs), NOW, by)]


def test_two_accesses_take_a_session_memory_to_working() -> None:
    assert kinds(item("session", accesses=1)) == []
    assert kinds(item("session", accesses=2)) == [("promoted", "working")]


def test_five_accesses_take_a_working_memory_to_episodic() -> None:
    assert kinds(item("working", accesses=4)) == []
    assert kinds(item("working", accesses=5)) == [("promoted", "episodic")]


def test_a_session_memory_with_five_accesses_goes_through_working_to_episodic() -> None:
    assert kinds(item("session", accesses=5)) == [("promoted", "working"), ("promoted", "episodic")]


@pytest.mark.parametrize("level", ["session", "working"])
def test_what_nobody_used_until_its_time_was_up_is_archived_and_kept(level: str) -> None:
    late = item(level, expires_at=NOW - timedelta(seconds=1))
    assert kinds(late) == [("expired", "knowledge")]
    assert kinds(item(level, expires_at=NOW + timedelta(seconds=1))) == []
    move = plan(Snapshot((late,)), NOW)[0]
    assert move.reason is Why.TIME_UP
    assert after(late, move, NOW).archived_at == NOW


def test_an_episodic_memory_that_faded_is_archived() -> None:
    old = item("episodic", accessed_at=NOW - timedelta(days=24))
    assert kinds(old) == [("archived", "knowledge")]
    assert kinds(replace(old, accessed_at=NOW - timedelta(days=22))) == []


def test_an_episodic_memory_that_keeps_coming_back_becomes_knowledge() -> None:
    lasting = item("episodic", accesses=10, strength=4.0, created_at=NOW - timedelta(days=8))
    assert kinds(lasting) == [("promoted", "knowledge")]
    assert kinds(replace(lasting, created_at=NOW - timedelta(days=6))) == []
    assert kinds(replace(lasting, accesses=9)) == []
    assert kinds(replace(lasting, strength=2.9)) == []


def test_what_became_episodic_begins_to_fade_at_that_moment() -> None:
    lagging = item("working", accesses=5, accessed_at=NOW - timedelta(days=60))
    assert kinds(lagging) == [("promoted", "episodic")]


def test_an_archived_memory_that_is_used_again_returns() -> None:
    archived = item(
        "knowledge", archived_at=NOW - timedelta(days=3), accessed_at=NOW - timedelta(days=1)
    )
    assert kinds(replace(archived, strength=2.3)) == [("restored", "knowledge")]
    assert kinds(replace(archived, strength=1.4)) == []


def test_near_duplicates_become_the_older_one_with_the_better_level() -> None:
    older = item("working", id=UUID(int=2), created_at=NOW - timedelta(hours=1), accesses=1)
    younger = item("knowledge", id=UUID(int=3), strength=2.0)
    moves = plan(Snapshot((older, younger), (Pair(older.id, younger.id, 0.99),)), NOW)
    assert [(move.kind, move.id, move.into) for move in moves] == [
        (Kind.MERGED, younger.id, older.id)
    ]
    merged = joined(older, younger, NOW)
    assert (merged.level, merged.accesses, merged.strength) == ("knowledge", 1, 2.0)
    assert merged.expires_at is None


def test_the_uses_of_both_count_for_what_they_became() -> None:
    one = item("session", id=UUID(int=2), accesses=1)
    other = item("session", id=UUID(int=3), accesses=1)
    found = kinds(one, other, pairs=(Pair(one.id, other.id, 0.99),))
    assert found == [("merged", "session"), ("promoted", "working")]


@pytest.mark.parametrize(
    "changed", [{"tier": "sensitive"}, {"namespace": "work"}, {"level": "identity"}]
)
def test_a_memory_joins_none_of_another_tier_or_namespace_and_none_of_identity(
    changed: dict[str, str],
) -> None:
    one, other = item("knowledge"), replace(item("knowledge", id=UUID(int=2)), **changed)
    assert kinds(one, other, pairs=(Pair(one.id, other.id, 1.0),)) == []


def test_a_full_level_gives_up_its_weakest_first() -> None:
    held = [
        item("episodic", id=UUID(int=number), accesses=number, strength=1 + number / 10)
        for number in range(1, 6)
    ]
    moves = plan(Snapshot(tuple(held)), NOW, TIGHT)
    assert [move.id.int for move in moves] == [1, 2]
    assert {move.reason for move in moves} == {Why.LEVEL_FULL}
    assert score(held[0], NOW) < score(held[4], NOW)


def test_what_was_counted_beyond_the_snapshot_counts_for_the_capacity() -> None:
    held = item("episodic")
    assert kinds(held, by=TIGHT) == []
    full = Snapshot((held,), occupancy={"episodic": 4})
    assert [move.kind for move in plan(full, NOW, TIGHT)] == [Kind.ARCHIVED]


def test_identity_over_its_tokens_gives_its_weakest_to_knowledge() -> None:
    strong = item("identity", id=UUID(int=2), strength=4.0, tokens=40)
    weak = item("identity", id=UUID(int=3), tokens=30)
    moves = plan(Snapshot((strong, weak)), NOW, TIGHT)
    assert [(move.kind, move.id, move.to_level) for move in moves] == [
        (Kind.DEMOTED, weak.id, "knowledge")
    ]
    assert after(weak, moves[0], NOW).active


@given(items(), st.timedeltas(timedelta(0), timedelta(days=365)))
def test_a_clock_that_was_set_back_ends_nothing_sooner(found: Item, back: timedelta) -> None:
    ends = (Kind.EXPIRED, Kind.ARCHIVED)
    earlier = next_for(found, NOW - back)
    if earlier is not None and earlier.kind in ends:
        later = next_for(found, NOW)
        assert later is not None
        assert later.kind in ends
