"""What a text shows of itself without being understood: whose matter it is, what it names, and what in it speaks of change.

Facts are read out of few texts; a note ("and 09", "Marisol can't do Tuesdays any longer") shows these signs though no
rule knows its shape. Pure, and of the text alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from memory.facts.cues import Cue
from memory.facts.predicates import ROLE_NAMES, ROLES_MANY
from memory.supersede.words import PLAIN, stem

# Those who have matters of their own; whoever serves the household (its dentist, its landlord) has the household's.
_KIN = (ROLES_MANY - {"teacher", "tenant", "student"}) | frozenset(
    """
    mother mum mom mama father dad papa wife husband partner girlfriend boyfriend fiance fiancee spouse gran grandad nan
    nana twins kids boys girls children grandparents sister-in-law brother-in-law mother-in-law father-in-law stepmum
    stepdad godmother godfather ex mate neighbours neighbors cat dog sisters brothers cousins friends colleagues
    """.split()
)
_WORD = re.compile(r"[\w'-]+")
_STEMMED = re.compile(r"[a-zà-ÿ]+(?:['-][a-zà-ÿ]+)*")
_NAME = re.compile(r"(?<![.!?:] )(?<!^)\b[A-ZÀ-Þ][\w'-]+")
_FIRST = re.compile(r"[A-ZÀ-Þ][\w'-]+")
_LEADS_SELF = re.compile(
    r"^\W*(?:\w+[,:]?\s+){0,2}?(?:i|we|i'm|i've|we're|we've|my|our|mine|ours)\b"
)
_SELF = re.compile(r"\b(?:i|we|my|our|me|us|mine|ours|myself)\b")
# "Tamsin's rate", and not "Tamsin's moved" or "it's fine".
_OWNER = re.compile(
    r"\b([A-Za-zÀ-ÿ-]+?)(?:'s|s')\s+(?!(?:been|got|gone|a|an|the|not|on|in|at|off|back|down|up|from|to|with|all|just|still|now|only|really|too|very"
    r"|so|my|our|his|her|their|it|that|what|who|about|ok|fine|good|great|moved|left|asked|put|taken|changed|had)\b)"
)
_NOW = Cue(
    r"\b(?:now|from\s+now\s+on|these\s+days|nowadays|lately|currently|as\s+of|as\s+from|since|already|this\s+(?:year|time|term|season)"
    r"|from\s+(?:today|tomorrow|next|this|january|february|march|april|may|june|july|august|september|october|november|december|\d+))\b"
)
_TURNED = Cue(
    r"\b(?:switch\w*|chang\w*|mov(?:ed?|es|ing)|replac\w*|renew\w*|promot\w*|transferr\w*|swapp?\w*|upgrad\w*|convert\w*|went\s+(?:with|for|over|up|down)"
    r"|took\s+over|taken\s+over|settled|decided|became|become|turned|raised|lowered|increased|reduced|cut\s+down|upped|bumped|dropped\s+to"
    r"|put\s+it\s+up|goes?\s+(?:up|down)|g[oe]ne\s+(?:up|down|off)|up\s+to|down\s+to|reset|re-\w+)\b"
)
_OVER = Cue(
    r"\b(?:no\s+longer|no\s+more|any\s?more|any\s+longer|instead|rather\s+than|after\s+all|not\s+\w+\s+but|gave\s+up|given\s+up|quit|left|stopped"
    r"|sold|closed|shut|retired|full|gone|cancel\w*|finished|ended|over)\b"
)
_BEGUN = Cue(
    r"\b(?:new|another|different|first\s+day|start(?:s|ed|ing)?|joined|bought|got\s+(?:a|an|the|my|our)|signed|registered|opened|found|booked|arrived"
    r"|it's|(?:is|are)\s+back|back\s+(?:to|on|at|with|in)|again|resum\w*|finally)\b"
)
_SHIFTED = Cue(
    r"\b(?:reschedul\w*|postpon\w*|slipped|delayed|brought\s+forward|earlier|later|extension|extended|rang|called|emailed|wrote|says|said)\b"
)
_RIGHTED = Cue(
    r"\b(?:correction|actually|scratch\s+that|sorry|wrong|mistake|misremembered|mixed\s+up|turns\s+out|i\s+meant|in\s+fact|re-?measured|re-?checked"
    r"|re-?tested|nope|no\s+wait|looked\s+(?:it\s+)?up|checked)\b"
)
_ENDED = Cue(
    r"\b(?:sold|cancel\w*|gave\s+up|given\s+up|quit|handed\s+(?:in|back)|notice|stolen|nicked|died|dead|killed|broken?|finished|over|closed|closing"
    r"|shut|ended|gone|left|leaving|last\s+(?:day|shift)|dropped|ditched|split|broke\s+up|stopped|paused|retired|full|no\s+more|axed|lost|failed"
    r"|turned\s+down|said\s+no|did\s+not\s+get|not\s+doing|uninstalled|declined|too\s+\w+)\b"
)
_CUES = (_NOW, _TURNED, _OVER, _BEGUN, _SHIFTED, _RIGHTED)
_NUMBER = Cue(
    r"\d+(?:[.,:]\d+)*|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|once|twice|half)\b"
)
# "Callum has joined FlexHub", "Mrs Ives opposite has Rahimi", "Uncle Pat takes his": somebody does something.
_AGENT = re.compile(
    r"^\W*(?:(?:Mrs?|Ms|Dr|Uncle|Aunt|Auntie|Cousin|Old)\.?\s+)?([A-ZÀ-Þ][a-zà-ÿ-]+)"
    r"(?:\s+(?!the\b|a\b|an\b|my\b|our\b|is\b|was\b)[a-zà-ÿ]+)?"
    r"\s+(?:has|had|got|is|was|\w+[^s\W]s|swore|took|went|gave|bought|put|made|left|paid|did|sold|found|told|came|wants?)\b"
)
_THEIRS = frozenset("his her hers their theirs he she they he's she's they're".split())
_TOO = frozenset({"too", "also", "same", "still"})
_NO_INITIALS = frozenset("ia0123456789")
_NEVER_NAMES = frozenset({"i", "i'm", "i've", "i'll", "i'd"})

_WHO = re.compile(
    r"\bwho(?:m|se|'s)?\b|\b(?:which|what)\b(?!\s+(?:time|day|date|year|month|evening|is|was|are|were|did|do|does|happened)\b)"
)
_WHERE = re.compile(r"\bwhere(?:'s)?\b|\bwhich\s+(?:city|town|country|street|place)\b|\baddress\b")
_COUNTED = re.compile(
    r"\bhow\s+(?:much|many|old|heavy|tall|long|often|big|wide)\b|\b(?:number|prices?|costs?|pay|code|pin|when|date|dose|age|size|rate|earn|weigh)\b"
    r"|\bwhat\s+time\b"
)
_PLACED = re.compile(r"\b(?:in|at|on|to|near|under|behind)\b")


@dataclass(frozen=True, slots=True)
class Signs:
    """What a memory shows. Words are casefolded, `stems` are those that carry a topic."""

    words: frozenset[str]
    stems: frozenset[str]
    names: frozenset[str]
    first: str
    leads_self: bool
    owners: frozenset[str]
    kin: bool
    now: bool
    turned: bool
    shifted: bool
    righted: bool
    cues: int
    ended: bool
    numbers: frozenset[str]
    placed: bool
    # Who does what is told ("Callum has joined"), or nobody; of others alone ("sold his"); the same as something; "R 19".
    agent: str
    theirs: bool
    too: bool
    initials: frozenset[str]


@dataclass(frozen=True, slots=True)
class Sought:
    """What a question shows: the kind of answer that it wants, and whose matter it is (`whose`; nobody's: the asker's)."""

    words: frozenset[str]
    whose: frozenset[str]
    strangers: bool
    mine: bool
    who: bool
    where: bool
    counted: bool


def signs(text: str) -> Signs:
    """Return what a memory shows; some fifty microseconds."""
    plain = text.replace("’", "'")
    low = plain.lower()
    said = [word.removesuffix("'s") for word in _WORD.findall(low)]
    kin = not _KIN.isdisjoint(said[:4])
    first = _FIRST.match(plain)
    agent = _AGENT.match(plain)
    now, turned, over, begun, shifted, righted = (cue.search(low) is not None for cue in _CUES)
    return Signs(
        words=frozenset(said),
        stems=frozenset(
            stem(word) for word in _STEMMED.findall(low) if word.removesuffix("'s") not in PLAIN
        ),
        names=_names(plain),
        first=first.group().casefold().removesuffix("'s") if first else "",
        leads_self=_LEADS_SELF.match(low) is not None and _KIN.isdisjoint(said[:3]),
        owners=frozenset(match.casefold() for match in _OWNER.findall(plain)),
        kin=kin,
        now=now,
        turned=turned,
        shifted=shifted,
        righted=righted,
        cues=sum((now, turned, over, begun, shifted, righted)),
        ended=_ENDED.search(low) is not None,
        numbers=frozenset(match.group().lower() for match in _NUMBER.finditer(low)),
        placed=_PLACED.search(low) is not None,
        agent=_agent(agent.group(1)) if agent else "",
        theirs=not _THEIRS.isdisjoint(said) and _SELF.search(low) is None,
        too=not _TOO.isdisjoint(said) or "as well" in low,
        initials=frozenset(each for each in said if len(each) == 1) - _NO_INITIALS,
    )


def sought(query: str) -> Sought:
    """Return what a question shows."""
    plain = query.replace("’", "'")
    low = plain.lower()
    said = frozenset(word.removesuffix("'s") for word in _WORD.findall(low))
    kin = frozenset(word for word in said if word in _KIN or word in ROLE_NAMES)
    owners = frozenset(match.casefold() for match in _OWNER.findall(plain))
    names = frozenset(
        match.casefold().removesuffix("'s")
        for match in re.findall(r"(?<!^)\b[A-ZÀ-Þ][\w'-]+", plain)
    )
    return Sought(
        words=said,
        whose=(names | kin | owners) - _NEVER_NAMES,
        strangers=bool(kin or owners),
        mine=_SELF.search(low) is not None and not kin and not owners,
        who=_WHO.search(low) is not None,
        where=_WHERE.search(low) is not None,
        counted=_COUNTED.search(low) is not None,
    )


def strange(asked: Sought, seen: Signs) -> bool:
    """Say whether a question about oneself meets a memory of somebody else's matter."""
    if not asked.mine or seen.leads_self:
        return False
    return bool(seen.owners - asked.words) or seen.kin


def _agent(word: str) -> str:
    folded = word.casefold()
    return "" if folded in PLAIN else folded


def _names(text: str) -> frozenset[str]:
    found = {match.casefold().removesuffix("'s") for match in _NAME.findall(text)}
    return frozenset(found - PLAIN - _NEVER_NAMES)
