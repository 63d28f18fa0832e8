"""What is said of a subject: facts by the shapes of sentences, and what a thing "is". Pure."""

from __future__ import annotations

import re
from dataclasses import replace

from memory.facts.clauses import Clause
from memory.facts.fact import ExtractedFact
from memory.facts.patterns import AGE, ANY_SHAPE, BORN, CHANGE, GRADE, IS, NAME, SHAPES
from memory.facts.predicates import PREDICATES, SELF, SERVICES
from memory.facts.subjects import Subject

OBJECT_CHARS_MAX = 120
_TAIL = re.compile(
    r"\s+(?:since|from|until|till|because|so\s+that|so|when|while|where|who|which|that|after|before|though|although|but|and\s+(?:I|we|he|she|they|it|my|our|has|have|is|are|can|cannot|leaves|bought|took|sold|gets)|with\s+(?:my|our|his|her|the)|as\s+(?:a|an|the)|last\s+\w+|this\s+\w+|next\s+\w+|now|today|yesterday|again|anymore|any\s+more|these\s+days|at\s+the\s+moment|for\s+now|instead|too|either|already|on\s+the\s+(?:first|\d+\w*)|in\s+(?:19|20)\d\d|in\s+(?:January|February|March|April|May|June|July|August|September|October|November|December))\b.*$",
    re.IGNORECASE | re.DOTALL,
)
_ARTICLE = re.compile(r"^(?:a|an|the|my|our|some|about|around|roughly)\s+", re.IGNORECASE)
_ADJECTIVE = re.compile(
    r"^(?:new|old|current|present|usual|own|latest|updated|real|actual|regular|main|first|last|favou?rite|preferred)\s+",
    re.IGNORECASE,
)
_FAVOURITE = re.compile(r"\b(?:favou?rite|preferred)\s+(?P<what>[\w -]+)", re.IGNORECASE)
_PHONE_NP = re.compile(
    r"\b(?:phone|mobile|cell|telephone|tel)\b|^(?:new\s+)?number$", re.IGNORECASE
)
_CODE_NP = re.compile(
    r"\b(?:code|password|pin|combination|number|key|plate|iban|id|passcode|hint)\b", re.IGNORECASE
)
_DIGITS = re.compile(r"\+?\d[\d\s()/-]{5,18}\d")
_MONEY = re.compile(
    r"(?:[$€£₹]\s?\d|\b\d[\d.,]*\s*(?:euros?|dollars?|pounds?|rupees?|kroner|zloty|francs?|eur|usd|gbp|cents?|bucks)\b)",
    re.IGNORECASE,
)
_TIME_VALUE = re.compile(
    r"^(?:at|on|every|from|in\s+the|until|by|around|moved\s+to|changed\s+to|to)?\s*(?:every\s+|half\s+past\s+|quarter\s+(?:past|to)\s+)?(?:(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b|\d{1,2}(?::|\.)\d\d|\d{1,2}\s*(?:am|pm|o'clock)|noon|midnight|tomorrow|(?:the\s+)?\d{1,2}(?:st|nd|rd|th)?\s+(?:of\s+)?(?:january|february|march|april|may|june|july|august|september|october|november|december)|(?:january|february|march|april|may|june|july|august|september|october|november|december)\b|(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b(?!\s+\w*(?:s|euros|people)\b))",
    re.IGNORECASE,
)
_PLACE_VALUE = re.compile(
    r"^(?:kept\s+|stored\s+)?(?:in|at|under|behind|on|above|below|next\s+to|near|outside|inside|above|with)\s+",
    re.IGNORECASE,
)
_COMPANION = re.compile(rf"^(?P<with>{NAME})\s+and\s+I\b")
_PARTED = re.compile(
    r"\b(?:split\s+up|broke\s+up|no\s+longer\s+(?:together|a\s+couple)|separated|got\s+divorced|are\s+divorced)\b",
    re.I,
)
_FAVOURITE_OF = re.compile(
    r"^(?:'s|\s+(?:is|are))\s+(?:now\s+)?my\s+(?:new\s+)?favou?rite\b(?P<what>(?:\s+(?!now\b|these\b|at\b)\w+){0,2})",
    re.I,
)
_CUSTOMER = re.compile(
    rf"^(?:'re|'m|\s+(?:are|am|is|went|go))\s+(?:now\s+)?with\s+(?P<o>{NAME})\s+for\s+(?:our\s+|my\s+)?(?P<what>\w+)"
)
_GENERAL = frozenset(
    [
        "thing",
        "things",
        "day",
        "days",
        "time",
        "way",
        "people",
        "one",
        "lot",
        "kind",
        "problem",
        "idea",
        "point",
        "reason",
        "news",
        "question",
        "answer",
        "rest",
    ]
)


def said(clause: Clause, subject: Subject) -> list[ExtractedFact]:
    """Return the facts that a clause states of its subject, without their times."""
    found: list[ExtractedFact] = []
    rest = clause.text[subject.end :]
    if not rest.startswith((" ", "'", ",")):
        rest = " " + rest
    if subject.named and subject.role:
        found.append(
            _fact(subject.owner, subject.role, subject.named, "person", True, 0.85, clause, None)
        )
    change = CHANGE.search(rest)
    if change and (not subject.thing or change.start() < 2):
        return found + _changed(clause, subject, change)
    if subject.thing:
        return found + _thing(clause, subject, rest)
    found += _couple(clause, subject) + _other(clause, subject, rest)
    if subject.role and subject.named is None:
        found += _who(clause, subject, rest)
    return found + _shaped(clause, subject, rest)


def _changed(clause: Clause, subject: Subject, change: re.Match[str]) -> list[ExtractedFact]:
    moved = bool(re.match(r"(?:moved|put|shifted)", change.group(), re.I))
    thing = replace(subject, thing=change["np"], name=_changed_owner(subject))
    word = "in" if moved and change["to"] in ("to", "into") else change["to"]
    bare = word == "to" or _TIME_VALUE.match(change["v"])
    value = change["v"] if bare else f"{word} {change['v']}"
    return _thing(clause, thing, f" is {value}")


def _shaped(clause: Clause, subject: Subject, rest: str) -> list[ExtractedFact]:
    found: list[ExtractedFact] = []

    def add(predicate: str, value: str, kind: str, polarity: bool, confidence: float) -> None:
        found.append(
            _fact(subject.name, predicate, value, kind, polarity, confidence, clause, subject.role)
        )

    age, born = AGE.match(rest), BORN.match(rest)
    if age:
        add("age", age["o"], "text", True, 0.8)
    if born:
        add("born_on", _trim(born["o"]), "time", True, 0.8)
    taken: set[str] = set()
    for shape in SHAPES if ANY_SHAPE.match(rest) else ():
        match = shape.pattern.match(rest) if shape.predicate not in taken else None
        value = _trim(match["o"]) if match else ""
        if match is None or not value:
            continue
        taken.add(shape.predicate)
        if shape.predicate == "prefers":
            # "coffee over tea": coffee.
            value = re.split(r"\s+(?:over|to|rather\s+than|instead\s+of|than)\s+", value)[0]
        # "Can't stand" is a dislike as it is; any other verb is turned round by a "not".
        polarity = shape.predicate == "dislikes" or not (shape.ends or match["neg"])
        add(shape.predicate, value, shape.kind, polarity, shape.confidence)
        if match.groupdict().get("at"):
            add("works_at", _trim(match["at"]), "organisation", True, 0.7)
    return found


def _changed_owner(subject: Subject) -> str:
    """A doctor who raises a dose, a landlord who raises the rent: the thing is the speaker's."""
    return subject.owner if subject.role or subject.thing else subject.name


def _couple(clause: Clause, subject: Subject) -> list[ExtractedFact]:
    companion = _COMPANION.match(clause.text)
    if companion is None or not _PARTED.search(clause.text):
        return []
    return [_fact(subject.name, "dating", companion["with"], "person", False, 0.85, clause, None)]


def _other(clause: Clause, subject: Subject, rest: str) -> list[ExtractedFact]:
    """A school year, and what somebody calls their favourite."""
    found: list[ExtractedFact] = []
    grade = GRADE.search(clause.text)
    if grade:
        found.append(
            _fact(subject.name, "grade", grade["o"], "text", True, 0.7, clause, subject.role)
        )
    customer = _CUSTOMER.match(rest)
    if customer:
        fact = _fact(
            subject.name, "provider", customer["o"], "organisation", True, 0.8, clause, None
        )
        found.append(replace(fact, qualifier=_service(customer["what"].lower())))
    favourite = _FAVOURITE_OF.match(rest)
    if favourite and subject.name != SELF:
        fact = _fact(subject.owner, "favourite", subject.name, "thing", True, 0.7, clause, None)
        found.append(replace(fact, qualifier=favourite["what"].strip().lower()))
    return found


def _who(clause: Clause, subject: Subject, rest: str) -> list[ExtractedFact]:
    """My dentist is Dr. Pinto; her boss is called Jo."""
    match = re.match(
        rf"^(?:\s+(?:now|still))?(?:'s|\s+(?:is|was|will\s+be))(?:\s+(?:now|currently|called|named|going\s+to\s+be|a\s+\w+\s+(?:called|named)))*\s+(?P<o>{NAME})",
        rest,
    )
    if match is None or subject.role is None:
        return []
    owner = subject.owner
    predicate = subject.role
    if predicate not in PREDICATES:
        return []
    return [replace(_fact(owner, predicate, match["o"], "person", True, 0.9, clause, None))]


def _thing(clause: Clause, subject: Subject, rest: str) -> list[ExtractedFact]:
    """What a thing of somebody's is: its number, its place, its time, its name."""
    match = IS.match(rest)
    if match is None:
        return []
    thing = subject.thing
    negative = bool(re.match(r"(?:not|no\s+longer|n't)\b", match["v"], re.I))
    value = _trim(re.sub(r"^(?:not|no\s+longer)\s+", "", match["v"], flags=re.I))
    favourite = _FAVOURITE.search(thing)
    low = thing.lower()
    if not value or low in _GENERAL:
        return []
    qualifier = _ADJECTIVE.sub("", _ADJECTIVE.sub("", low))
    predicate, kind = "attribute", "text"
    if favourite:
        predicate, kind, qualifier = "favourite", "thing", favourite["what"].lower()
    elif "birthday" in low:
        predicate, kind, qualifier = "birthday", "time", ""
    elif _PHONE_NP.search(low) and _DIGITS.search(match["v"]):
        predicate, qualifier = (
            "phone",
            re.sub(r"\b(?:phone|mobile|cell|telephone|number|new|us)\b", "", low).strip(),
        )
        value = _DIGITS.search(match["v"])[0]  # type: ignore[index]
    elif re.search(r"\be-?mail\b", low):
        predicate, qualifier = "email", ""
    elif re.search(r"\baddress\b", low):
        predicate, kind, qualifier = "address", "place", ""
    elif _CODE_NP.search(low):
        predicate = "number"
    elif "called" not in match["mid"] and _provider(match["v"], low):
        predicate, kind, qualifier = "provider", "organisation", _service(qualifier)
        value = _provider(match["v"], low) or value
    elif _MONEY.search(match["v"]):
        predicate = "price"
    elif _TIME_VALUE.match(match["v"]):
        predicate, kind = ("appointment" if "appointment" in low else "schedule"), "time"
        value = _trim(match["v"], keep_time=True)
    elif _PLACE_VALUE.match(match["v"]) and not re.match(r"^\s*with\b", match["v"]):
        predicate, kind = "kept_in", "place"
    elif (
        match["v"].lower().startswith(("called", "named"))
        or "called" in match["mid"]
        or "named" in match["mid"]
    ):
        predicate = "name"
    fact = _fact(subject.name, predicate, value, kind, not negative, 0.7, clause, subject.role)
    return [replace(fact, qualifier=qualifier)]


def _provider(value: str, thing: str) -> str | None:
    served = thing.split()[-1] in SERVICES and thing != "wifi"
    match = re.match(
        rf"^(?:{'(?:from|with|by|in)?' if served else '(?:from|with|by)'})\s*(?P<o>{NAME})", value
    )
    return match["o"] if match else None


def _service(words: str) -> str:
    """Return what is provided, under one name: "electricity contract" -> energy."""
    return next((SERVICES[word] for word in words.split() if word in SERVICES), words)


def _trim(value: str, keep_time: bool = False) -> str:
    value = value.strip()
    if not keep_time:
        value = _TAIL.sub("", value)
    value = _ARTICLE.sub("", value.split("\n")[0]).strip(" ,;:.!?\"'")
    return value[:OBJECT_CHARS_MAX]


def _fact(
    subject: str,
    predicate: str,
    value: str,
    kind: str,
    polarity: bool,
    confidence: float,
    clause: Clause,
    role: str | None,
) -> ExtractedFact:
    return ExtractedFact(
        subject=subject, predicate=predicate, object=value, object_kind=kind, polarity=polarity,
        valid_from=None, valid_to=None, confidence=confidence,
        span=(clause.start, clause.start + len(clause.text)), role=role,
    )  # fmt: skip
