"""Ranking: better found is never worse, the order is never chance, and every number stays within its bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from contracts.tiers import Tier
from hypothesis import given
from hypothesis import strategies as st
from memory.finding import Candidate, Corpus
from memory.recall.evidence import FEATURES, weigh
from memory.recall.question import Question, read
from memory.recall.rank import Ranked, merged, rank
from memory.recall.reasons import reasons
from memory.recall.weights import WEIGHTS

NOW = datetime(2026, 11, 20, tzinfo=UTC)
TERMS = ["boiler", "key", "rent", "flat"]
CORPUS = Corpus(1000, 12.0, {"boiler": 3, "key": 40, "rent": 200, "flat": 900})
QUESTION = read("Where is the key of the boiler?", ["Ana", "Rui"], NOW)
FOUND_BY = (
    "near said covers covers_around around two_before thread speaker then answers_near answers_said"
).split()


def candidate(number: int, **changes: object) -> Candidate:
    plain = Candidate(
        id=UUID(int=number),
        tier=Tier.CONVENIENCE,
        text="The spare key hangs behind the door.",
        cosine=0.4,
        terms={},
        words=7,
        thread=None,
        position=None,
        speaker=None,
        occurred_at=None,
        created_at=NOW - timedelta(days=3),
        level="knowledge",
        strength=1.0,
        accesses=0,
        accessed_at=NOW - timedelta(days=3),
    )
    return replace(plain, **changes)  # pyright: ignore[reportArgumentType]


def thread(texts: Sequence[str]) -> list[Candidate]:
    return [
        candidate(
            place + 1,
            text=text,
            thread="t",
            position=place,
            before=UUID(int=place) if place else None,
            after=UUID(int=place + 2) if place + 1 < len(texts) else None,
        )
        for place, text in enumerate(texts)
    ]


CANDIDATES = st.lists(
    st.builds(
        lambda number, cosine, terms, level, strength, days: candidate(
            number,
            cosine=cosine,
            terms=terms,
            level=level,
            strength=strength,
            accessed_at=NOW - timedelta(days=days),
        ),
        st.integers(1, 40),
        st.none() | st.floats(-1, 1) | st.just(math.nan),
        st.dictionaries(st.sampled_from(TERMS), st.floats(1, 5), max_size=4),
        st.sampled_from(["knowledge", "episodic", "working"]),
        st.floats(0, 8),
        st.floats(0, 400),
    ),
    max_size=15,
    unique_by=lambda each: each.id,
)


def test_there_is_a_weight_for_every_piece_of_evidence_and_none_beside() -> None:
    assert tuple(WEIGHTS) == FEATURES


def test_what_an_arm_found_never_counts_against_a_memory() -> None:
    assert all(WEIGHTS[name] >= 0 for name in FOUND_BY)


@given(CANDIDATES)
def test_every_candidate_comes_back_once_in_order_within_bounds(found: list[Candidate]) -> None:
    ranked = rank(QUESTION, found, CORPUS, NOW)
    assert {each.candidate.id for each in ranked} == {each.id for each in found}
    assert len(ranked) == len(found)
    assert all(0 <= each.score <= 1 for each in ranked)
    keys = [(-each.score, each.candidate.id) for each in ranked]
    assert keys == sorted(keys)


@given(CANDIDATES)
def test_the_order_does_not_depend_on_the_order_of_the_findings(found: list[Candidate]) -> None:
    backwards = rank(QUESTION, list(reversed(found)), CORPUS, NOW)
    assert [each.candidate.id for each in rank(QUESTION, found, CORPUS, NOW)] == [
        each.candidate.id for each in backwards
    ]


@given(CANDIDATES, st.data())
def test_nearer_or_sharing_another_word_is_never_ranked_lower(
    found: list[Candidate], data: st.DataObject
) -> None:
    if not found:
        return
    place = data.draw(st.integers(0, len(found) - 1))
    chosen = found[place]
    cosine = chosen.cosine if chosen.cosine is not None and chosen.cosine == chosen.cosine else 0.0
    better = replace(
        chosen,
        cosine=min(1.0, max(cosine, 0.0) + data.draw(st.floats(0, 0.5))),
        terms={**chosen.terms, data.draw(st.sampled_from(TERMS)): 5.0},
    )
    before = rank(QUESTION, found, CORPUS, NOW)
    after = rank(QUESTION, [*found[:place], better, *found[place + 1 :]], CORPUS, NOW)

    def at(ranked: Sequence[Ranked]) -> int:
        return [each.candidate.id for each in ranked].index(chosen.id)

    assert at(after) <= at(before)


@given(CANDIDATES)
def test_every_memory_has_a_reason(found: list[Candidate]) -> None:
    for each in rank(QUESTION, found, CORPUS, NOW):
        given_reasons = reasons(each, QUESTION, NOW)
        assert given_reasons
        assert all(0 <= reason.score <= 1 for reason in given_reasons)


def test_an_answer_is_known_by_the_question_before_it() -> None:
    talk = thread(["Where did you put the boiler key?", "Behind the door.", "Fine weather today."])
    talk[0] = replace(talk[0], terms={"boiler": 1.0, "key": 1.0}, cosine=0.8)
    talk = [talk[0], *(replace(each, cosine=0.2) for each in talk[1:])]
    ranked = [each.candidate.id for each in rank(QUESTION, talk, CORPUS, NOW)]
    assert ranked.index(talk[1].id) < ranked.index(talk[2].id)
    evidence = dict(zip(FEATURES, weigh(QUESTION, talk, CORPUS)[1], strict=True))
    assert evidence["answers_near"] == pytest.approx(0.8)


def test_a_neighbours_words_count_in_part_and_a_strangers_not_at_all() -> None:
    talk = thread(["The boiler key is lost.", "Oh no.", "Coffee?", "Yes."])
    talk[0] = replace(talk[0], terms={"boiler": 1.0, "key": 1.0})
    said = [row[FEATURES.index("said")] for row in weigh(QUESTION, talk, CORPUS)]
    assert said[0] > said[1] > 0
    assert said[2] == said[3] == 0


def test_a_turn_of_the_one_who_is_named_comes_first() -> None:
    question = read("What did Ana say about the key?", ["Ana", "Rui"], NOW)
    both = [candidate(1, speaker="Rui"), candidate(2, speaker="Ana")]
    assert rank(question, both, CORPUS, NOW)[0].candidate.speaker == "Ana"


def test_what_happened_when_the_question_says_comes_first() -> None:
    question = read("What happened yesterday?", [], NOW)
    yesterday, long_ago = NOW - timedelta(hours=20), NOW - timedelta(days=90)
    both = [candidate(1, occurred_at=long_ago), candidate(2, occurred_at=yesterday)]
    ranked = rank(question, both, CORPUS, NOW)
    assert ranked[0].candidate.occurred_at == yesterday
    arms = {reason.arm for reason in reasons(ranked[0], question, NOW)}
    assert "time" in arms


def test_of_two_alike_the_one_that_faded_is_second_and_knowledge_does_not_fade() -> None:
    long_ago = NOW - timedelta(days=30)
    fresh = candidate(1, level="episodic", accessed_at=NOW)
    faded = candidate(2, level="episodic", accessed_at=long_ago)
    known = candidate(3, accessed_at=long_ago)
    ranked = rank(QUESTION, [faded, fresh, known], CORPUS, NOW)
    assert ranked[-1].candidate.id == faded.id
    by_id = {each.candidate.id: each.score for each in ranked}
    assert by_id[fresh.id] == by_id[known.id]


def test_a_memory_without_a_vector_is_found_by_its_words() -> None:
    worded = candidate(1, cosine=None, terms={"boiler": 1.0, "key": 1.0})
    ranked = rank(QUESTION, [worded, candidate(2, cosine=None)], CORPUS, NOW)
    assert ranked[0].candidate.id == worded.id
    assert [reason.arm for reason in reasons(ranked[0], QUESTION, NOW)] == ["lexical"]


def test_who_the_question_names_is_found_by_an_alias_too() -> None:
    both = [candidate(1), candidate(2)]
    assert rank(QUESTION, both, CORPUS, NOW, {UUID(int=2): 0.8})[0].candidate.id == UUID(int=2)


def test_nothing_found_is_nothing_ranked() -> None:
    assert rank(Question("x", "x"), [], Corpus(0, 1.0, {}), NOW) == []
    assert merged([], []) == []
