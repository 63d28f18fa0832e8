"""What a person says in passing is kept for a while: decided by plain rules, since most of what is said to an assistant
is a question or an order and worth nothing the day after.
"""

import re

WORDS_MIN = 4
CHARS_MAX = 600
_SELF = re.compile(
    r"\b(?:i|i'm|i've|i'll|i'd|my|mine|we|we're|we've|we'll|our|ours)\b", re.IGNORECASE
)
_ASKING = re.compile(
    r"^(?:who|whom|whose|what|what's|when|where|where's|which|why|how|is|are|am|was|were|do|does|did|can|could|should|"
    r"shall|will|would|may|might|have|has|had|any idea|i wonder|i'd like to know|i want to know|remind me)\b",
    re.IGNORECASE,
)
_ORDER = re.compile(
    r"^(?:please|pls|let's|let us|hey lares|ok lares|lares|tell|show|give|write|draft|make|find|search|look|list|explain|"
    r"summari[sz]e|translate|compare|play|stop|start|set|turn|open|close|send|call|add|create|book|order|buy|check|help|"
    r"suggest|recommend|describe|calculate|convert|rewrite|read|say|repeat|continue|go on|try|i need you to|i want you to|"
    r"i'd like you to)\b",
    re.IGNORECASE,
)
_TALK = re.compile(
    r"^(?:hi|hello|hey|good (?:morning|evening|night)|thanks|thank you|yes|no|ok|okay)\b[ ,.!]*",
    re.IGNORECASE,
)
_SPACES = re.compile(r"\s+")


def worth_keeping(text: str) -> bool:
    """Say whether the words tell something about the person that may matter later.

    1. Short enough to be said in passing, long enough to say something.
    2. Not a question, by its mark or by how it begins.
    3. Not an order to the assistant.
    4. About the person or their household: it says I, my, we or our.
    """
    words = _SPACES.sub(" ", text.replace("\u2019", "'")).strip()
    words = _TALK.sub("", words)
    if len(words) > CHARS_MAX or len(words.split(" ")) < WORDS_MIN:
        return False
    if "?" in words or _ASKING.match(words) or _ORDER.match(words):
        return False
    return _SELF.search(words) is not None
