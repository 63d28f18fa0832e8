"""Stage 1: a person's words -> an Intent. Rules, not a model: what may act must be predictable."""

import re

from orchestrator.domain import Intent, IntentKind, Tier

SACRED_PLACEHOLDER = "[Sacred: these words are kept with your sacred memories and nowhere else.]"

FORGOTTEN_PLACEHOLDER = "[Forgotten: these words went away with a memory.]"
MADE_SACRED_PLACEHOLDER = (
    "[Sacred: these words went where the memory went, to your sacred memories.]"
)

_POLITE = r"(?:(?:hey |hi |ok |okay )?(?:lares|please)[,:]? )*(?:(?:can|could|would|will) you (?:please )?|please |i want you to |i'd like you to )?"
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
_TIER = (
    r"(?:(?:this |it )?(?:as (?:a )?)?\(?(?P<tier>in secret|in private|"
    + "|".join(k for k in _TIERS if " " not in k)
    + r")\)?(?: memory| note)?)"
)
_SPACES = re.compile(r"[ \t\u00a0]+")
_REMEMBER = re.compile(
    rf"^{_POLITE}(?:remember|memori[sz]e|keep in mind|bear in mind|(?:don't|do not|never) forget|"
    rf"(?:make|take) (?:a |yourself a )?(?P<kind>sacred |secret |private |sensitive )?note(?: of)?|note(?: down)?|jot down|write down|save)"
    rf"(?: {_TIER})?(?P<link> that\b|\s*[:,]| this\b\s*[:,]?| the fact that\b| to\b)?(?: {_TIER.replace('?P<tier>', '?P<tier2>')}[:,]?(?P<link2> that\b|\s*[:,])?)?[\s:,]*(?P<fact>.*)$",
    re.IGNORECASE | re.DOTALL,
)
_FORGET = re.compile(
    rf"^{_POLITE}(?:forget|erase|delete|unlearn)(?: about)?"
    r"(?P<link> that\b| what i (?:said|told you|wrote|saved) about| what you (?:know|remember) about"
    r"| everything (?:i (?:said|told you) )?about| all about| (?:the |my )?memor(?:y|ies)(?: about| of| that)| the fact that)?"
    r"[\s:,]*(?P<fact>.*)$",
    re.IGNORECASE | re.DOTALL,
)
_RECALL = re.compile(
    rf"^{_POLITE}(?:what (?:do|can) you (?:remember|know|recall) (?:about|of)|what did i (?:say|tell you) about|"
    r"what have i (?:said|told you) about|(?:tell|show) me what you (?:remember|know) about|"
    r"recall (?:everything |what i (?:said|told you) )?about|do you remember anything about|what memories do you have (?:about|of))"
    r"\s+(?P<fact>.+?)[\s?.!]*$",
    re.IGNORECASE | re.DOTALL,
)
_TRAILING = re.compile(
    r"[\s,]*(?:\bas (?:a )?(?P<tier>sacred|secret|private|sensitive)(?: memory| note)?|"
    r"\((?:as )?(?P<tier2>sacred|secret|private|sensitive)\)|,\s*(?P<tier3>privately|secretly))[\s.!]*$",
    re.IGNORECASE,
)
_VAGUE = frozenset(
    {"", "it", "that", "this", "me", "everything", "all", "all of it", "it all", "about it", "them"}
)
_TIDY_END = re.compile(r"[\s.!]+$")


def normalize(text: str) -> Intent:
    """Return what the words ask for. Anything that is not plainly an order is a question.

    1. A recall phrase ("what do you remember about ...") -> RECALL.
    2. "don't forget ..." and the remember phrases -> REMEMBER, unless they are a question.
    3. A forget phrase -> FORGET.
    4. An order without an object -> UNCLEAR.
    5. All else -> ASK.
    """
    words = _SPACES.sub(" ", text.replace("\u2019", "'")).strip()
    if found := _RECALL.match(words):
        return Intent(IntentKind.RECALL, found["fact"].strip())
    if intent := _remember(words):
        return intent
    if intent := _forget(words):
        return intent
    return Intent(IntentKind.ASK, words)


def _remember(words: str) -> Intent | None:
    found = _REMEMBER.match(words)
    if found is None:
        return None
    named = found["tier"] or found["tier2"] or (found["kind"] or "").strip()
    tier = _TIERS.get(named.lower(), Tier.CONVENIENCE)
    link = (found["link"] or "").strip().lower()
    fact = found["fact"].strip()
    if tail := _TRAILING.search(fact):
        tier = (
            _TIERS[(tail["tier"] or tail["tier2"] or tail["tier3"]).lower()] if not named else tier
        )
        fact = fact[: tail.start()].strip()
    if _asks(words, linked=bool(link or found["link2"]), sacred=tier is Tier.SACRED):
        return None
    if fact.lower().rstrip(".!? ") in _VAGUE:
        return Intent(IntentKind.UNCLEAR, "remember", tier)
    return Intent(IntentKind.REMEMBER, f"to {fact}" if link == "to" else fact, tier)


def _asks(words: str, *, linked: bool, sacred: bool) -> bool:
    """True for "remember my dog's name?": a question. "Can you remember that ...?" is an order.

    Words marked sacred are an order in any case: taken for a question they would reach the model.
    """
    return words.endswith("?") and not linked and not sacred


def _forget(words: str) -> Intent | None:
    found = _FORGET.match(words)
    if found is None or (words.endswith("?") and not found["link"]):
        return None
    # "delete" and "erase" are everyday verbs ("erase a whiteboard: how?"): they need a memory to be named.
    if re.match(rf"^{_POLITE}(?:erase|delete)", words, re.IGNORECASE) and not found["link"]:
        return None
    fact = _TIDY_END.sub("", found["fact"].strip())
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
