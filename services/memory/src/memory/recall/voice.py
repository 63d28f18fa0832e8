"""Whose words a question asks for, and the question as that one would put it. Pure.

What somebody said about themselves stands there as "I" and "my": "What did Ana paint for her mother?" is looked for as
"What did I paint for my mother?", which is nearer to it than any question about Ana.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

# Of whom is spoken: how it is said by the one, by several, and to the other.
_ONE, _SEVERAL, _OTHER = ("I", "my"), ("we", "our"), ("you", "your")
_JOINED = re.compile(r"\s*,?\s*(?:and|or|&)\s*", re.IGNORECASE)
_BOTH = re.compile(r"\bboth\b", re.IGNORECASE)
_ALL_OF_US = re.compile(r"\b(?:both )?(?:we,? (?:(?:and|or|&) )?)+(we|our)\b")
_PRONOUN = re.compile(
    r"\b(?:(?P<own>his|her|their)|(?P<who>he|she|they)|(?P<self>himself|herself|themselves))\b",
    re.IGNORECASE,
)
# English has another verb for who speaks: "does she" is "do I".
_VERBS = {
    "I": {"does": "do", "has": "have", "is": "am"},
    "we": {"does": "do", "has": "have", "is": "are", "was": "were"},
    "you": {"does": "do", "has": "have", "is": "are", "was": "were"},
}
_AGREED = re.compile(
    r"\b(?P<before>[Dd]oes|[Hh]as|[Ii]s|[Ww]as) (?P<asked>I|we|you)\b"
    r"|\b(?P<told>I|we|you) (?P<after>does|has|is|was)\b"
)


@dataclass(frozen=True, slots=True)
class Mention:
    """A name in a question: where it stands, with its "'s", which speakers it may be, and whether it owns something."""

    start: int
    end: int
    names: frozenset[str]
    owns: bool


def joined(text: str, mentions: Sequence[Mention]) -> bool:
    """Say whether several are asked about as one: "Ana and Rui", "both"."""
    if len({mention.names for mention in mentions}) < 2:
        return False
    return _BOTH.search(text) is not None or any(
        one.names != other.names and _JOINED.fullmatch(text[one.end : other.start])
        for one, other in pairwise(mentions)
    )


def meant(text: str, mentions: Sequence[Mention]) -> frozenset[str]:
    """Return whose words are asked for: the one who acts in the question; nobody where several do, or may be meant."""
    if not mentions or joined(text, mentions):
        return frozenset()
    # "What does Rui think of Ana's flat?" asks Rui.
    actor = next((mention for mention in mentions if not mention.owns), mentions[0])
    return actor.names if len(actor.names) == 1 else frozenset()


def bare(text: str, mentions: Sequence[Mention]) -> str:
    """Return the question without the names."""
    return _replaced(text, mentions, {})


def spoken(text: str, mentions: Sequence[Mention]) -> str:
    """Return the question as whoever it is about would ask it of themselves; the others are spoken to."""
    together = joined(text, mentions)
    chosen = meant(text, mentions)
    voice = _SEVERAL if together else _ONE
    voices = {
        mention.names: voice if together or not chosen or mention.names == chosen else _OTHER
        for mention in mentions
    }
    said = _ALL_OF_US.sub(r"\1", _replaced(text, mentions, voices))
    return _AGREED.sub(_agreed, _PRONOUN.sub(lambda found: _pronoun(found, voice), said))


def _replaced(
    text: str, mentions: Sequence[Mention], voices: Mapping[frozenset[str], tuple[str, str]]
) -> str:
    kept: list[str] = []
    end = 0
    for mention in mentions:
        kept.append(text[end : mention.start])
        kept.append(voices.get(mention.names, ("", ""))[mention.owns])
        end = mention.end
    kept.append(text[end:])
    return " ".join("".join(kept).split())


def _pronoun(found: re.Match[str], voice: tuple[str, str]) -> str:
    who, own = voice
    if found["self"]:
        return "ourselves" if who == "we" else "myself"
    return own if found["own"] else who


def _agreed(found: re.Match[str]) -> str:
    who = found["asked"] or found["told"]
    verb = found["before"] or found["after"]
    verb = _VERBS[who].get(verb.lower(), verb)
    return f"{verb} {who}" if found["asked"] else f"{who} {verb}"
