"""A cue finds what its pattern finds without regard to case, wherever that is."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory.facts.cues import Cue
from memory.facts.patterns import SHAPES

TESTS = Path(__file__).parent
MODULES = ("facts.times", "facts.clauses", "facts.patterns", "supersede.reading", "supersede.evidence")  # fmt: skip


def cues() -> list[Cue]:
    found = [shape.pattern for shape in SHAPES]
    for name in MODULES:
        held = vars(importlib.import_module(f"memory.{name}"))
        found += [value for value in held.values() if isinstance(value, Cue)]
        found += [cue for _, cue in held.get("_KINDS", ()) if isinstance(cue, Cue)]
    return found


CUES = cues()
# Words of the patterns themselves, so that much of what is drawn is nearly found.
WORDS = sorted({word for cue in CUES for word in re.findall(r"[a-z']{2,}", cue.pattern)})


def texts() -> list[str]:
    labelled = (TESTS / "facts_labelled.jsonl").read_text().splitlines()
    said = [json.loads(line)["text"] for line in labelled if line]
    return said + (TESTS / "samples" / "kept.txt").read_text().splitlines()


def agrees(cue: Cue, text: str) -> None:
    # The flags are what differs: a verbose pattern is written over several lines.
    flags = re.IGNORECASE | (re.VERBOSE if "\n" in cue.pattern else 0)
    plain = re.compile(cue.pattern, flags)
    found = [match.span() for match in plain.finditer(text)]
    assert [match.span() for match in cue.finditer(text)] == found
    first, begins, same = cue.search(text), cue.match(text), plain.match(text)
    assert (first.span() if first else None) == (found[0] if found else None)
    assert (begins.groupdict() if begins else None) == (same.groupdict() if same else None)
    assert cue.sub(" ", text) == plain.sub(" ", text)


@pytest.mark.parametrize("shown", [str, str.upper, str.title], ids=["as said", "upper", "title"])
def test_a_cue_finds_in_real_memories_what_its_pattern_finds(shown: type[str]) -> None:
    for text in texts():
        for cue in CUES:
            agrees(cue, shown(text))


@given(
    st.lists(
        st.sampled_from([*WORDS, "I", "Ana", "3", "2024", "Lisbon", "é", "ſ", ",", "."]), max_size=9
    ),
    st.sampled_from(CUES),
    st.sampled_from([str, str.upper, str.title]),
)
def test_a_cue_finds_among_any_words_what_its_pattern_finds(
    words: list[str], cue: Cue, shown: type[str]
) -> None:
    agrees(cue, shown(" ".join(words)))
    agrees(cue, " " + shown(" ".join(words)))
