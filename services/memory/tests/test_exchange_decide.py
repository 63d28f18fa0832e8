"""What becomes of a row is decided once, purely: a file that nobody touched changes nothing, and no edit is applied blind."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from contracts.tiers import Level, Tier
from hypothesis import given
from hypothesis import strategies as st
from memory.domain import Entry
from memory.exchange.decide import Outcome, Standing, Tally, Verdict, decide
from memory.exchange.record import Incoming, Record

NOW = datetime(2026, 5, 14, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
texts = st.sampled_from(["I live in Lisbon", "I live in Porto", "I live in Braga"])
moments = st.sampled_from([None, NOW, LATER])
tiers, levels = st.sampled_from(Tier), st.sampled_from(Level)
names = st.sampled_from(["home", "work"])


@st.composite
def entries(draw: Any) -> Entry:
    return Entry(
        UUID(int=1),
        UUID(int=7),
        draw(tiers),
        draw(texts),
        "api",
        None,
        draw(moments),
        NOW,
        draw(st.sampled_from([NOW, LATER])),
        revision=draw(st.integers(1, 3)),
        namespace=draw(names),
        level=draw(levels),
        valid_from=draw(moments),
    )


@st.composite
def rows(draw: Any) -> Incoming:
    read = draw(entries())
    return Incoming(
        Record(read),
        read.id,
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.booleans()),
        (draw(tiers), draw(names), draw(levels)),
    )


def untouched(entry: Entry) -> Incoming:
    base = (entry.tier, entry.namespace, entry.level)
    return Incoming(Record(entry), entry.id, False, False, True, base)


@given(entries(), entries())
def test_a_file_that_no_hand_touched_changes_nothing_whatever_the_house_did_since(
    then: Entry, now: Entry
) -> None:
    verdict = decide(untouched(then), Standing(now), resurrect=False)
    assert verdict == Verdict(Outcome.UNCHANGED)


@given(rows(), entries())
def test_what_an_edit_asks_for_is_so_afterwards_and_asking_again_changes_nothing(
    row: Incoming, present: Entry
) -> None:
    verdict = decide(row, Standing(present), resurrect=False)
    if verdict.outcome is not Outcome.EDITED:
        assert verdict.outcome in (Outcome.UNCHANGED, Outcome.QUARANTINED)
        return
    change: dict[str, Any] = dict(verdict.change)
    after = replace(present, **change, tier=verdict.tier or present.tier, updated_at=LATER)
    if "text" in change:
        after = replace(after, revision=present.revision + 1)
    assert after != replace(present, updated_at=LATER)
    again = decide(row, Standing(after), resurrect=False)
    assert again.outcome is Outcome.UNCHANGED


@given(rows(), entries())
def test_a_text_is_never_written_over_one_that_the_hand_did_not_see(
    row: Incoming, present: Entry
) -> None:
    verdict = decide(row, Standing(present), resurrect=False)
    if row.record.entry.revision != present.revision:
        assert "text" not in verdict.change


@given(rows())
def test_what_was_forgotten_comes_back_only_when_it_is_asked_for(row: Incoming) -> None:
    gone = Standing(forgotten=True)
    assert decide(row, gone, resurrect=False) == Verdict(Outcome.QUARANTINED, "forgotten")
    assert decide(row, gone, resurrect=True).outcome is Outcome.INSERTED
    assert decide(row, Standing(), resurrect=False).outcome is Outcome.INSERTED


@given(rows())
def test_what_was_merged_since_is_a_duplicate_unless_a_hand_changed_it(row: Incoming) -> None:
    verdict = decide(row, Standing(merged=True), resurrect=True)
    changed = row.text_changed or row.fields_changed
    assert verdict.outcome is (Outcome.QUARANTINED if changed else Outcome.DUPLICATE)


@given(st.lists(st.tuples(st.sampled_from(Outcome), st.none() | st.just("conflict"))))
def test_every_row_is_counted_once(verdicts: list[tuple[Outcome, str | None]]) -> None:
    tally = Tally(problems_max=2)
    for line, (outcome, reason) in enumerate(verdicts):
        tally.count(Verdict(outcome, reason), "a.md", line)
    assert tally.rows == len(verdicts) == sum(tally.outcomes.values())
    assert sum(tally.reasons.values()) == sum(reason is not None for _, reason in verdicts)
    assert len(tally.problems) <= 2
