"""Names in texts: measured on sentences labelled by hand, and what must hold for any text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory.facts.gazetteer import first_names, great_cities, places
from memory.facts.model import Kind, key_of
from memory.facts.tagger import TAGS_MAX, tag

# Half of the sentences (every second one) were looked at while the rules were written, the others only counted.
LABELLED = [
    json.loads(line)
    for line in Path(__file__).with_name("facts_labelled.jsonl").read_text().splitlines()
]


def measure(rows: list[dict[str, dict[str, str]]]) -> tuple[float, float, float]:
    """Return precision, recall, and how many of those found have the right kind."""
    found = wanted = right = kinds = 0
    for row in rows:
        names = {
            tagged.surface: tagged.kind.value for tagged in tag(str(row["text"])) if tagged.sure
        }
        both = names.keys() & row["names"].keys()
        found, wanted, right = found + len(names), wanted + len(row["names"]), right + len(both)
        kinds += sum(names[name] == row["names"][name] for name in both)
    return right / found, right / wanted, kinds / right


@pytest.mark.parametrize(
    ("half", "precision", "recall", "kind"), [(0, 0.95, 0.95, 0.85), (1, 0.88, 0.9, 0.75)]
)
def test_names_are_found_and_told_apart_as_well_as_they_were(
    half: int, precision: float, recall: float, kind: float
) -> None:
    measured = measure(LABELLED[half::2])
    assert len(LABELLED) >= 80
    assert measured >= (precision, 0, 0), measured
    assert measured[1] >= recall, measured
    assert measured[2] >= kind, measured


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Yesterday Ana Sousa called.", {"Ana Sousa": Kind.PERSON}),
        ("Dr. Mendes moved it to Tuesday.", {"Dr. Mendes": Kind.PERSON}),
        ("Thanks, Zorblax! See you.", {"Zorblax": Kind.PERSON}),
        ("My sister Zorblax is here.", {"Zorblax": Kind.PERSON}),
        ("Dinner in Sofia with Sofia", {"Sofia": Kind.PLACE}),
        ("I AM SHOUTING AT YOU", {}),
        ("Buy milk, eggs and bread", {}),
        ("Birthday dinner on Monday in May.", {}),
        ("Rua das Flores is steep.", {"Rua das Flores": Kind.PLACE}),
        ("She studies at the University of Coimbra.", {"University of Coimbra": Kind.ORGANISATION}),
    ],
)
def test_what_is_a_name_and_of_what(text: str, names: dict[str, Kind]) -> None:
    found = {tagged.surface: tagged.kind for tagged in reversed(tag(text)) if tagged.sure}
    assert found == names


def test_a_word_that_only_begins_a_sentence_counts_if_it_is_known_and_not_by_itself() -> None:
    assert [(tagged.surface, tagged.sure) for tagged in tag("Zorblax is our dog.")] == [
        ("Zorblax", False)
    ]
    assert [tagged.sure for tagged in tag("Zorblax is here. I fed Zorblax.")] == [True, True]


@given(st.text(max_size=300))
def test_every_name_stands_in_the_text_where_it_says(text: str) -> None:
    found = tag(text)
    assert len(found) <= TAGS_MAX
    for tagged in found:
        assert 0 <= tagged.start < tagged.end <= len(text)
        assert tagged.key == key_of(tagged.surface)
        assert tagged.surface.split()[0] in text[tagged.start : tagged.end + 1]


@given(st.text(max_size=80))
def test_a_name_compares_the_same_however_it_is_written(text: str) -> None:
    assert key_of(key_of(text)) == key_of(text)
    assert key_of(f"  {text.upper()} ") in (key_of(text.upper()), "")


def test_the_lists_know_names_of_many_languages_and_keep_common_words_out() -> None:
    assert all(name in first_names() for name in ("tiago", "jürgen", "priya", "calvin", "olga"))
    assert not any(word in first_names() for word in ("will", "may", "the", "so", "rose", ""))
    assert all(place in places() for place in ("porto", "münchen", "portugal", "kyoto"))
    assert not any(word in places() for word in ("reading", "nice", "home", ""))
    assert "paris" in great_cities()
