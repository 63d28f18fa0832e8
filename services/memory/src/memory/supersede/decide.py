"""Does one memory replace another? Pure, and the same whichever of the two arrived first.

Of two memories the later one replaces the earlier if both are about the same person and
1. they fill one slot with different values, or say a thing and its opposite;
2. the later ends something that the earlier is about ("sold the Golf", "no longer", "instead of");
3. they share a topic and differ in a value of one kind (weekday, time, sum, code, number);
4. the later says that something changed, or corrects itself, and is near the earlier in words and meaning.
What is asked, supposed, quoted or over replaces nothing; what "also" holds ends nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from memory.facts.fact import ExtractedFact
from memory.facts.predicates import PREDICATES, fold
from memory.supersede.people import parts_of, ratio_of, same_people, weighty_of
from memory.supersede.reading import Reading
from memory.supersede.words import stem, stems

# What kinds of values contradict each other without a word of change: there is one of each.
_SINGLE_KINDS = frozenset(
    {"phone", "code", "money", "mail", "measure", "grade", "clock", "weekday", "date", "count"}
)
# What is said of a body or a class without naming it: "I'm down to 81 kilos".
_BODILY = frozenset({"measure", "grade", "count"})
_COUPLE = frozenset(
    {"girlfriend", "boyfriend", "wife", "husband", "partner", "spouse", "dating", "fiance"}
)
# What a thing is, costs or counts: one place, however the rule that read it named it.
_VALUES = frozenset({"attribute", "price", "number", "amount", "name", "schedule", "appointment"})
_TASTE = {"likes": True, "dislikes": False}


@dataclass(frozen=True, slots=True)
class Verdict:
    """That one memory replaces another: why, how sure, and whether the other was never true."""

    rule: str
    reason: str
    confidence: float
    corrects: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """How near two memories must be for the rules that go by words and meaning."""

    near: float = 0.5
    near_cued: float = 0.45
    near_changed: float = 0.45
    near_ended: float = 0.4
    shared: float = 0.32


STRICT = Limits()


def later_of(one: Reading, other: Reading) -> bool:
    """Say whether `one` speaks of a later time than `other`: what is past ends when it says."""
    return (one.holds_at, one.said_at) > (other.holds_at, other.said_at)


def replaces(
    later: Reading, earlier: Reading, cosine: float | None, limits: Limits = STRICT
) -> Verdict | None:
    """Return why `later` replaces `earlier`, or None. Both must be of one person's namespace."""
    if later.silent or earlier.silent or later.past:
        return None
    near = cosine if cosine is not None else 0.0
    verdict = _by_facts(later, earlier, near)
    if verdict is not None:
        return verdict
    if not same_people(later, earlier):
        return None
    shared = later.topic & earlier.topic
    return (
        _by_ending(later, earlier, near, shared, limits)
        or _by_value(later, earlier, near, shared, limits)
        or _by_change(later, earlier, near, shared, limits)
    )


def _by_facts(later: Reading, earlier: Reading, near: float) -> Verdict | None:
    for new in later.facts:
        for old in earlier.facts:
            if who_of(new) != who_of(old) and not _one_of_role(new, old):
                continue
            # A thing that "is" something is of no known shape.
            rule = "value" if kind_of(new) == "value" else "fact"
            if _opposed(new, old):
                return Verdict(rule, f"{new.predicate}: no longer", 0.95, later.corrects)
            if not new.polarity or not _one_slot(new, old, near):
                continue
            if later.adds and not later.updates:
                continue
            if not old.polarity or not _same_value(new.object, old.object):
                return Verdict(rule, f"{new.predicate}: another value", 0.9, later.corrects)
            if new.predicate == "age" or (later.corrects and later.values != earlier.values):
                return Verdict(rule, f"{new.predicate}: another value", 0.9, later.corrects)
    return None


def who_of(fact: ExtractedFact) -> str:
    """Return the subject of a fact as two spellings of it agree."""
    return fold(fact.subject)


def _one_of_role(new: ExtractedFact, old: ExtractedFact) -> bool:
    """My sister Ana, and later "my sister": one person, if both are named by the relation."""
    return bool(new.role and new.role == old.role and ("." in new.subject or "." in old.subject))


def kind_of(fact: ExtractedFact) -> str:
    """Return the kind of slot that a fact fills; several predicates may share one."""
    if fact.predicate in _COUPLE:
        return "couple"
    return "value" if fact.predicate in _VALUES else fact.predicate


def _one_slot(new: ExtractedFact, old: ExtractedFact, near: float) -> bool:
    if (old.predicate, new.predicate) == ("address", "lives_in"):
        # Who moves has another address; who tells an address has not moved.
        return True
    if kind_of(new) != kind_of(old) or not PREDICATES[new.predicate].one:
        return False
    if new.qualifier == old.qualifier:
        return True
    if new.predicate == "favourite" and not (new.qualifier and old.qualifier):
        return near >= 0.35
    mine, theirs = _core(new.qualifier), _core(old.qualifier)
    if not mine or not theirs:
        return False
    return set(mine) == set(theirs) or (
        mine[-1] == theirs[-1]
        and near >= 0.5
        and (set(mine) < set(theirs) or set(theirs) < set(mine))
    )


def _core(qualifier: str) -> list[str]:
    """Return the stems of the thing itself: "rent for the studio" -> rent."""
    head = re.split(r"\s+(?:for|of|at|in|on|with|from|these|this|to)\b", qualifier, maxsplit=1)[0]
    return stems(head) or [stem(word) for word in head.split()]


def _same_value(one: str, other: str) -> bool:
    """Say whether two values are one: the same words, or one a closer description of the other."""
    if any(character.isdigit() for character in one + other):
        numbers = re.findall(r"\d+", one), re.findall(r"\d+", other)
        if numbers[0] and numbers[1] and numbers[0] != numbers[1]:
            return False
    left, right = set(stems(one)) or {fold(one)}, set(stems(other)) or {fold(other)}
    return left <= right or right <= left


def _opposed(new: ExtractedFact, old: ExtractedFact) -> bool:
    if {new.predicate, old.predicate} == {"likes", "dislikes"}:
        opposed = new.polarity and old.polarity
    elif kind_of(new) == kind_of(old):
        opposed = new.polarity != old.polarity
    else:
        return False
    left, right = set(stems(new.object)), set(stems(old.object))
    return opposed and bool(left & right)


def _by_ending(
    later: Reading, earlier: Reading, near: float, shared: frozenset[str], limits: Limits
) -> Verdict | None:
    """2. What the later one ends, the earlier one is about."""
    about = earlier.topic | earlier.names
    gone = later.ended & about
    left = later.left & about
    names = {stem(name) for name in earlier.names}
    if left and (left & names or weighty_of(shared - left, later)):
        # "from the barn" alone is a place among others; "from Vodafone" is what was left.
        gone |= left
    if not gone:
        return None
    named = ", ".join(sorted(gone)[:3])
    weighty = weighty_of(gone, later)
    if weighty and (
        near >= limits.near_ended
        or len(gone) > 1
        or (gone & {stem(name) for name in later.names} and near >= 0.2)
    ):
        return Verdict("ended", f"ended: {named}", 0.85)
    # Somebody is gone: what they did is over, and what else they are mentioned in only if its topic is taken up.
    leaver = gone & parts_of(later)
    if leaver and (leaver & parts_of(earlier) or len(shared) > 1):
        return Verdict("gone", f"gone: {named}", 0.8)
    return None


def _by_value(
    later: Reading, earlier: Reading, near: float, shared: frozenset[str], limits: Limits
) -> Verdict | None:
    """3. One topic, and another value of one kind."""
    kinds = [
        kind
        for kind, values in later.values.items()
        if kind in _SINGLE_KINDS and kind in earlier.values and not values & earlier.values[kind]
    ]
    if not kinds or (later.adds and not later.updates):
        return None
    cued = later.updates or later.corrects
    floor = limits.near_cued if cued else limits.near
    # Nothing but the value is new: "Rosa can only do Tuesdays".
    bare = (
        bool(shared) and cued and not weighty_of(later.topic - earlier.topic - later.names, later)
    )
    enough = (
        bare
        or (
            bool(weighty_of(shared, later, earlier))
            and ratio_of(later, earlier, shared) >= limits.shared
        )
        or (bool(shared) and near >= 0.65)
        or (not shared and cued and kinds[0] in _BODILY and near >= 0.5)
    )
    if enough and near >= floor:
        return Verdict("value", f"another {kinds[0]}", 0.85 if cued else 0.75, later.corrects)
    return None


def _by_change(
    later: Reading, earlier: Reading, near: float, shared: frozenset[str], limits: Limits
) -> Verdict | None:
    """4. The later one says that something changed, or takes something back."""
    if not (later.updates or later.corrects) or later.adds:
        return None
    weighty = weighty_of(shared, later, earlier)
    if (
        weighty
        and ratio_of(later, earlier, shared) >= limits.shared
        and near >= (limits.near_cued if later.corrects else limits.near_changed)
    ):
        return Verdict("changed", "changed: " + ", ".join(sorted(weighty)[:3]), 0.7, later.corrects)
    return None


def begins(new: Reading, old: Reading, verdict: Verdict) -> datetime:
    """Return from when the new one holds: as it says, else when it was said; a correction always did."""
    if verdict.corrects and not new.past:
        return old.said_at
    named = [fact.valid_from for fact in new.facts if fact.valid_from is not None]
    start = min(named, default=new.said_at)
    return max(start, old.said_at) if start > old.said_at else new.said_at
