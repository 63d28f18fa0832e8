"""The shapes of sentences that state a fact: who it is about, and what is said of them. Regular expressions only.

All are linear in practice: no nested repetition over the same characters, and a clause is short.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from memory.facts.cues import Cue
from memory.facts.predicates import ROLES

NAME = r"(?-i:(?:(?:Dr|Mr|Mrs|Ms|Prof|Professor|Doctor|Senhor|Senhora|Herr|Frau|Monsieur|Madame|Aunt|Uncle)\.?\s+)?[A-ZÀ-ÖØ-Þ][\w'-]*\w(?:\s+(?:(?:de|da|do|dos|van|von|der|den|el|al|la|le|di|du)\s+)?[A-ZÀ-ÖØ-Þ][\w-]+){0,3})"
_ROLE_WORDS = "|".join(sorted(ROLES, key=len, reverse=True))
ROLE = rf"(?:(?:best|eldest|oldest|youngest|older|younger|little|big|late|new|current|first|second|other|step|half|family|football|piano|yoga|us|thesis)[-\s]+){{0,2}}(?:grand-)?(?:{_ROLE_WORDS})(?:-in-law)?"
# What may stand before the subject without changing what is said.
LEAD = re.compile(
    r"(?:(?:and|but|so|also|then|well|ok|okay|actually|sorry|correction|update|note|fyi|reminder|by\s+the\s+way|(?:it\s+)?turns\s+out(?:\s+that)?|lately|recently|currently"
    r"|nowadays|these\s+days|now|today|finally|sadly|unfortunately|luckily|yes|no|in\s+the\s+end|in\s+(?:19|20)\d\d|in\s+(?:the\s+)?[A-Z]?[a-z]+(?:\s+\d{4})?|since\s+\w+(?:\s+\d{4})?"
    r"|from\s+[\w ]{3,16}?(?:\s+on)?|(?:last|this|next)\s+\w+|as\s+of\s+\w+|remember(?:\s+that)?|for\s+the\s+record)\b\s*[,:]?\s+)",
    re.IGNORECASE,
)
_VERB = r"(?:am|is|are|was|were|isn't|aren't|has|have|had|will|used|can|can't|cannot|could|starts?|started|meets?|met|comes?|came|opens?|opened|runs?|lives?|lived|got|costs?|takes?|took|works?|worked|expires?|moved|changed|gets?|sleeps?|likes?|loves?|hates?|charges?|weighs?|plays?|goes|went|belongs?|lies|stands|sits|stays|needs|broke|died|closed|retired|left|gave|raised|lowered|bought|sold|quit|told|made|called|phoned|prescribed|put|rebooked|joined|drives?|drove|teaches|studies|turned|became|does|did|doesn't|don't|now|also|still|no)"
# The grammar's order: the speaker, a relation (perhaps with a name), a thing of somebody's, a pronoun, a name.
SUBJECT = re.compile(
    rf"""^(?:
      (?P<self>(?:I|we|me|{NAME}\s+and\s+I|my\s+\w+\s+and\s+I))(?=['\s])
    | (?P<owner>my|our|the|his|her|their|its|{NAME}'s?)\s+(?P<role>{ROLE})(?P<rolename>,?\s+(?!I\b){NAME})?(?=\s+{_VERB}\b|'|,|\s*$)
    | (?P<owner2>my|our|the|his|her|their|its|a|this|new|{NAME}'s?)\s+(?P<np>(?:[\w'-]+\s+){{0,5}}?[\w'-]+?)(?='s\s|\s+{_VERB}\b)
    | (?P<pronoun>he|she|they|it|that)(?=['\s])
    | (?P<bare>(?-i:[A-ZÀ-Þ])[\w-]+(?:\s+(?!{_VERB}\b)(?-i:[a-zà-ÿ])[\w-]+){{1,3}}?|\w+ing)(?=\s+{_VERB}\b)
    | (?P<name>{NAME})(?=['\s])
    )""",
    re.VERBOSE | re.IGNORECASE,
)
# "The council changed bin day to Thursday": what a thing is now, whoever changed it.
CHANGE = Cue(
    r"(?:changed|moved|switched|raised|lowered|increased|cut|rescheduled|postponed|put|set|transferred|shifted|reduced|upped)\s+(?:(?:my|our|the|his|her|their)\s+)?(?P<np>(?!to\b|from\b|into\b|in\b|back\b|away\b|out\b|up\b|on\b|off\b)[\w'-]+(?:\s+(?!to\b|from\b|into\b)[\w'-]+){0,3}?)\s+(?:(?:from|in)\s+.{2,40}?\s+)?(?P<to>to|into|in|on|under|behind|at)\s+(?P<v>[^,;]+)"
)
CHANGED_THING = re.compile(
    r"^(?:\s*(?:'ve|have|has|had|just|already)\b)*\s*(?:changed|replaced|renewed|reset|got)\s+(?:my|our|the|his|her|a\s+new)\s+(?P<np>[\w-]+(?:\s+(?!after|because|when|to|for|at|on|in)[\w-]+){0,2})(?=[\s,.:]|$)",
    re.IGNORECASE,
)
# Capitals count: with IGNORECASE above, a name must be checked to begin with one.
FILLER = r"(?:\s*(?:'m|'re|'ve|'s|'ll|'d)|\s+(?:am|are|is|was|were|been|being|have|has|had|will|be|now|also|still|just|currently|already|finally|actually|really|usually|always|mostly|recently|used\s+to|both|again|officially|only|often|normally|generally|nowadays|lately|absolutely|really|got|too|officially))*"
NEGATION = r"(?P<neg>\s+(?:no\s+longer|not|never|don't|doesn't|do\s+not|does\s+not|didn't|can't|cannot|isn't|aren't|am\s+not|stopped|quit|gave\s+up|have\s+given\s+up)(?:\s+(?:really|like\s+to))?)?"
_HEAD = rf"^{FILLER}{NEGATION}{FILLER}\s+"
# An object ends where the sentence turns to something else.
_OBJECT = r"(?P<o>[^,;:.!?()]+(?:\.\s?(?=[A-Z]\w)[^,;:.!?()]+)?)"
PLACE_NOUN = r"(?:flat|house|apartment|studio|home|cabin|farm|ranch|condo|villa|townhouse|place|room|dorm|hostel|residence|village|town|city|street|rental)"


@dataclass(frozen=True, slots=True)
class Shape:
    """What follows the subject: the predicate it states, and whether saying so ends something (`ends`)."""

    predicate: str
    kind: str
    pattern: Cue
    rest: str
    ends: bool = False
    confidence: float = 0.8


def _shape(
    predicate: str, kind: str, rest: str, ends: bool = False, confidence: float = 0.8
) -> Shape:
    return Shape(predicate, kind, Cue(_HEAD + rest), rest, ends, confidence)


_TITLE = r"(?P<o>(?:(?!a\b|an\b|the\b)[\w-]+\s+){0,3}?(?:nurse|developer|engineer|teacher|accountant|barista|roaster|ranger|carpenter|postdoc|scientist|c[teofm]o|manager|lead|lawyer|doctor|radiologist|dentist|student|intern|freelancer|driver|translator|subtitler|designer|architect|chef|cook|baker|waiter|waitress|plumber|electrician|mechanic|gardener|professor|lecturer|librarian|journalist|writer|editor|photographer|musician|pilot|sailor|farmer|soldier|policeman|firefighter|paramedic|pharmacist|physiotherapist|psychologist|therapist|consultant|analyst|programmer|researcher|director|secretary|assistant|receptionist|cashier|salesman|technician|tutor|coach|trainer|captain|head\s+of\s+\w+|ward\s+sister|vet|butcher|tailor|painter|builder|welder|cleaner|caretaker|clerk|banker|broker|agent|recruiter|founder|owner))\b(?:\s+(?:at|for|with|of|on|in)\s+(?P<at>(?-i:[A-ZÀ-Þ])[^,;:.!?()]*))?"

SHAPES: tuple[Shape, ...] = (
    _shape("lives_in", "place", rf"(?:living|live[sd]?|reside[sd]?|residing|based|settled)\s+(?:(?:back|down|now|together|alone)\s+|with\s+\w+\s+)*(?:in|at|on|near|outside|above)\s+{_OBJECT}", confidence=0.9),
    _shape("lives_in", "place", rf"(?:moved|moving|relocated|move)\s+(?:back\s+|house\s+|over\s+|in\s+)*(?:to|into)\s+(?!year\b|the\s+(?:morning|evening|afternoon|next)\b)(?!(?:his|her|their|our|my|the)?\s*(?:own\s+)?(?:room|bedroom|cot|bed)\b)(?P<o>(?=[^,;:.!?()]*(?:(?-i:[A-ZÀ-Þ])|\b{PLACE_NOUN}\b|\btown\b))[^,;:.!?()]+)", confidence=0.85),
    _shape("lives_in", "place", rf"(?:rent|share|renting|sharing|bought|buying|found|have|own|got)\s+(?:(?:a|an|my|our|his|her|own|new|small|big|the)\s+)+(?:[\w-]+\s+)?{PLACE_NOUN}\s+(?:now\s*)?(?:,\s+an?\s+\w+\s+)?in\s+{_OBJECT}", confidence=0.6),
    _shape("attends", "organisation", r"(?:attend(?:s|ed|ing)?|go(?:es)?\s+to|went\s+to|start(?:s|ed)?(?:\s+(?:at|in|school|reception|lkg|kindergarten))*\s+(?:at|in)|moved\s+(?:up\s+)?to|is\s+at)\s+(?:the\s+)?(?P<o>(?:[\w']+\s+){0,4}?(?:school|nursery|kindergarten|primary|academy|daycare|college|university|elly)\b[^,;:.!?()]*)"),
    _shape("attends", "organisation", r"(?:start(?:s|ed)?|began)\s+(?P<o>school|kindergarten|nursery|university|college|reception)\b(?P<at>(?!))?"),
    _shape("sleeps_in", "place", r"(?:sleeps?|sleeping)\s+in\s+(?P<o>[^,;:.!?()]+)"),
    _shape("sleeps_in", "place", r"moved\s+into\s+(?P<o>(?:his|her|their|our|my|the)?\s*(?:own\s+)?(?:room|bedroom|cot|bed|nursery))\b"),
    _shape("gets_up", "time", r"(?:get|gets|getting|wake|wakes|waking)\s+up\s+(?:\w+\s+){0,2}?at\s+(?P<o>[^,;.]+)"),
    _shape("phone", "text", r"(?:has|have|got|gotten)?\s*(?:a|an|my|his|her|their)?\s*(?:new\s+)?(?:\w+\s+)?(?:phone|mobile|number|cell)\b[^\d+]{0,16}(?P<o>\+?\d[\d\s()/-]{5,18}\d)"),
    _shape("works_at", "organisation", r"(?:(?:started|starts|began)\s+)?(?:teaching|teach|teaches)\s+(?:[\w ]+?\s+)?(?:at|in)\s+(?P<o>[^,;:.!?()]+)"),
    _shape("works_at", "organisation", r"work(?:s|ed|ing)?\s+(?:in|as)\s+[\w ]+?\s+(?:for|at)\s+(?P<o>[^,;:.!?()]+)"),
    _shape("grade", "text", r"(?:(?:in|moved\s+up\s+to|started|starts|start|into)\s+)+(?P<o>(?:year|grade|class)\s+\w+|(?:first|second|third|fourth|fifth|sixth|final)\s+(?:year|grade))"),
    _shape("works_at", "organisation", rf"(?:work(?:s|ed|ing)?|employed|freelance)\s+(?:(?:part-time|full-time|now|again|mostly)\s+)*(?:at|for|with|by)\s+(?!me\b|us\b){_OBJECT}", confidence=0.9),
    _shape("works_at", "organisation", rf"(?:joined|hired\s+by|(?:a\s+)?(?:new\s+)?job\s+(?:as\s+(?:a|an)\s+[\w ]+?\s+)?(?:at|with)|accepted\s+(?:a|the)\s+(?:position|job|post)\s+(?:at|with)|started\s+(?:working\s+)?(?:at|for)(?!\s+(?:the\s+)?(?:school|kindergarten)))\s+(?:a\s+)?{_OBJECT}", confidence=0.75),
    _shape("works_at", "organisation", r"(?:quit|left|resigned\s+from|lost\s+(?:my|his|her|their)\s+job\s+(?:at|with)|(?:was|were|been)\s+(?:fired|laid\s+off)\s+(?:from|by))\s+(?P<o>(?:the\s+)?(?-i:[A-ZÀ-Þ][\w-]*(?:\s[A-ZÀ-Þ][\w-]*)*)|the\s+[\w ]*?(?:company|firm|agency|bank|school|hospital))", ends=True),
    _shape("job_title", "text", rf"(?:(?:become|became|made|promoted\s+to|hired\s+as|work(?:s|ed|ing)?(?:\s+now)?\s+as|employed\s+as|training\s+as)\s+)?(?:(?:a|an|the|now|full-time|part-time|retired|new)\s+)*{_TITLE}"),
    _shape("studies", "topic", r"(?:stud(?:y|ies|ied|ying)|doing|read(?:s|ing)?)\s+(?P<o>(?:(?:industrial|mechanical|civil|computer|political|business|electrical)\s+)?(?:engineering|science|medicine|law|chemistry|physics|pharmacy|biology|maths|mathematics|history|philosophy|economics|nursing|architecture|psychology|linguistics|literature|art|music|design|geography|informatics|studies|[a-z]+ology))\b"),
    _shape("spouse", "person", rf"(?:married(?:\s+to)?|marrying|marries|engaged\s+to)\s+(?:a\s+(?:boy|girl|man|woman|fellow|guy)\s+(?:named|called)\s+)?(?P<o>{NAME})"),
    _shape("dating", "person", rf"(?:dating|seeing\s+(?:someone\s+(?:called|named)\s+)?|going\s+out\s+with|together\s+with|in\s+a\s+relationship\s+with)\s*(?P<o>{NAME})"),
    _shape("dating", "person", rf"(?:broke\s+up\s+with|split\s+up\s+with|divorced\s+from|separated\s+from|left)\s+(?P<o>{NAME})", ends=True),
    _shape("allergic_to", "thing", rf"(?:allergic\s+to|intolerant\s+(?:of|to))\s+{_OBJECT}", confidence=0.9),
    _shape("allergic_to", "thing", r"(?:a|an)?\s*(?P<o>[\w-]+)\s+allergy\b"),
    _shape("speaks", "thing", r"(?:speak(?:s|ing)?)\s+(?P<o>(?-i:[A-Z])\w+(?:(?:,\s+|\s+and\s+|,\s+and\s+)[A-Z]\w+)*)"),
    _shape("learns", "topic", rf"(?:learn(?:s|ing|ed)?|studying|practi[sc]ing)\s+{_OBJECT}"),
    _shape("plays", "thing", r"(?:play(?:s|ed|ing)?|taken\s+up|took\s+up)\s+(?P<o>(?:the\s+)?[\w-]+(?:\s+(?:the\s+)?[\w-]+)?)"),
    _shape("likes", "thing", rf"(?:like(?:s|d)?|love(?:s|d)?|enjoy(?:s|ed)?|adore(?:s|d)?|fond\s+of|crazy\s+about|into|fan\s+of)\s+(?!to\s+be\b|that\b|it\b){_OBJECT}"),
    _shape("dislikes", "thing", rf"(?:hate(?:s|d)?|dislike(?:s|d)?|detest(?:s)?|(?:can't|cannot|can\s+not)\s+stand|gone\s+off|went\s+off|fed\s+up\s+with)\s+{_OBJECT}"),
    _shape("prefers", "thing", rf"(?:prefer(?:s|red)?)\s+{_OBJECT}"),
    _shape("consumes", "thing", rf"(?:eat(?:s|ing)?|drink(?:s|ing)?|smok(?:e|es|ing)|touch)\s+{_OBJECT}"),
    _shape("diet", "text", r"(?:become\s+|became\s+|gone\s+|went\s+)?(?:a\s+|an\s+)?(?P<o>vegan|vegetarian|pescatarian|gluten[- ]free|lactose\s+intolerant|coeliac|celiac)\b"),
    _shape("car", "thing", r"(?:drive(?:s|n)?|driving)\s+(?:(?:a|an|the|my|our)\s+)(?P<o>[^,;:.!?()]*(?-i:[A-ZÀ-Þ])[^,;:.!?()]*)"),
    _shape("owns", "thing", r"(?:sold|gave\s+away|got\s+rid\s+of|lost|traded\s+in)\s+(?:my|our|the|his|her|their)\s+(?P<o>(?!job\b|way\b)[\w-]+(?:\s+(?-i:[A-ZÀ-Þ0-9])[\w-]*)*(?:\s+(?:at|in)\s+(?-i:[A-ZÀ-Þ])\w+)?)", ends=True),
    _shape("owns", "thing", r"(?:bought|adopted|own(?:s|ed)?|have|has|had|got|gotten|bring|acquired)\s+(?P<o>(?:a|an|two|three|four|five|some|our\s+own|my\s+own)\s+[^,;:.!?()]+)", confidence=0.6),
    _shape("takes", "thing", r"(?:tak(?:e|es|ing)|on)\s+(?P<o>(?:\d[\d.,]*\s*(?:mg|mcg|ml|g|units?)?\s*(?:of\s+)?)?[a-zA-Z]+(?:\s+\d+\s*(?:mg|mcg|ml)?)?)\s+(?=(?:every|each|once|twice|three|daily|at\s+night|in\s+the|for\s+(?:my|his|her)))"),
    _shape("member_of", "organisation", r"(?:(?:a\s+)?member\s+of|belong(?:s)?\s+to|joined)\s+(?P<o>(?:a|an|the)\s+[\w ]*?(?:club|choir|group|team|gym|band|orchestra|society|association|party)\b[^,;:.!?()]*)"),
    _shape("provider", "organisation", rf"(?:bank|banks|insured)\s+with\s+(?P<o>{NAME})", confidence=0.7),
)  # fmt: skip
# Whether any of them can be there, found in one go: what stands before them is the same for all.
ANY_SHAPE = Cue(_HEAD + "(?:" + "|".join(re.sub(r"\(\?P<\w+>", "(?:", shape.rest) for shape in SHAPES) + ")")  # fmt: skip
AGE = re.compile(r"^(?:'m|'s|\s+(?:am|is|turned|just\s+turned|has\s+turned))\s+(?:now\s+)?(?P<o>\d{1,3}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fourteen|fifteen|sixteen|eighteen|twenty)(?=\s+(?:years?\s+old|now)|\s*[.,!]|\s*$)", re.IGNORECASE)  # fmt: skip
BORN = re.compile(r"^\s+was\s+born\s+(?:on\s+)?(?P<o>[^,;:.!?()]+)", re.IGNORECASE)
# "X is called Felix", "the code is 4471": what a possession is.
IS = re.compile(
    r"^(?:\s+(?:now|still|currently))?(?:'s|\s+(?:is|are|was|were|will\s+be|'s|gets?|got|has\s+been|have\s+been|starts?|meets?|comes?|opens?|runs?|expires?|takes\s+place|lives?|costs?|weighs?|sleeps?|has\s+moved|moved|has|have|charges?|used\s+to\s+be|changed|changes|stays|lies|stands))(?P<mid>(?:\s+(?:now|currently|still|actually|really|always|just|going\s+to\s+be|changed|moved|called|named|kept|stored|set|due))*)\s+(?P<v>.+)$",
    re.IGNORECASE,
)
GRADE = re.compile(
    r"\b(?P<o>(?:year|grade)\s+(?:\d+|one|two|three|four|five|six)|(?:first|second|third|fourth|fifth|final)\s+year)\b(?!\s+(?:of|we|in\s+a\s+row))",
    re.IGNORECASE,
)
