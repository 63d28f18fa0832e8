"""Whom a text means: decided over the names that are known, and never by guessing at pronouns."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from contracts.tiers import Tier
from hypothesis import given
from hypothesis import strategies as st
from memory.facts.extract import extract
from memory.facts.model import SELF_KEY, Kind, Known, Reading, Text
from memory.facts.reading import SINCE_EVER, read
from memory.facts.resolve import Names
from memory.facts.tagger import tag

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def text(words: str, speaker: str | None = None, **changed: object) -> Text:
    written = Text(uuid4(), uuid4(), Tier.CONVENIENCE, "home", words, speaker, 1, NOW, None, NOW)
    return replace(written, **changed)  # type: ignore[arg-type]


def reading(
    written: Text,
    names: Names | None = None,
    kin: dict[str, UUID] | None = None,
    pinned: dict[str, UUID] | None = None,
) -> Reading:
    told = extract(written.text, written.speaker, written.said_at)
    found, _ = read(
        written,
        tag(written.text),
        [(fact, "rules/1") for fact in told],
        names if names is not None else Names(),
        kin or {},
        pinned or {},
    )
    return found


def made(found: Reading) -> dict[str, Kind]:
    return {entity.name: entity.kind for entity in found.entities}


def test_i_am_the_person_and_a_named_speakers_i_is_the_speaker() -> None:
    mine, hers = reading(text("I live in Porto.")), reading(text("I live in Porto.", "Caroline"))

    assert made(mine) == {"me": Kind.PERSON, "Porto": Kind.PLACE}
    assert made(hers) == {"Caroline": Kind.PERSON, "Porto": Kind.PLACE}
    (fact,) = hers.facts
    assert fact.entity_id == next(each.id for each in hers.entities if each.name == "Caroline")
    assert {mention.role for mention in hers.mentions} == {"speaker", "named"}


def test_a_program_is_nobody() -> None:
    found = reading(text("I live in the cloud. I know Ana Sousa.", "assistant"))
    assert "me" not in made(found)
    assert "assistant" not in made(found)
    assert all(mention.key != SELF_KEY for mention in found.mentions)


def test_a_first_name_is_the_one_person_who_can_be_meant_and_else_somebody_new() -> None:
    names = Names()
    ana = reading(text("I met Ana Sousa."), names).entities
    again = reading(text("I met Ana in Porto."), names)
    assert "Ana" not in made(again)
    assert next(each.id for each in ana if each.name == "Ana Sousa") in {
        mention.entity_id for mention in again.mentions
    }
    reading(text("I met Ana Dias."), names)
    third = reading(text("I met Ana Costa and Ana Pires."), names)
    assert set(made(third)) == {"Ana Costa", "Ana Pires"}


def test_my_sister_is_known_by_her_name_once_she_was_named() -> None:
    names, joana = Names(), uuid4()
    names.add("joana", Known(joana, joana, Kind.PERSON, "joana", me=False, mentions=1))
    found = reading(text("My sister works at Siemens."), names, kin={"self.sister": joana})
    assert joana in {fact.entity_id for fact in found.facts}
    unknown = reading(text("My sister works at Siemens."))
    assert "my sister" in made(unknown)


def test_a_pinned_name_means_whom_the_person_said() -> None:
    names, one, other = Names(), uuid4(), uuid4()
    for ident, mentions in ((one, 50), (other, 1)):
        names.add("carla", Known(ident, ident, Kind.PERSON, "carla", me=False, mentions=mentions))

    free = reading(text("Carla lives in Faro."), names)
    pinned = reading(text("Carla lives in Faro."), names, pinned={"carla": other})

    assert one in {mention.entity_id for mention in free.mentions}
    assert other in {mention.entity_id for mention in pinned.mentions}
    assert one not in {mention.entity_id for mention in pinned.mentions}


def test_a_place_and_a_person_of_one_name_stay_two() -> None:
    names, city = Names(), uuid4()
    names.add("sofia", Known(city, city, Kind.PLACE, "sofia", me=False, mentions=9))
    found = reading(text("Dinner with Sofia tonight."), names)
    assert made(found) == {"Sofia": Kind.PERSON}


def test_a_fact_has_the_time_it_was_said_unless_it_says_another() -> None:
    (plain,) = reading(text("I live in Porto.")).facts
    (given_,) = reading(text("I live in Porto.", valid_from=NOW - timedelta(days=9))).facts
    assert plain.valid_from == NOW
    assert given_.valid_from == NOW - timedelta(days=9)
    ended = [fact for fact in reading(text("I lived in Lisbon until 2021.")).facts if fact.polarity]
    for fact in ended:
        assert fact.valid_to is None or fact.valid_from < fact.valid_to
    assert SINCE_EVER < NOW


@given(st.text(max_size=200), st.none() | st.text(max_size=30))
def test_whatever_is_written_every_fact_and_mention_has_its_entity_and_its_place(
    words: str, speaker: str | None
) -> None:
    written = text(words, speaker)
    found = reading(written)
    entities = {entity.id for entity in found.entities}
    mentioned = {mention.entity_id for mention in found.mentions}
    assert entities == mentioned
    for fact in found.facts:
        assert fact.entity_id in mentioned
        assert fact.object_entity_id is None or fact.object_entity_id in mentioned
        assert 0 <= fact.start <= fact.end <= len(words)
    assert len({fact.id for fact in found.facts}) == len(found.facts)
    assert sum(entity.me for entity in found.entities) <= 1
    assert {fact.id for fact in reading(written).facts} == {fact.id for fact in found.facts}
