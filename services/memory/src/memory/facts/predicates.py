"""What a fact can say: each predicate with how many values hold at once, and the slot a fact fills. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memory.facts.fact import ExtractedFact

SELF = "self"


@dataclass(frozen=True, slots=True)
class Predicate:
    """One thing to say of a subject. `one`: a new value ends the old. `relation`: its object is an entity."""

    name: str
    label: str
    one: bool
    object_kind: str
    relation: bool


def _one(name: str, label: str, kind: str = "text", relation: bool = False) -> Predicate:
    return Predicate(name, label, True, kind, relation)


def _many(name: str, label: str, kind: str = "thing", relation: bool = False) -> Predicate:
    return Predicate(name, label, False, kind, relation)


# People of whom one has one at a time, and people of whom one may have several.
ROLES_ONE = frozenset(
    [
        "wife",
        "husband",
        "partner",
        "girlfriend",
        "boyfriend",
        "fiance",
        "fiancee",
        "spouse",
        "mother",
        "mum",
        "mom",
        "mama",
        "father",
        "dad",
        "papa",
        "boss",
        "manager",
        "supervisor",
        "landlord",
        "landlady",
        "dentist",
        "gp",
        "doctor",
        "physician",
        "cardiologist",
        "physio",
        "physiotherapist",
        "therapist",
        "vet",
        "accountant",
        "lawyer",
        "notary",
        "plumber",
        "electrician",
        "mechanic",
        "gardener",
        "cleaner",
        "maid",
        "nanny",
        "hairdresser",
        "barber",
        "trainer",
        "coach",
        "midwife",
        "surgeon",
        "dispatcher",
        "pediatrician",
        "paediatrician",
        "optician",
        "babysitter",
        "handyman",
        "cofounder",
    ]
)
ROLES_MANY = frozenset(
    [
        "sister",
        "brother",
        "son",
        "daughter",
        "child",
        "kid",
        "baby",
        "grandson",
        "granddaughter",
        "grandchild",
        "cousin",
        "aunt",
        "uncle",
        "niece",
        "nephew",
        "friend",
        "neighbour",
        "neighbor",
        "flatmate",
        "roommate",
        "housemate",
        "colleague",
        "coworker",
        "classmate",
        "grandmother",
        "grandma",
        "granny",
        "grandfather",
        "grandpa",
        "parent",
        "parents",
        "twin",
        "stepson",
        "stepdaughter",
        "stepmother",
        "stepfather",
        "godson",
        "goddaughter",
        "student",
        "teacher",
        "tenant",
        "abuela",
        "abuelo",
    ]
)
ROLES = ROLES_ONE | ROLES_MANY
# One relation under its many names, so that "Mum" and "my mother" are one slot.
ROLE_NAMES: Mapping[str, str] = {
    "mum": "mother", "mom": "mother", "mama": "mother", "dad": "father", "papa": "father", "kid": "child",
    "neighbor": "neighbour", "roommate": "flatmate", "housemate": "flatmate", "physio": "physiotherapist",
    "grandma": "grandmother", "granny": "grandmother", "abuela": "grandmother", "grandpa": "grandfather",
    "abuelo": "grandfather", "coworker": "colleague", "pediatrician": "paediatrician", "maid": "cleaner",
    "fiancee": "fiance", "gp": "doctor", "physician": "doctor", "landlady": "landlord", "manager": "boss",
}  # fmt: skip

# What people are customers of, under one name each.
SERVICES: Mapping[str, str] = {
    "electricity": "energy", "gas": "energy", "power": "energy", "energy": "energy", "heating": "energy",
    "internet": "internet", "broadband": "internet", "wifi": "internet", "fibre": "internet", "fiber": "internet",
    "mobile": "mobile", "phone": "mobile", "cell": "mobile", "bank": "bank", "account": "bank", "savings": "bank",
    "insurance": "insurance", "gym": "gym",
}  # fmt: skip

PREDICATES: Mapping[str, Predicate] = {
    predicate.name: predicate
    for predicate in (
        _one("lives_in", "lives in", "place", relation=True),
        _one("works_at", "works at", "organisation", relation=True),
        _one("job_title", "works as"),
        _one("phone", "phone number"),
        _one("email", "email"),
        _one("address", "address", "place"),
        _one("birthday", "birthday", "time"),
        _one("born_on", "born", "time"),
        _one("age", "age"),
        _one("name", "is called"),
        _one("spouse", "is married to", "person", relation=True),
        _one("dating", "is together with", "person", relation=True),
        _one("diet", "eats"),
        _one("car", "drives", "thing"),
        _one("commute", "gets around by"),
        _one("provider", "is a customer of", "organisation", relation=True),
        _one("favourite", "favourite"),
        _one("prefers", "prefers"),
        _one("appointment", "appointment", "time"),
        _one("schedule", "takes place", "time"),
        _one("kept_in", "is kept", "place"),
        _one("attends", "goes to", "organisation", relation=True),
        _one("studies", "studies", "topic"),
        _one("grade", "is in"),
        _one("dose", "takes"),
        _one("number", "has the number or code"),
        _one("price", "costs"),
        _one("amount", "amounts to"),
        _one("attribute", "is"),
        _one("sleeps_in", "sleeps in"),
        _one("gets_up", "gets up", "time"),
        _one("best_friend", "best friend", "person", relation=True),
        *(_one(f"{role}", role, "person", relation=True) for role in sorted(ROLES_ONE)),
        *(_many(f"{role}", role, "person", relation=True) for role in sorted(ROLES_MANY)),
        _many("likes", "likes"),
        _many("dislikes", "dislikes"),
        _many("owns", "has"),
        _many("consumes", "eats or drinks"),
        _many("allergic_to", "is allergic to"),
        _many("plays", "plays"),
        _many("speaks", "speaks"),
        _many("learns", "learns", "topic"),
        _many("uses", "uses"),
        _many("takes", "takes"),
        _many("does", "does"),
        _many("knows", "knows", "person", relation=True),
        _many("member_of", "is a member of", "organisation", relation=True),
        _many("visited", "was in", "place", relation=True),
        _many("status", "is"),
    )
}
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one value at a time has its place."""

    subject: str
    predicate: str
    qualifier: str


def fold(text: str) -> str:
    """Return `text` as two spellings of one thing agree."""
    return _SPACE.sub(" ", text.casefold().replace("’", "'")).strip(" .,:;!?'\"")


def slot(fact: ExtractedFact) -> Slot | None:
    """Return the slot that the fact fills; None when its predicate holds many values at once."""
    predicate = PREDICATES[fact.predicate]
    if not predicate.one:
        return None
    return Slot(fold(fact.subject), fact.predicate, fold(fact.qualifier))


def label(predicate: str) -> str:
    """Return the predicate in words for people."""
    known = PREDICATES.get(predicate)
    return known.label if known else predicate.replace("_", " ")
