"""When two memories say the same, so that one with two sources is better than two. Pure.

Nearness of vectors cannot decide: to a small model "at 18:00" and "at 19:00", "likes" and "does not like", Lisbon and
Porto are as near as any paraphrase. So two texts are one claim only if, after taking out what carries no claim
(articles, emphasis, courtesy) and writing what is written in several ways in one (I'm, two, colour), the same words
stand in the same order; their vectors then confirm it. A pair that is missed costs a row, a wrong one costs a fact.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from datetime import timedelta
from uuid import UUID

from memory.domain import Entry

# Under the house's model 29 of 30 true pairs (tests/samples/pairs.tsv) lie above, and 88 % of the false ones too: a
# vector can only confirm what the words decide, see ADR 0017.
COSINE_MIN = 0.75
# The model reads about 256 tokens: two long texts may differ behind what it has seen, and the words decide.
NEIGHBOURS_MAX = 8
SAME_DAY = timedelta(days=1)

_SPELLINGS = """
mother mum mom mummy mommy mama|father dad daddy papa|grandmother grandma granny|grandfather grandpa|favourite favorite
colour color|children kids|bicycle bike|telephone phone|television tv|refrigerator fridge|grey gray|theatre theater
centre center|neighbour neighbor|neighbours neighbors|jewellery jewelry|flavour flavor|honour honor|harbour harbor
behaviour behavior|favour favor|labour labor|litre liter|metre meter|kilometre kilometer km|kilogram kilo kg|movie film
movies films|sofa couch|purchased bought|purchase buy|car automobile|vacation holiday|doctor dr|minutes mins min
hours hrs|appointment appt|birthday bday|okay ok|christmas xmas|professor prof|aeroplane airplane plane
0 zero|1 one|2 two|3 three|4 four|5 five|6 six|7 seven|8 eight|9 nine|10 ten|11 eleven|12 twelve
monday mon|tuesday tue tues|wednesday wed|thursday thu thurs|friday fri|saturday sat|sunday sun
january jan|february feb|april apr|august aug|september sept|october oct|november nov|december dec
"""
_SAME = {
    word: group.split()[0]
    for line in _SPELLINGS.strip().splitlines()
    for group in line.split("|")
    for word in group.split()
}
# What may be there or not. "Now", "still", "only", "almost", "about" and every auxiliary carry part of the claim.
_FILLERS = frozenset(
    [
        "a",
        "an",
        "the",
        "really",
        "very",
        "quite",
        "so",
        "truly",
        "absolutely",
        "definitely",
        "totally",
        "actually",
        "basically",
        "simply",
        "certainly",
        "indeed",
        "please",
        "well",
        "oh",
        "ah",
        "hey",
        "hi",
        "hello",
        "ok",
        "okay",
        "yes",
        "yeah",
        "also",
        "too",
    ]
)
_OPENING = re.compile(
    r"^(?:(?:please |do )?(?:remember|note|be aware|keep in mind|know)|don't forget|fyi|for the record|by the way|btw"
    r"|just so you know|i(?: want| would like|'d like) you to (?:know|remember)|let me tell you)(?:,|:)? that "
    r"|^(?:fyi|for the record|by the way|btw|just so you know|note|nb)[,:] "
)
_CONTRACTIONS = (
    (re.compile(r"\b(?:can't|cannot)\b"), "can not"),
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"\bshan't\b"), "shall not"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"\bi'm\b"), "i am"),
    (re.compile(r"'re\b"), " are"),
    (re.compile(r"'ve\b"), " have"),
    (re.compile(r"'ll\b"), " will"),
    (re.compile(r"\b(it|that|he|she|there|what|who|where|here)'s\b"), r"\1 is"),
    (re.compile(r"\b(have|has) got\b"), r"\1"),
    (re.compile(r"\b(am|is|are|was|were) called\b"), r"\1 named"),
    (re.compile(r"(\d)[,'](?=\d{3}\b)"), r"\1"),
    (re.compile(r"(\d)\s*(am|pm)\b"), r"\1 \2"),
    (re.compile(r"\b(a|p)\.m\."), r"\1m"),
    (re.compile(r"\b(\w{3,})is(e[sd]?|ing|ation)\b"), r"\1iz\2"),
)
# Marks that change a claim stay words: 10-12, 1/2, 3.5, -4, c++, 50%, #3, a@b, 18:00, a question.
_TOKEN = re.compile(r"\d+(?:[.,:/-]\d+)*|[^\W\d_]+(?:[-'@._/+][^\W_]+)*|[-+%#@&=<>$€£°?]|\d")
_RELATIVE = frozenset(
    [
        "now",
        "today",
        "yesterday",
        "tomorrow",
        "tonight",
        "currently",
        "recently",
        "lately",
        "soon",
        "ago",
        "just",
        "already",
        "yet",
        "last",
        "next",
        "this",
    ]
)


def claim(text: str) -> tuple[str, ...]:
    """Return the words that make the claim, each in one spelling, in their order."""
    plain = unicodedata.normalize("NFKC", text).replace("’", "'").strip()
    shouted = plain.isupper()
    folded = _OPENING.sub("", plain.casefold())
    for pattern, written in _CONTRACTIONS:
        folded = pattern.sub(written, folded)
    # "US" and "us", "IT" and "it": a word in capitals among others is a word of its own.
    capitals = set() if shouted else set(re.findall(r"\b[A-Z]{2,5}\b", plain))
    words = [_spelt(word) for word in _TOKEN.findall(folded) if word not in _FILLERS]
    acronyms = sorted(word for word in capitals if word.casefold() in words)
    return (*words, *acronyms)


def claim_id(text: str) -> UUID:
    """Return the claim as a hash, by which those who make the same one are found."""
    return UUID(
        bytes=hashlib.md5("\x1f".join(claim(text)).encode(), usedforsecurity=False).digest()
    )


def _spelt(word: str) -> str:
    owner = word.removesuffix("'s")
    return _SAME.get(owner, owner) + word[len(owner) :]


def same_claim(one: str, other: str) -> bool:
    """Say whether two texts state the same. Symmetric and reflexive."""
    first, second = claim(one), claim(other)
    # Made of courtesy alone, a text is only the same as itself.
    return first == second if first or second else one.casefold() == other.casefold()


def may_merge(one: Entry, other: Entry, cosine: float | None = None) -> bool:
    """Say whether two memories of one person, tier and namespace are the same memory said twice. Symmetric.

    1. Neither is a turn of a conversation, unless both are the same turn from the same source.
    2. Both stand: nothing has replaced, ended or archived either.
    3. Their times agree: two days are two events. A text that counts from "now" only agrees within a day.
    4. They are of one level and said by one speaker.
    5. They are near (`cosine` None: the caller knows that the texts are equal) and make the same claim.
    """
    if one.id == other.id or one.tier is not other.tier or one.namespace != other.namespace:
        return False
    if (one.thread, one.position) != (other.thread, other.position):
        return False
    if one.thread is not None and (
        one.source_ref is None
        or (one.source_kind, one.source_ref) != (other.source_kind, other.source_ref)
    ):
        return False
    if not (_stands(one) and _stands(other)):
        return False
    if one.level is not other.level or one.speaker != other.speaker or not _times_agree(one, other):
        return False
    if cosine is not None and not cosine >= COSINE_MIN:
        return False
    return same_claim(one.text, other.text)


def _stands(entry: Entry) -> bool:
    return entry.superseded_at is None and entry.archived_at is None and entry.valid_to is None


def _times_agree(one: Entry, other: Entry) -> bool:
    if one.valid_from != other.valid_from:
        return False
    apart = abs(one.happened_at - other.happened_at)
    if one.occurred_at is not None and other.occurred_at is not None and apart > SAME_DAY:
        return False
    return apart <= SAME_DAY or not _RELATIVE.intersection(claim(one.text))
