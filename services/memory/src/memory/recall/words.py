"""Words and nearness of what no index may hold: sacred texts, opened for one question. No I/O."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from operator import mul

QUERY_TERMS_MAX = 64
_WORD = re.compile(r"\w+", re.UNICODE)
_PLURALS = (("sses", "ss"), ("ies", "y"), ("ss", "ss"), ("us", "us"), ("s", ""))
_STOP_WORDS_TEXT = """
a about am an and any are as at be been but by can did do does for from had has have he her him his how i if in into
is it its just me my no nor not of on or our she so some than that the their them then there they this to up was we
were what when where which who whom why will with you your
"""
_STOP_WORDS = frozenset(_STOP_WORDS_TEXT.split())
# Python 3.12 sums products in C; where it is absent (the development machine's 3.11) this is the same in steps.
_sum_products: Callable[[Sequence[float], Sequence[float]], float] = getattr(
    math, "sumprod", lambda left, right: math.fsum(map(mul, left, right))
)


def words(text: str) -> list[str]:
    """Return the words of `text` as they are compared: folded, without stop words and plural endings."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return [_singular(word) for word in _WORD.findall(folded) if word not in _STOP_WORDS]


def _singular(word: str) -> str:
    if len(word) > 3 and word[-1] == "s":
        for ending, replacement in _PLURALS:
            if word.endswith(ending):
                return word.removesuffix(ending) + replacement
    return word


def unit(vector: Sequence[float]) -> list[float]:
    """Return the vector of the same direction and length one; one without direction stays as it is."""
    length = math.sqrt(_sum_products(vector, vector))
    return [number / length for number in vector] if length else list(vector)


def nearness(left: Sequence[float], right: Sequence[float]) -> float:
    """Return the cosine of two unit vectors, -1..1."""
    return _sum_products(left, right)
