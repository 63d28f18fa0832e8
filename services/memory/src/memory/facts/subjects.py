"""Whom a clause is about: the speaker, somebody by name or relation, or a thing of theirs. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from memory.facts.clauses import Clause, Mood, clauses
from memory.facts.patterns import CHANGED_THING, GRADE, LEAD, SUBJECT
from memory.facts.predicates import ROLE_NAMES, ROLES, SELF, fold

_OPEN_SPEAKERS = frozenset({"", "user", "me", "human", "self"})
_LEFT_OUT = re.compile(
    r"(?:might|moved|switched|changed|started|joined|bought|sold|quit|got|stopped|signed|arrived|replaced|renewed|traded|spent|opened|handed|cancelled|made|had|went|found|lost|broke)\b",
    re.IGNORECASE,
)


_PERHAPS_SUBJECT = re.compile(r"(?:no|now|since|from|this|last|next|in|today|so)\b", re.I)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a clause is about, what of theirs (`thing`), and where the rest of the clause begins."""

    name: str
    role: str | None
    thing: str
    end: int
    named: str | None = None
    owner: str = SELF


def is_self(speaker: str | None) -> bool:
    """Say whether the one who speaks is the one whose memories these are."""
    return fold(speaker or "") in _OPEN_SPEAKERS


def subjects(text: str, speaker: str | None) -> list[tuple[Clause, Subject | None]]:
    """Return what `text` states, clause by clause, each with whom it is about where the rules can tell."""
    me = SELF if is_self(speaker) else (speaker or "").strip()
    found: list[tuple[Clause, Subject | None]] = []
    before: Subject | None = None
    for clause in clauses(text):
        if clause.mood in (Mood.ASKED, Mood.SUPPOSED, Mood.REPORTED):
            continue
        subject = _subject(clause.text, me, before)
        before = subject or before
        changed = CHANGED_THING.search(clause.text[subject.end :]) if subject else None
        if subject and changed:
            # "Changed the alarm code, it's 3305 now": "it" is the code.
            before = replace(subject, thing=changed["np"])
        found.append((clause, subject))
    return found


def _subject(text: str, me: str, before: Subject | None) -> Subject | None:
    place = _past_leads(text)
    rest = text[place:]
    if GRADE.match(rest) or _LEFT_OUT.match(rest):
        # A note without its subject: "Moved to Lisbon", "Third year started".
        return Subject(me, None, "", place, owner=me)
    match = SUBJECT.match(rest)
    if match is None:
        return None
    end = place + match.end()
    if match["self"]:
        return Subject(me, None, "", end, owner=me) if match["self"] != "i" else None
    if match["bare"]:
        return Subject(me, None, match["bare"], end, owner=me)
    if match["pronoun"]:
        return _referred(match["pronoun"].lower(), before, end)
    if match["name"]:
        role = _role_of_name(match["name"])
        return Subject(f"{me}.{role}" if role else match["name"], role, "", end)
    owner, owner_role = _owner(match["owner"] or match["owner2"], me, before)
    if not match["role"]:
        return Subject(owner, owner_role, match["np"], end)
    role = ROLE_NAMES.get(_last(match["role"]), _last(match["role"]))
    if "best friend" in fold(match["role"]):
        role = "best_friend"
    named = (match["rolename"] or "").strip(" ,") or None
    return Subject(named or f"{owner}.{role}", role, "", end, named, owner)


def _past_leads(text: str) -> int:
    """Return where the clause begins once "by the way", "last week" and the like are passed."""
    place = 0
    for _ in range(3):
        lead = LEAD.match(text, place)
        if lead is None or lead.end() >= len(text):
            break
        if _PERHAPS_SUBJECT.match(text, place) and not SUBJECT.match(text[lead.end() :]):
            break
        place = lead.end()
    return place


def _referred(pronoun: str, before: Subject | None, end: int) -> Subject | None:
    if before is None or pronoun == "that":
        return None
    if pronoun == "it":
        return replace(before, end=end, named=None) if before.thing else None
    return replace(before, end=end, thing="", named=None)


def _role_of_name(name: str) -> str | None:
    """Mum, Dad, Grandma: a role that serves as a name."""
    word = name.casefold()
    return ROLE_NAMES.get(word, word) if word in ROLE_NAMES or word in ROLES else None


def _owner(owner: str, me: str, before: Subject | None) -> tuple[str, str | None]:
    low = owner.lower()
    if low in ("my", "our", "the", "a", "this", "new"):
        return me, None
    if low in ("his", "her", "their", "its"):
        return (before.name, before.role) if before else (me, None)
    name = re.sub(r"'s?$", "", owner)
    role = _role_of_name(name)
    return (f"{me}.{role}" if role else name), role


def _last(words: str) -> str:
    return re.split(r"[\s]+", words.strip().casefold())[-1]
