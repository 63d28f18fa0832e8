"""What a question asks for: who it names, when it speaks of, and what is left of it to search for. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from memory.facts.times import Span, spans
from memory.recall import voice
from memory.recall.voice import Mention

# Who speaks in a conversation without being called by a name.
ROLES = frozenset({"user", "me", "human", "self"})
_OTHER_ROLES = frozenset({"assistant", "ai", "bot", "system", "tool", "model"})
# Names that are words too: they count as names only where a capital inside the sentence says so.
_WORDS_TOO = frozenset(
    [
        "will",
        "may",
        "can",
        "art",
        "mark",
        "bill",
        "rose",
        "grace",
        "hope",
        "joy",
        "dawn",
        "faith",
        "pat",
        "rich",
        "sue",
        "drew",
        "jack",
        "june",
        "april",
        "august",
        "is",
        "are",
        "do",
    ]
)
_WORD = re.compile(r"\w+(?:[-'’](?!s\b)\w+)*")
_MINE = re.compile(r"\b(?:i|me|my|mine|myself|we|us|our|ours)\b", re.IGNORECASE)
_NAME = re.compile(r"(?P<name>(?!I\b)[A-Z][\w-]+(?:\s(?!I\b)[A-Z][\w-]+){0,3})(?P<own>['’]s\b)?")
_SAYS = re.compile(r"([A-Z][\w'.-]{1,30}(?: [A-Z][\w'.-]{1,30})?): \S")
# The longest of such names, its colon and the blank after it.
_SAYS_CHARS = 65
NAMES_MAX = 8
# So many texts that begin alike are a conversation.
_TOLD_LEAST = 3
_LEADS = frozenset({"correction", "update", "note", "reminder", "fyi", "todo", "warning"})
_YEAR = re.compile(r"(?:19|20)\d\d")
_YEARS_BACK_MAX = 50


@dataclass(frozen=True, slots=True)
class Question:
    """A question as it was read.

    `bare` is the question without the names of those who speak in the memories: what somebody said seldom holds their
    name, so that the name would draw the search to the turns that merely call them. `spoken` is what is embedded: the
    question as whoever it is about would put it. `named` are those speakers, `meant` is the one whose words are asked
    for, `mine` says that the asker asks about themselves.
    """

    text: str
    bare: str
    spoken: str = ""
    named: frozenset[str] = frozenset()
    meant: frozenset[str] = frozenset()
    mine: bool = False
    when: Span | None = None
    phrase: str = ""
    any_year: bool = False

    def concerns(self, speaker: str | None, text: str = "") -> float:
        """Return how much what this one said is what was asked for, 0..1."""
        if self.named:
            who = speaker_of(speaker, text)
            return float(who is not None and folded(who) in self.meant)
        # The asker's own words stand without a speaker, or under a role.
        return 0.5 * (self.mine and (speaker is None or folded(speaker) in ROLES))


NOTHING = Question("", "")


def folded(name: str) -> str:
    """Return a name as it is compared."""
    return " ".join(name.casefold().split())


def read(text: str, speakers: Iterable[str], asked_at: datetime) -> Question:
    """Return what `text` asks, said at `asked_at` among memories of these speakers."""
    mentions = _mentions(text, speakers)
    named = frozenset(name for mention in mentions for name in mention.names)
    bare = voice.bare(text, mentions) if mentions else text
    if not _WORD.search(bare):
        # A question that is nothing but a name is searched for as it is.
        bare, mentions = text, []
    # Who asks about themselves too already has the "I" of the question.
    told = voice.spoken(text, mentions) if mentions and not _MINE.search(text) else bare
    found = spans(text, asked_at)
    when = found[0] if len(found) == 1 else _between(text, found)
    phrase = text[when.start : when.end] if when else ""
    return Question(
        text=text,
        bare=bare,
        spoken=told,
        named=named,
        meant=voice.meant(text, mentions)
        if mentions
        else named
        if len(named) == 1
        else frozenset(),
        mine=not named and bool(_MINE.search(text)),
        when=when,
        phrase=phrase,
        any_year=when is not None and _nameless_year(phrase),
    )


def speaker_of(speaker: str | None, text: str) -> str | None:
    """Return who says a text: whoever it is said to be, else who stands before its colon ("Ana: yes")."""
    if speaker is not None:
        return speaker
    match = _SAYS.match(text)
    return match.group(1) if match else None


def told_by(texts: Iterable[tuple[str | None, str]]) -> set[str]:
    """Return the names that stand before the colon of several texts: once, it may be any word ("Note: buy milk")."""
    said = Counter(
        speaker_of(None, text)
        for speaker, text in texts
        # Most texts have no colon where a name would end.
        if speaker is None and ": " in text[:_SAYS_CHARS]
    )
    return {
        name
        for name, times in said.items()
        if name is not None and times >= _TOLD_LEAST and folded(name) not in _LEADS
    }


def names_in(text: str) -> list[str]:
    """Return what may be names in a question: capitals inside it, runs of them as one, and a possessive first word."""
    found: list[str] = []
    for match in _NAME.finditer(text):
        name = match.group("name")
        if match.start() == 0 and not match.group("own") and " " not in name:
            # Every sentence begins with a capital.
            continue
        found.append(name)
        found += name.split() if " " in name else ()
    return list(dict.fromkeys(found))[:NAMES_MAX]


def _between(text: str, found: list[Span]) -> Span | None:
    """Return the span from the first of two to the end of the second: "between June and August 2023"."""
    if len(found) != 2:
        return None
    one, other = found
    since, until = one.since, other.until
    if _nameless_year(text[one.start : one.end]) and _YEAR.search(text[other.start : other.end]):
        while since.year > other.since.year:
            since = _year_before(since)
    return Span(min(since, other.since), max(until, other.since), one.start, other.end)


def _nameless_year(phrase: str) -> bool:
    """Say whether the phrase names a month or day and leaves the year open."""
    relative = re.search(
        r"\b(?:last|this|next|past|ago|yesterday|today|tonight|tomorrow)\b", phrase, re.IGNORECASE
    )
    return not relative and not _YEAR.search(phrase)


def _mentions(text: str, speakers: Iterable[str]) -> list[Mention]:
    """Return where speakers are named, in order; the parts of one name are one mention."""
    parts: dict[str, set[str]] = {}
    for speaker in speakers:
        name = folded(speaker)
        if name in ROLES or name in _OTHER_ROLES:
            continue
        for part in _WORD.findall(name):
            if len(part) > 1:
                parts.setdefault(part, set()).add(name)
    if not parts:
        return []
    lowered = text == text.lower()
    found: list[Mention] = []
    for place, match in enumerate(_WORD.finditer(text)):
        word = match.group()
        key = word.casefold()
        if key not in parts or not _is_name(word, key, place, lowered):
            continue
        start, names = match.start(), frozenset(parts[key])
        owns = text[match.end() : match.end() + 2] in ("'s", "’s")
        last = found[-1] if found else None
        if last and not last.owns and not text[last.end : start].strip() and last.names & names:
            start, names = last.start, last.names & names
            found.pop()
        found.append(Mention(start, match.end() + 2 * owns, names, owns))
    return found


def _is_name(word: str, key: str, place: int, lowered: bool) -> bool:
    if key in _WORDS_TOO:
        return place > 0 and word[0].isupper()
    return lowered or word[0].isupper()


def at(question: Question, newest: datetime | None) -> tuple[datetime, datetime] | None:
    """Return the span the question speaks of, among memories of which the newest happened then.

    A month without a year is the last such month that any memory can be from.
    """
    if question.when is None:
        return None
    since, until = question.when.since, question.when.until
    if question.any_year and newest is not None:
        for _ in range(_YEARS_BACK_MAX):
            if since <= newest:
                break
            since, until = _year_before(since), _year_before(until)
    return since, until


def _year_before(moment: datetime) -> datetime:
    leap_day = moment.month == 2 and moment.day == 29
    return moment.replace(year=moment.year - 1, day=28 if leap_day else moment.day)
