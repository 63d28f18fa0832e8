"""Cuts a text into clauses and says of each in what spirit it was said: only what is stated is a fact. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from memory.facts.cues import Cue

CLAUSES_MAX = 40
TEXT_CHARS_READ = 2000
# What stands in quotation marks was said by somebody, perhaps by nobody in earnest: blanked, places kept. A title
# or a name in quotes is short and stays.
_QUOTE = re.compile(r'["“”«„]([^"“”«»„]{2,400})["“”»]')
_SENTENCE = re.compile(r"[^.!?;\n]+(?:[.!?;](?![\s\n]|$)[^.!?;\n]*)*[.!?;]*")
_TITLE_END = re.compile(r"(?:\b(?:Dr|Mr|Mrs|Ms|St|Prof|Sr|Jr|No|approx|e\.g|i\.e)|\b[A-Z])\.$")
# A clause of its own begins where a subject follows the comma or conjunction.
_SPLIT = re.compile(
    r"(?:,\s+(?:and|but|so|though|while|whereas|because|since)\s+|,\s+|\s+(?:and|but|so|because|while|though)\s+|\s+[–—-]\s+|:\s+)"
    r"(?=(?:(?:he|she|it|they|we|I|that|who)'(?:s|re|m|ve|ll)\s|(?:now\s+|then\s+|not\s+)?(?:I|we|he|she|they|it|it's|my|our|his|her|their|[A-Z]\w+(?:'s \w+)?|no|the \w+)(?:'\w+)?\s+"
    r"(?:\w+\s+){0,2}?(?:am|is|are|was|were|isn't|aren't|have|has|had|'ve|do|does|don't|doesn't|did|didn't|will|would|can|can't|could|might|may"
    r"|live|lives|work|works|moved?|went|go|goes|got|gets?|sold|bought|like|likes|love|loves|hate|hates|prefers?|takes?|took|plays?|drives?|left|quit"
    r"|retired|closed|died|runs?|comes?|uses?|started|joined|stopped|drink|drinks|eat|eats|need|opened|became|becomes|lost|broke|called|costs?|teaches|studies)\b))"
)
_QUESTION = re.compile(
    r"\?\s*$|^(?:who|what|where|when|which|whose|why|how)\b.*\b(?:i|we|you)\s+wonder", re.I
)
_HYPOTHETICAL = Cue(
    r"\b(?:might|may(?!\s+\d|\s*[,.]|\s+(?:19|20)\d\d)(?<!in may)(?<!since may)|could|would|should|perhaps|maybe|if|unless|wish|wishes|hope|hopes|hoping"
    r"|dreams?\s+of|dreaming\s+of|thinking\s+(?:of|about)|thought\s+about|toying\s+with|considering|consider|wants?\s+to|wanted\s+to|would\s+like"
    r"|plan(?:s|ning)?\s+to|someday|one\s+day|some\s+day|imagine|suppose|pretend|in\s+case|i\s+wonder|not\s+sure)\b"
)
_REFUSED = Cue(
    r"\b(?:was|were|been)\s+offered\b.*\b(?:declined|refused|turned|said\s+no)|\bturned\s+down\b"
)
_REPORTED = Cue(
    r"\b(?:says?|said|claims?|claimed|thinks?|believes?|asked|told\s+(?:me|us)|jokes?|joked|reckons?)\b(?!\s+(?:is|was|number|so)\b)"
)
_OWN_REPORT = re.compile(
    r"^(?:the\s+)?(?:doctor|dentist|clinic|scan|school|vet|council|landlord)\b", re.I
)
_PLAN = Cue(
    r"\b(?:will|'ll|won't|going\s+to|gonna|due\s+to|about\s+to|intends?\s+to|(?:is|are|am|'s|'re|'m)\s+(?:leaving|moving)\b)"
)
_PAST = Cue(
    r"\b(?:used\s+to\s+(?!it\b|the\b|this\b|that\b)|(?:back\s+(?:when|then|in)|formerly|previously|at\s+the\s+time|in\s+those\s+days"
    r"|once\s+(?:lived|worked|was|had)|briefly|until\s+(?:19|20)\d\d|during\s+(?:my|our)|as\s+a\s+(?:child|kid|student|boy|girl|teenager)|when\s+I\s+was)\b)"
    r"|^(?:(?:my|our)\s+(?:first|old|former|previous|ex)|before\s+\w+\s+I)\b"
)


class Mood(StrEnum):
    """How a clause was meant."""

    STATED = "stated"
    PAST = "past"
    PLANNED = "planned"
    ASKED = "asked"
    SUPPOSED = "supposed"
    REPORTED = "reported"


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause, where it begins in the text, and its mood."""

    text: str
    start: int
    mood: Mood
    first: bool


def clauses(text: str) -> list[Clause]:
    """Return the clauses of the first part of `text`, in order, each as it was meant."""
    plain = _QUOTE.sub(_blank, text[:TEXT_CHARS_READ].replace("’", "'"))
    found: list[Clause] = []
    for start, sentence in _sentences(plain):
        mood = mood_of(sentence)
        place = 0
        cuts = [match.span() for match in _SPLIT.finditer(sentence)]
        # A hypothesis or a question covers its whole sentence; "Actually:" and the like are no clause.
        for cut_start, cut_end in [*cuts, (len(sentence), len(sentence))]:
            part = sentence[place:cut_start]
            if part.strip(" ,:.!?;-"):
                lead = len(part) - len(part.lstrip(" ,:-"))
                own = mood
                if cuts and mood in (Mood.STATED, Mood.PAST, Mood.PLANNED):
                    own = mood_of(part)
                found.append(Clause(part[lead:].rstrip(), start + place + lead, own, place == 0))
            place = cut_end
            if len(found) >= CLAUSES_MAX:
                return found
    return found


def mood_of(sentence: str) -> Mood:
    """Return in what spirit a sentence was said."""
    if _QUESTION.search(sentence):
        return Mood.ASKED
    if _HYPOTHETICAL.search(sentence) or _REFUSED.search(sentence):
        return Mood.SUPPOSED
    if _REPORTED.search(sentence) and not _OWN_REPORT.search(sentence):
        return Mood.REPORTED
    if _PAST.search(sentence):
        return Mood.PAST
    if _PLAN.search(sentence):
        return Mood.PLANNED
    return Mood.STATED


def _blank(match: re.Match[str]) -> str:
    inside = match.group(1)
    # Two words are a name ("The Blue Door"); more, or a verb of the first person, is speech.
    if len(inside.split()) <= 2:
        return match.group()
    return '"' + " " * len(inside) + '"'


def _sentences(text: str) -> list[tuple[int, str]]:
    """Return sentences with their places; "Dr. Pinto" ends none."""
    found: list[tuple[int, str]] = []
    for match in _SENTENCE.finditer(text):
        if found and _TITLE_END.search(found[-1][1]):
            start, before = found[-1]
            found[-1] = (start, before + text[start + len(before) : match.end()])
        else:
            found.append((match.start(), match.group()))
    return [(start, sentence) for start, sentence in found if sentence.strip()]
