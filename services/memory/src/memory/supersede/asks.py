"""What a question asks for, as far as the facts go: of whom, and which predicates would answer. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from memory.facts.fact import ExtractedFact
from memory.facts.patterns import NAME
from memory.facts.predicates import ROLE_NAMES, ROLES, SELF, fold
from memory.supersede.words import stem, stems

_COUPLE = ("spouse", "dating", "girlfriend", "boyfriend", "wife", "husband", "partner", "fiance")
# First match wins: the narrower before the wider.
_RULES: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), predicates)
    for pattern, predicates in (
        (r"\b(?:e-?mail)\b", ("email",)),
        (r"\b(?:phone|mobile|cell|telephone)\b.*\bnumber|\bnumber\b.*\b(?:phone|reach|call)|\bwhat(?:'s| is)\s+[\w' ]+\s+number\b", ("phone", "number")),
        (r"\bbirthday|\bborn\b", ("birthday", "born_on")),
        (r"\bhow\s+old\b", ("age",)),
        (r"\baddress\b", ("address", "lives_in")),
        (r"\bwhere\b.*\b(?:live|lives|living|home|moved?|staying|reside|based)\b|\b(?:which|what)\s+(?:city|town|country|neighbou?rhood|street)\b.*\b(?:live|lives|living)\b", ("lives_in", "address")),
        (r"\b(?:where|who|which|what)\b.*\b(?:work|works|working|employ\w*|employer|company\s+(?:do|does|did))\b(?!\s+out)", ("works_at", "job_title")),
        (r"\b(?:job|profession|occupation|for\s+a\s+living|position|role|title|what\s+do(?:es)?\s+\w+\s+do\s*\?)", ("job_title", "works_at")),
        (r"\b(?:dating|girlfriend|boyfriend|husband|wife|spouse|married\s+to|engaged|in\s+a\s+relationship|seeing|together\s+with|partner|fianc\w+|who\s+(?:am|was|is)\s+\w+\s+with)\b", _COUPLE),
        (r"\bbest\s+friend\b", ("best_friend",)),
        (r"\b(?:what|which)\s+(?:car|vehicle|truck)\b|\bdrive\b", ("car", "owns", "attribute")),
        (r"\bfavou?rite\b|\bdo\s+\w+\s+like\s+(?:best|most)\b", ("favourite", "prefers")),
        (r"\ballerg|\bintoleran", ("allergic_to", "diet")),
        (r"\b(?:internet|electricity|energy|power|gas|phone|mobile|bank|insurance|broadband)\b.*\b(?:provider|company|supplier|with|plan|carrier)\b|\bsuppl(?:y|ies)\b|\bwhich\s+(?:bank|provider)\b", ("provider", "attribute")),
        (r"\bschool\b|\bkindergarten\b|\bdaycare\b|\bnursery\b", ("attends", "grade")),
        (r"\b(?:what|which)\s+(?:year|grade|class)\b", ("grade",)),
        (r"\bstud(?:y|ies|ying)\b|\bmajor\b", ("studies", "learns")),
        (r"\b(?:get|wake)s?\s+up\b", ("gets_up",)),
        (r"\b(?:sleep|sleeps)\b", ("sleeps_in",)),
        (r"\b(?:play|plays)\b", ("plays",)),
        (r"\b(?:learn|learning)\b", ("learns",)),
        (r"\b(?:code|password|combination|pin|plate)\b", ("number",)),
        (r"\b(?:how\s+much|price|cost|rent|rate|pay)\b", ("price", "attribute", "amount")),
        (r"\bwhere\s+(?:is|are|do\s+\w+\s+keep|was|were)\b", ("kept_in", "attribute", "number")),
        (r"\b(?:when|what\s+time|which\s+day|what\s+day|on\s+which|on\s+what|which\s+evening)\b", ("schedule", "appointment", "birthday")),
        (r"\b(?:eat|drink|smoke|vegetarian|vegan|diet)\b", ("consumes", "diet", "prefers")),
        (r"\b(?:like|likes|love|loves|enjoy|prefer|prefers|hate|hates|think\s+(?:about|of))\b", ("likes", "dislikes", "prefers")),
    )
)  # fmt: skip
_WHO = re.compile(r"\bwho\b", re.IGNORECASE)
_ROLE_WORDS = "|".join(sorted(ROLES, key=len, reverse=True))
_ROLE = re.compile(
    rf"\b(?P<owner>my|our|(?-i:[A-ZÀ-Þ])[\w-]+'s)\s+(?:new\s+|best\s+)?(?P<role>{_ROLE_WORDS})\b",
    re.IGNORECASE,
)
_NAMED = re.compile(rf"(?<!^)(?<![.?!]\s)\b(?P<name>{NAME})")
_SELF = re.compile(r"\b(?:i|we|my|our|me|us)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Asked:
    """Of whom a question asks (`about`, folded), and by which predicates; `topic` are its weighty stems."""

    about: frozenset[str]
    predicates: tuple[str, ...]
    topic: frozenset[str]


def asked(query: str) -> Asked:
    """Return what `query` asks for; no predicates when no rule knows."""
    about: set[str] = set()
    roles: list[str] = []
    for match in _ROLE.finditer(query):
        role = ROLE_NAMES.get(match["role"].lower(), match["role"].lower())
        roles.append(role)
        about.add(f"{SELF}.{role}")
    for match in _NAMED.finditer(query):
        name = fold(re.sub(r"'s?$", "", match["name"]))
        role = ROLE_NAMES.get(name, name)
        about.add(f"{SELF}.{role}" if role in ROLES else name)
    if not about and _SELF.search(query):
        about.add(SELF)
    predicates = next((names for pattern, names in _RULES if pattern.search(query)), ())
    if roles and _WHO.search(query):
        # "Who is my dentist?": the relation itself.
        predicates = (*roles, *predicates)
        about.add(SELF)
    return Asked(frozenset(about), predicates, frozenset(stems(query)))


def answers(asks: Asked, fact: ExtractedFact) -> bool:
    """Say whether the fact is of the kind that the question asks for, of whom it asks."""
    if fact.predicate not in asks.predicates:
        return False
    subject = fold(fact.subject)
    mine = subject in asks.about or bool(fact.role and f"{SELF}.{fact.role}" in asks.about)
    if not mine and subject == SELF:
        mine = SELF in asks.about
    if not mine:
        return False
    if not fact.qualifier:
        return True
    return bool({stem(word) for word in fact.qualifier.split()} & asks.topic)
