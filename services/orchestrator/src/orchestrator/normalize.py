"""Stage 1: a person's words -> an Intent. Rules, not a model: what may act must be predictable."""

import re

from orchestrator.domain import Intent, IntentKind, Tier

SACRED_PLACEHOLDER = "[Sacred: these words are kept with your sacred memories and nowhere else.]"

FORGOTTEN_PLACEHOLDER = "[Forgotten: these words went away with a memory.]"
MADE_SACRED_PLACEHOLDER = (
    "[Sacred: these words went where the memory went, to your sacred memories.]"
)

_POLITE = (
    r"(?:(?:hey |hi |ok |okay )?(?:lares|please)[,:]? )*"
    r"(?:(?:can|could|would|will) you (?:please )?|please |i want you to |i'd like you to )?"
)
_TIERS = {
    "sacred": Tier.SACRED,
    "sacredly": Tier.SACRED,
    "secret": Tier.SACRED,
    "secretly": Tier.SACRED,
    "in secret": Tier.SACRED,
    "private": Tier.SACRED,
    "privately": Tier.SACRED,
    "in private": Tier.SACRED,
    "sensitive": Tier.SENSITIVE,
    "convenience": Tier.CONVENIENCE,
}
_ADJECTIVE = "sacred|secret|private|sensitive|convenience"
_ADVERB = "sacredly|secretly|privately|in secret|in private"
_THING = "(?: memory| note)?"


def _tier(n: int) -> str:
    """Return the words that name a tier: "as sacred", "privately", or a bare "sacred" before a colon or "that".

    "Remember private lessons start on Monday" names none.
    """
    return (
        rf"(?:(?:this |it )?(?:as (?:an? )?(?P<as{n}>{_ADJECTIVE})\b{_THING}|(?P<adverb{n}>{_ADVERB})\b|"
        rf"(?P<bare{n}>{_ADJECTIVE}){_THING}(?= that\b|\s*:)))"
    )


_SPACES = re.compile(r"[ \t\u00a0]+")
_REMEMBER = re.compile(
    rf"^{_POLITE}(?:remember|memori[sz]e|keep in mind|bear in mind|(?:don't|do not|never) forget|"
    rf"(?:make|take) (?:a |yourself a )?(?:(?P<kind>{_ADJECTIVE}) )?note(?: of)?|"
    r"(?P<doubtful>note(?: down)?|jot down|write down|save))\b"
    rf"(?: {_tier(1)})?(?P<link> that\b|\s*[:,]| this\b\s*[:,]?| the fact that\b| to\b)?"
    rf"(?:,? {_tier(2)}[:,]?(?P<link2> that\b|\s*[:,])?)?[\s:,]*(?P<fact>.*)$",
    re.IGNORECASE | re.DOTALL,
)
_FORGET = re.compile(
    rf"^{_POLITE}(?P<verb>forget|erase|delete|unlearn)\b(?: about\b)?"
    r"(?P<link> that\b| what i (?:said|told you|wrote|saved) about| what you (?:know|remember) about"
    r"| everything (?:i (?:said|told you) )?about| all about"
    r"| (?:the |my )?memor(?:y|ies)(?: about| of| that)| the fact that)?"
    r"[\s:,]*(?P<fact>.*)$",
    re.IGNORECASE | re.DOTALL,
)
_RECALL = re.compile(
    rf"^{_POLITE}(?:what (?:do|can) you (?:remember|know|recall) (?:about|of)|what did i (?:say|tell you) about|"
    r"what have i (?:said|told you) about|(?:tell|show) me what you (?:remember|know) about|"
    r"recall (?:everything |what i (?:said|told you) )?about|do you remember anything about|what memories do you have (?:about|of))"
    r"\s+(?P<fact>.+)$",
    re.IGNORECASE | re.DOTALL,
)
_TRAILING = re.compile(
    r"[\s,]{0,4}(?:\bas (?:a )?(?P<as>sacred|secret|private|sensitive)(?: memory| note)?|"
    r"\((?:as )?(?P<brackets>sacred|secret|private|sensitive)\)|,\s{0,4}(?P<adverb>privately|secretly))[\s.!]{0,8}$",
    re.IGNORECASE,
)
_TIER_GROUPS = ("as1", "adverb1", "bare1", "as2", "adverb2", "bare2", "kind")
_VAGUE = frozenset(
    {"", "it", "that", "this", "me", "everything", "all", "all of it", "it all", "about it", "them"}
)


def normalize(text: str) -> Intent:
    """Return what the words ask for. Anything that is not plainly an order is a question.

    1. A recall phrase ("what do you remember about ...") -> RECALL.
    2. "don't forget ..." and the remember phrases -> REMEMBER, unless they are a question.
    3. A forget phrase -> FORGET.
    4. An order without an object -> UNCLEAR.
    5. All else -> ASK.
    """
    words = _SPACES.sub(" ", text.replace("\u2019", "'")).strip()
    found = _RECALL.match(words)
    if found and (subject := found["fact"].strip().rstrip("?.! \n")):
        return Intent(IntentKind.RECALL, subject)
    if intent := _remember(words):
        return intent
    if intent := _forget(words):
        return intent
    return Intent(IntentKind.ASK, words)


def _remember(words: str) -> Intent | None:
    found = _REMEMBER.match(words)
    if found is None:
        return None
    named = next((found[g] for g in _TIER_GROUPS if found[g]), None)
    link = (found["link"] or "").strip().lower()
    fact = found["fact"].strip()
    if tail := _TRAILING.search(fact):
        named = named or tail["as"] or tail["brackets"] or tail["adverb"]
        fact = fact[: tail.start()].strip()
    tier = _TIERS[named.lower()] if named else Tier.CONVENIENCE
    linked = bool(link or found["link2"] or named)
    # "Save the whales", "note the difference": everyday verbs, and an order only with a link or a tier.
    if (found["doubtful"] or words.endswith("?")) and not linked:
        return None
    if fact.lower().rstrip(".!? ") in _VAGUE:
        return Intent(IntentKind.UNCLEAR, "remember", tier)
    return Intent(IntentKind.REMEMBER, f"to {fact}" if link == "to" else fact, tier)


def _forget(words: str) -> Intent | None:
    found = _FORGET.match(words)
    if found is None:
        return None
    # "Forget my keys?" is a question, and "delete" an everyday verb: both need a memory to be named.
    everyday = found["verb"].lower() in ("delete", "erase")
    if (everyday or words.endswith("?")) and not found["link"]:
        return None
    fact = found["fact"].strip().rstrip(".!? \n")
    if fact.lower() in _VAGUE:
        return Intent(IntentKind.UNCLEAR, "forget")
    return Intent(IntentKind.FORGET, fact)


def visible_text(text: str, intent: Intent) -> str:
    """Return the words of the turn that a conversation may keep: none, when they are sacred."""
    return SACRED_PLACEHOLDER if intent.is_sacred else text


def title_from(text: str, intent: Intent, limit: int = 60) -> str:
    """Return a conversation's title from its first words, cut at a word, without sacred ones."""
    if intent.is_sacred:
        return "A sacred memory"
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    head = line[: limit - 1]
    return (head.rsplit(" ", 1)[0] if " " in head else head) + "\u2026"
