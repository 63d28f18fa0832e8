"""Junk: what is refused, by which rule, and, more important, all that is not."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory.writing import junk

SAMPLES = Path(__file__).parent / "samples"


def samples(name: str) -> list[str]:
    lines = (SAMPLES / name).read_text(encoding="utf-8").splitlines()
    return [line.replace("\\n", "\n") for line in lines if line]


JUNK = [tuple(line.split("\t", 1)) for line in samples("junk.tsv")]
KEPT = samples("kept.txt")


def test_there_are_enough_samples_of_both_kinds_and_of_every_rule() -> None:
    assert len(JUNK) >= 80
    assert len(KEPT) >= 80
    assert {rule for rule, _ in JUNK} == set(junk.RULE_NAMES)


@pytest.mark.parametrize(("rule", "text"), JUNK)
def test_junk_is_refused_by_the_rule_that_says_why(rule: str, text: str) -> None:
    found = junk.judge(text)
    assert found is not None
    assert found.name == rule
    assert found.why


@pytest.mark.parametrize("text", KEPT)
def test_what_says_something_is_kept(text: str) -> None:
    found = junk.judge(text)
    assert found is None, found and found.name


@given(st.sampled_from([text for _, text in JUNK]), st.sampled_from(KEPT))
def test_a_memory_stays_one_however_it_is_greeted(noise: str, said: str) -> None:
    if junk.judge(noise) not in junk.WHOLE:
        for both in (f"{noise}\n{said}", f"{said}\n{noise}"):
            # "Thanks!" over "Anna" is how a letter ends, and nothing else is made worse by company.
            found = junk.judge(both)
            assert found is None or (found.name == "signature" and len(said.split()) == 1)


@given(st.sampled_from([text for _, text in JUNK]), st.sampled_from(["", " ", "!", " 🙂", "\n"]))
def test_decoration_makes_junk_no_better(text: str, more: str) -> None:
    assert junk.judge(text + more) is not None or junk.judge(text) in junk.WHOLE


@given(st.text(max_size=400))
def test_any_text_is_judged_without_an_error(text: str) -> None:
    junk.judge(text)


@pytest.mark.parametrize(
    "text", ["ha" * 4000, "hi " * 2666, "a" * 8000, ". " * 4000, "we use cookies " * 500]
)
def test_a_long_text_is_judged_as_fast_as_it_is_read(text: str) -> None:
    begun = time.process_time()
    junk.judge(text)
    # Generous: what must not happen is a pattern that tries every way to read it.
    assert time.process_time() - begun < 2.0
