"""Names in a text, by capitals, cues around them and lists of names. No model: it is quick, small and explains itself.

A name at the beginning of a sentence may be any word. It counts when a list or a cue knows it, when it stands
elsewhere with a capital amid a sentence, or when it runs on ("Ana Sousa called"); else it is `unsure`, and whoever
calls decides by the names that are known already.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from memory.facts.gazetteer import common_words, first_names, great_cities, places
from memory.facts.model import Kind, Tagged, key_of
from memory.facts.words import (
    COMMON,
    EVENT_WORDS,
    FIRST_OF_ORGANISATIONS,
    FIRST_OF_PLACES,
    GREETINGS,
    MOTIONS,
    NEVER,
    ORGANISATION_WORDS,
    PERSON_VERBS,
    PLACE_WORDS,
    RELATIONS,
    TITLES,
)

VERSION = 1
TAGS_MAX = 64
WORDS_MAX = 6
_WORD = re.compile(r"[^\W_]+(?:[.&'’\-][^\W_]+)*|[.!?:;,()\"“”\n…]")
_LINK = frozenset(
    [
        "of",
        "de",
        "da",
        "do",
        "dos",
        "das",
        "del",
        "della",
        "di",
        "la",
        "le",
        "van",
        "von",
        "der",
        "den",
        "zu",
        "&",
        "y",
        "e",
        "the",
    ]
)
_ENDS = frozenset('.!?:\n…"“”;(')
_PLACE_BEFORE = frozenset(
    [
        "in",
        "to",
        "from",
        "near",
        "at",
        "around",
        "visit",
        "visited",
        "visiting",
        "leave",
        "left",
        "toward",
        "towards",
        "via",
        "into",
    ]
)
_WORK_BEFORE = frozenset(["at", "for", "join", "joined", "with", "by"])
_WORK_VERBS = frozenset(
    [
        "work",
        "works",
        "worked",
        "working",
        "job",
        "employed",
        "interning",
        "intern",
        "hired",
        "joined",
        "join",
        "study",
        "studies",
    ]
)
_NAMED = frozenset(["named", "called"])


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    start: int
    end: int
    begins: bool  # a sentence begins here

    @property
    def low(self) -> str:
        return self.text.casefold().replace("’", "'")

    @property
    def capital(self) -> bool:
        # Or a capital within: iPhone, eBay.
        return self.text[0].isupper() or (self.text[0].islower() and self.text[1:2].isupper())


def tag(text: str) -> list[Tagged]:
    """Return the names in `text`, in order, at most TAGS_MAX of them."""
    words = _words(text)
    amid = {
        word.low for word in words if word.capital and not word.begins and not _shouted(words, word)
    }
    found: list[Tagged] = []
    at = 0
    while at < len(words) and len(found) < TAGS_MAX:
        until = _run(words, at)
        if until == at:
            at += 1
            continue
        found += _read_run(words, at, until, amid)
        at = until
    return found[:TAGS_MAX]


def _words(text: str) -> list[_Word]:
    words: list[_Word] = []
    begins = True
    for match in _WORD.finditer(text):
        found = match.group()
        if not found[0].isalnum():
            if found == "." and words and _is_title(words[-1]):
                # "Dr. Mendes" is one name: the dot goes with the title.
                words[-1] = replace(words[-1], text=words[-1].text + ".", end=match.end())
                continue
            words.append(_Word(found, match.start(), match.end(), False))
            begins = begins or found in _ENDS
            continue
        words.append(_Word(found, match.start(), match.end(), begins))
        begins = False
    return words


def _is_title(word: _Word) -> bool:
    return word.capital and word.low in TITLES and len(word.text) <= 4


def _shouted(words: list[_Word], word: _Word) -> bool:
    """A text all in capitals says nothing by them."""
    spoken = [other.text for other in words if other.text[0].isalpha()]
    return word.text.isupper() and sum(text.isupper() for text in spoken) * 2 > len(spoken)


def _names(word: _Word) -> bool:
    """Whether the word may be part of a name at all."""
    return word.capital and word.low not in NEVER and word.low.partition("'")[0] not in NEVER


def _run(words: list[_Word], at: int) -> int:
    """Return the end of the longest run of a name's words that begins at `at`; `at` when none does."""
    if not _names(words[at]):
        return at
    end = at + 1
    while end < len(words) and end - at < WORDS_MAX:
        if words[end - 1].low.endswith("'s"):
            break
        if _names(words[end]) or _numbers(words, end):
            end += 1
        elif (
            words[end].low in _LINK
            and end + 1 < len(words)
            and _names(words[end + 1])
            and not words[end + 1].begins
        ):
            end += 2
        else:
            break
    return end


def _numbers(words: list[_Word], at: int) -> bool:
    """Whether the word is the number of a thing, as in "iPhone 15"; a person has none."""
    number = words[at].text
    return number.isdigit() and len(number) <= 3 and words[at - 1].low not in first_names()


def _read_run(words: list[_Word], at: int, until: int, amid: set[str]) -> list[Tagged]:
    """Return the name that a run is: without a common word at its beginning, split where two names only touch."""
    first = words[at]
    if _shouted(words, first):
        return []
    sure = not first.begins
    if first.begins and first.low in COMMON and first.low not in amid:
        # "Yesterday Ana called": the sentence's first word is a word.
        at += 1
        if at >= until or words[at].low in _LINK:
            return []
        sure = True
    elif first.begins and _calls(words, at, until):
        at += 1
        sure = True
    elif first.begins:
        sure = until - at > 1 or first.low in amid
    run = words[at:until]
    start, end = run[0].start, run[-1].end
    surface = "".join(_glue(words, index, at) for index in range(at, until))
    surface = surface.removesuffix("'s").removesuffix("’s")
    key = key_of(surface)
    if len(key) < 2 or key.isdigit() or all(word.low in COMMON for word in run):
        return []
    kind, known = _kind(words, at, until)
    if kind is Kind.TOPIC and len(run) == 1 and run[0].low in common_words():
        # A plain word that somebody wrote with a capital, amid a sentence or after a colon.
        sure = known = False
    return [Tagged(surface, key, kind, start, min(end, start + len(surface)), sure or known)]


def _calls(words: list[_Word], at: int, until: int) -> bool:
    """Whether the run is a word and a name that it only stands before: "Woah Nate", "Anytime Nate"."""
    if until - at != 2 or words[at].low in first_names() or words[at].low.rstrip(".") in TITLES:
        return False
    return words[at + 1].low.removesuffix("'s") in first_names()


def _glue(words: list[_Word], index: int, at: int) -> str:
    gap = " " if index > at else ""
    return gap + words[index].text


def _kind(words: list[_Word], at: int, until: int) -> tuple[Kind, bool]:
    """Return what the name between `at` and `until` is, and whether that is more than a guess.

    1. What its own words say: a title, "University", "Street", "Festival".
    2. Who stands around it: "my sister X", "thanks, X!", "X said".
    3. What the lists say; of a name in both, what stands before it decides, else a great city is the city.
    4. Where it stands: "works at X", "flew to X".
    """
    lows = [word.low.removesuffix("'s") for word in words[at:until]]
    whole = " ".join(lows)
    around = _Around(words, at, until)
    own = _by_own_words(lows, whole)
    if own is not None:
        return own, True
    if around.before in RELATIONS or (around.before in _NAMED and around.earlier in RELATIONS):
        return Kind.PERSON, True
    listed = whole in places()
    if lows[0] in first_names():
        placed = around.before in _PLACE_BEFORE or whole in great_cities()
        alone = len(lows) == 1 and listed and not around.greeted
        return (Kind.PLACE if alone and placed else Kind.PERSON), True
    if listed or whole in great_cities():
        return Kind.PLACE, True
    if around.greeted_by_comma or around.after in PERSON_VERBS:
        return Kind.PERSON, True
    if around.before in _WORK_BEFORE and _works(words, at):
        return Kind.ORGANISATION, True
    if around.before in ("in", "to", "from") and around.moves:
        return Kind.PLACE, True
    if any(character.isdigit() for character in whole):
        return Kind.THING, False
    if len(lows) == 1 and words[at].text.isupper() and len(whole) > 1:
        return Kind.ORGANISATION, False
    if (
        len(lows) == 1
        and words[at].begins
        and around.after.endswith("ed")
        and len(around.after) > 4
    ):
        # "Amazon delivered ...": somebody or something that does things; who, the text does not say.
        return Kind.TOPIC, True
    return Kind.TOPIC, False


class _Around:
    """The words around a name."""

    def __init__(self, words: list[_Word], at: int, until: int) -> None:
        self.before = words[at - 1].low if at else ""
        self.earlier = words[at - 2].low if at > 1 else ""
        self.after = words[until].low if until < len(words) else ""
        self.greeted = self.before in GREETINGS or self.greeted_by_comma
        self.moves = any(word.low in MOTIONS for word in words[max(0, at - 5) : at])

    @property
    def greeted_by_comma(self) -> bool:
        """Whether somebody is spoken to, as in "Thanks, Nate!"."""
        return (
            self.before == ","
            and self.earlier in GREETINGS
            and self.after in ("!", ",", ".", "", "?")
        )


def _works(words: list[_Word], at: int) -> bool:
    return any(word.low in _WORK_VERBS for word in words[max(0, at - 5) : at])


def _by_own_words(lows: list[str], whole: str) -> Kind | None:
    if lows[0].rstrip(".") in TITLES and len(lows) > 1:
        return Kind.PERSON
    if whole in EVENT_WORDS or (len(lows) > 1 and lows[-1] in EVENT_WORDS):
        return Kind.EVENT
    if len(lows) > 1:
        # "Montessori School Lisbon": the place at the end says where it is.
        last = lows[-2] if lows[-1] in places() and lows[-2] in ORGANISATION_WORDS else lows[-1]
        if last in ORGANISATION_WORDS or lows[0] in FIRST_OF_ORGANISATIONS:
            return Kind.ORGANISATION
        if last in PLACE_WORDS or lows[0] in FIRST_OF_PLACES:
            return Kind.PLACE
    return None
