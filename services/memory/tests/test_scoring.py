"""Fusion and BM25: bounded, monotone, blind to order, and the same question gets the same answer."""

from __future__ import annotations

import math
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from memory.scoring import Hit, bm25, clamp, fuse, nearness, unit, words

SCORES = st.floats(-1, 2) | st.just(math.nan)
HITS = st.lists(
    st.builds(Hit, st.integers(0, 30).map(lambda number: UUID(int=number)), SCORES, st.just("x")),
    max_size=25,
    unique_by=lambda hit: hit.id,
)
WORDS = st.sampled_from(
    ["boiler", "key", "garden", "rent", "doctor", "flat", "garden", "garden", "tax"]
)
TEXTS = st.lists(st.lists(WORDS, min_size=1, max_size=8).map(" ".join), max_size=12)


@given(HITS, HITS, st.integers(1, 50))
def test_fusion_returns_the_best_once_each_in_order(
    near: list[Hit], said: list[Hit], limit: int
) -> None:
    fused = fuse(near, said, limit)
    ids = {hit.id for hit in (*near, *said)}
    assert len(fused) == min(limit, len(ids))
    assert len({each.id for each in fused}) == len(fused)
    assert all(0 <= each.score <= 1 for each in fused)
    assert [each.score for each in fused] == sorted((each.score for each in fused), reverse=True)
    assert all(each.vector or each.lexical for each in fused)


@given(HITS, HITS)
def test_fusion_does_not_depend_on_the_order_of_the_arms_findings(
    near: list[Hit], said: list[Hit]
) -> None:
    assert fuse(near, said, 50) == fuse(list(reversed(near)), list(reversed(said)), 50)


@given(HITS, HITS)
def test_a_better_finding_never_lowers_a_memory(near: list[Hit], said: list[Hit]) -> None:
    before = {each.id: each.score for each in fuse(near, said, 100)}
    raised = [Hit(hit.id, clamp(hit.score) + 0.1, hit.detail) for hit in near]
    after = {each.id: each.score for each in fuse(raised, said, 100)}
    assert all(after[ident] >= score - 1e-6 for ident, score in before.items())


@given(SCORES)
def test_a_score_is_always_within_bounds(score: float) -> None:
    assert 0 <= clamp(score) <= 1
    assert clamp(math.nan) == 0


@given(TEXTS, st.lists(WORDS, min_size=1, max_size=4).map(" ".join))
def test_bm25_finds_exactly_the_texts_that_share_a_word(texts: list[str], query: str) -> None:
    rows = [(UUID(int=number), text) for number, text in enumerate(texts)]
    hits = bm25(query, rows)
    sharing = {ident for ident, text in rows if set(words(text)) & set(words(query))}
    assert {hit.id for hit in hits} == sharing
    assert all(0 < hit.score <= 1 for hit in hits)


def test_a_rare_word_weighs_more_than_a_common_one() -> None:
    rows = [(UUID(int=number), "garden work") for number in range(9)]
    rows.append((UUID(int=99), "garden boiler"))
    assert max(bm25("garden boiler", rows), key=lambda hit: hit.score).id == UUID(int=99)


def test_words_meet_in_the_plural_and_whatever_their_case() -> None:
    assert words("The KEYS of the Houses") == words("key house")
    assert words("the of and") == []
    assert words("Straße") == words("STRASSE")


def test_a_vector_without_direction_is_near_nothing() -> None:
    assert nearness(unit([0.0, 0.0]), unit([1.0, 0.0])) == 0
    assert nearness(unit([2.0, 0.0]), unit([5.0, 0.0])) == 1


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=3))
def test_a_vector_is_nearest_to_itself(vector: list[float]) -> None:
    length = math.sqrt(math.fsum(number * number for number in vector))
    if length > 1e-6:
        assert math.isclose(nearness(unit(vector), unit(vector)), 1, rel_tol=1e-9)
