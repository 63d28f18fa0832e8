"""What is done ahead changes nothing but the time: the guess is only a guess, and what was read is what would be read."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from contracts.tiers import Tier
from memory.domain import Filters
from memory.finding import Candidate, Corpus
from memory.recall.ahead import PEOPLE_MAX, READ_MAX, Ahead, Asked, Guess
from memory.recall.answer import Asking, settled
from memory.recall.evidence import manner_of
from memory.recall.question import read
from memory.recall.rank import rank
from memory.writing.embedder import QueryVector

NOW = datetime(2026, 11, 20, tzinfo=UTC)
ADA = UUID(int=1)
TEXTS = (
    "I live in Lisbon now.",
    "I moved to Porto in May 2025.",
    "My dentist is Dr. Pinto.",
    "The spare key hangs behind the door.",
    "We used to live in Braga.",
)


def asking(query: str) -> Asking:
    return Asking(query, Filters((Tier.CONVENIENCE,)), 10, NOW, 1, question=read(query, [], NOW))


def candidates(count: int) -> list[Candidate]:
    return [
        Candidate(
            id=UUID(int=number + 1),
            tier=Tier.CONVENIENCE,
            text=f"{TEXTS[number % len(TEXTS)]} {number}",
            cosine=0.9 - number / 100,
            terms={"live": 1.0} if "live" in TEXTS[number % len(TEXTS)] else {},
            words=6,
            thread=None,
            position=None,
            speaker=None,
            occurred_at=None,
            created_at=NOW - timedelta(days=number),
            level="knowledge",
            strength=1.0,
            accesses=0,
            accessed_at=NOW,
        )
        for number in range(count)
    ]


CORPUS = Corpus(1000, 6.0, {"live": 20})


def test_nobody_is_guessed_of_before_it_is_known_who_speaks() -> None:
    guess = Guess()
    assert not guess.nobody(ADA, "Where do I live?")
    guess.learn(ADA, ["Caroline", "Mel Costa"])
    assert guess.nobody(ADA, "Where do I live?")
    for query in ("What did Caroline say?", "and costa's dog", "MEL?"):
        assert not guess.nobody(ADA, query)
    assert not guess.nobody(UUID(int=2), "Where do I live?")


def test_guesses_are_kept_of_a_few_people_and_hold_no_name() -> None:
    guess = Guess()
    for number in range(PEOPLE_MAX + 5):
        guess.learn(UUID(int=number), ["Caroline"])
    assert not guess.nobody(UUID(int=0), "x")
    assert guess.nobody(UUID(int=PEOPLE_MAX), "x")
    assert "aroline" not in repr(vars(guess))


async def test_the_same_text_is_embedded_once_and_another_takes_its_place() -> None:
    texts: list[str] = []

    async def ask(text: str) -> QueryVector | None:
        texts.append(text)
        await asyncio.sleep(0.01)
        return None if text == "nothing" else QueryVector(len(text), [])

    asked = Asked(ask)
    assert await asked.vector() is None
    asked.begin("one")
    await asyncio.sleep(0)
    asked.begin("one")
    assert await asked.vector() == QueryVector(3, [])
    asked.begin("seven")
    await asyncio.sleep(0)
    asked.begin("nothing")
    assert await asked.vector() is None
    asked.cancel()
    assert texts == ["one", "seven", "nothing"]


def test_what_was_read_ahead_settles_as_what_is_read_then() -> None:
    question = asking("Where do I live?")
    found = candidates(30)
    ahead = Ahead(question, {})
    ahead.read(found[:20], CORPUS)
    assert set(ahead.manners) == {each.id for each in found[:20]}
    assert 0 < len(ahead.readings) <= READ_MAX
    ranked = rank(question.question, found, CORPUS, NOW, manners=ahead.manners)
    assert ranked == rank(question.question, found, CORPUS, NOW)
    assert settled(question, ranked, ahead.readings) == settled(question, ranked)


def test_the_best_so_many_come_back_in_order_and_whatever_is_marked_besides() -> None:
    question = read("Where do I live?", [], NOW)
    found = candidates(30)
    found[-1] = replace(found[-1], superseded_by=found[0].id)
    whole = rank(question, found, CORPUS, NOW)
    some = rank(question, found, CORPUS, NOW, most=7)
    marked = [each for each in whole[7:] if each.candidate.superseded_by is not None]
    assert some == whole[:7] + marked
    assert len(marked) == 1


def test_how_a_text_speaks_is_read_as_it_stands() -> None:
    said = manner_of("Yesterday I met Ana, Rui and Zoe in New York. It rained.")
    plain = manner_of("the boiler is behind the door")
    # Long, dated, of oneself, three that are named (the capital after a full stop is none), and no mere politeness.
    assert said[1:] == (1.0, 1.0, 3.0, 0.0)
    assert plain[1:] == (0.0, 0.0, 0.0, 0.0)
    assert manner_of("Thanks, that's great!")[4] == 1.0
    assert said[0] > plain[0]
