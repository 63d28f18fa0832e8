"""Words and nearness of sacred texts."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from memory.recall.words import nearness, unit, words


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
