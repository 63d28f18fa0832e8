"""What is not worth remembering, as a table that a person can read and dispute. Pure.

A text is junk only when every part of it is (parts end at a line's or a sentence's end), so that "Hi! My cat is called
Hi" stays. Two rules condemn a whole text by how it opens: a prompt or a log goes on in any words.

What is kept on purpose, though it says little: a link alone (a bookmark), a number alone (somebody's note), anything
with a name, a date or an amount in it, and text that gives orders to an assistant: it is data, and stays data.
Turns of a conversation are not judged: a thread is evidence as a whole. `trivial` only marks them as of little weight.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

# No phrase of the table is longer: whoever writes more has said something.
PHRASE_CHARS_MAX = 120
NOTICE_CHARS_MAX = 600
PARTS_MAX = 40

GREETINGS = """
hi|hello|hey|hiya|howdy|yo|greetings|hi there|hello there|hey there|hello again|good (?:morning|afternoon|evening|day)
morning|evening|good ?night|nighty? night|sweet dreams|bye|bye bye|goodbye|good bye|see (?:you|ya)(?: later| soon| around)?
later|take care|talk (?:to you )?(?:later|soon)|have a (?:good|nice|great|lovely) (?:day|evening|night|weekend|one)
welcome(?: back)?|nice to meet you|how are you(?: doing)?(?: today)?|how's it going|how is it going|what'?s up|sup
how do you do|hope you(?: are|'re) (?:doing )?well|i hope (?:this|that) (?:email|message) finds you well|long time no see
anyone (?:there|here)|are you there|hola|bonjour|salut|hallo|guten (?:tag|morgen|abend)|moin|servus|ciao|ol[aá]|bom dia
boa (?:tarde|noite)|buenos d[ií]as|buenas (?:tardes|noches)|namaste|merhaba|ahoj|hej
"""
GREETED = r"there|everyone|everybody|all|guys|folks|team|again|friend|my friend|buddy|mate|sir|madam|assistant|lares|claude|chatgpt"
ACKNOWLEDGEMENTS = """
ok|okay|k|kk|okey|okie|sure|sure thing|yes|yeah|yep|yup|ya|aye|no|nope|nah|maybe|right|alright|all right|correct|exactly
indeed|true|agreed|absolutely|definitely|certainly|of course|totally|great|cool|nice|awesome|perfect|wonderful|lovely
amazing|excellent|fantastic|brilliant|good|fine|super|neat|sweet|wow|oh|ah|aha|uh|um|hm+|mhm|huh|lol|lmao|rofl|ha(?:ha)+
he(?:he)+|xd|thanks|thank you|thx|ty|tysm|cheers|many thanks|thanks again|thank you again|much appreciated|appreciated
got it|gotcha|i see|i understand|understood|noted|roger|will do|done|sounds (?:good|great|fine|perfect)|makes sense
no (?:problem|worries|thanks|thank you)|np|you(?:'re| are) welcome|my pleasure|don'?t mention it|any ?time|sorry|oops
my bad|never ?mind|whatever|go on|go ahead|continue|next|please|pls|yes please|as you wish|fair enough|good (?:point|job|to know)
well done|congrats|congratulations|bravo|that'?s (?:great|good|nice|cool|fine|ok|okay|right|awesome|amazing|true)
danke|vielen dank|merci|gracias|obrigad[oa]|grazie|bitte|ja|nein|oui|non|s[ií]|sim
"""
THANKED = r"so much|very much|a lot|a bunch|again|for (?:the|your|all your) (?:help|time|answer|reply|info|information|support)|then|too|man|dude|bro|everyone|all"
NOTICES = (
    r"(?:(?:this|our) (?:web ?site|site|page|store)|we)(?: and our (?:\d+ )?partners)? uses? (?:essential |necessary )?cookies(?: (?:to|and|on (?:this|our)|for (?:analytics|marketing|ads))\b.*)?",
    r"by (?:continuing|clicking|using)\b.*\byou (?:agree|consent|accept)\b.*",
    r"(?:accept|reject|manage|allow) (?:all )?cookies",
    r"(?:accept|reject) all|cookie (?:policy|settings|preferences)|privacy policy|terms (?:of (?:use|service)|and conditions)",
    r"to unsubscribe\b.{0,80}|unsubscribe(?: here| now| from (?:this|these|our|all|the) (?:list|newsletter|e-?mails?|mailing ?lists?|messages))?|(?:click here|if you (?:no longer )?wish) to (?:unsubscribe|opt.out|stop receiving)\b.*",
    r"if you (?:no longer (?:wish|want)|do not wish|don't want) to receive\b.*",
    r"you (?:are receiving|received|'re receiving) this (?:e-?mail|message|newsletter) because\b.*",
    r"(?:manage|update) (?:your )?(?:e-?mail |subscription |communication )?(?:preferences|settings)",
    r"view (?:this (?:e-?mail|message) )?in (?:your )?browser",
    r"(?:please )?do not reply(?: directly)? to this (?:e-?mail|message)\b.*|this is an automat(?:ed|ically generated) (?:e-?mail|message|reply)\b.*",
    r"this (?:e-?mail|message)(?:,? (?:and|including) any (?:attachments?|files?)\b.{0,60})? (?:is|are|may be|may contain|contains?) (?:strictly )?(?:confidential|privileged|legally privileged)\b.*",
    r"if you (?:are not the intended recipient|have received this (?:e-?mail|message) in error)\b.*",
    r"(?:©|\(c\)|copyright)(?: ©| \(c\))?(?: \d{4}(?: ?[-–] ?\d{4})?)?\b.{0,80}|all rights reserved",
    r"sent from my (?:iphone|ipad|android|samsung|galaxy|mobile|phone|blackberry|huawei|pixel)\b.{0,40}|get outlook for (?:ios|android)|sent (?:from|via) (?:outlook|gmail|yahoo|proton) ?mail\b.{0,30}",
    r"(?:please )?enable javascript\b.*|javascript is (?:disabled|required)\b.*|skip to (?:main )?content|your browser is (?:out of date|not supported)\b.*",
    r"please consider the environment before printing\b.*",
)
AGENT_NOISE = (
    r"heartbeat(?:_ok)?|no_reply|ping|pong|nothing (?:new )?to (?:report|save|remember|store|add)|no (?:new|relevant) (?:information|memor(?:y|ies)|facts?|messages|updates?)(?: (?:found|available|to (?:report|store|save)))?|none|n/?a|null|undefined|\[?object object\]?|nan",
    r"how (?:can|may) i (?:help|assist)(?: you)?(?: (?:today|with that|further))?|(?:is there )?anything else (?:i can|that i can) (?:help|assist|do)\b.{0,40}|what can i do for you(?: today)?|i'?m here to help\b.{0,40}|(?:please )?let me know if (?:you (?:have|need)|there(?:'s| is)) (?:any(?:thing)?|more|further)\b.{0,60}|feel free to (?:ask|reach out)\b.{0,60}|i hope this helps",
    r"(?:the )?user (?:said|says) (?:hi|hello|hey|thanks|thank you|bye|goodbye|ok|okay)|(?:the )?user (?:greeted|thanked|acknowledged) (?:the )?(?:assistant|agent|ai|bot|system|me)\b.{0,40}|(?:the )?user (?:is testing|started (?:a|the) (?:chat|conversation|session))\b.{0,40}",
    r"(?:the )?(?:assistant|agent|ai|bot) (?:is ready|greeted|offered (?:to help|help|assistance)|asked how|acknowledged|responded|replied|introduced itself)\b.{0,80}",
    r"(?:the )?(?:conversation|session|chat)(?: has)? (?:started|ended|begun|is empty|was reset)",
)
TESTS = (
    r"(?:this is )?(?:just )?(?:a )?test(?:ing)?(?: (?:test|testing|message|memory|entry|note|\d{1,4}|one two three))*",
    r"foo(?: ?bar)?(?: ?baz)?|asdf\w{0,12}|qwerty\w{0,8}|blah(?: blah)*|bla(?: bla)*|lorem ipsum\b.*",
)
OPENINGS = (
    r"(?:#+ ?)?system(?: prompt| message)?:\s*you are\b",
    r"you are (?:now )?(?:a|an|the) (?:very )?(?:(?:helpful|friendly|personal|intelligent|expert|professional|knowledgeable|advanced|harmless|honest|concise|ai|virtual|digital|smart|voice|coding|customer|support|service|large)[ ,]+(?:and )?){0,5}(?:assistant|chatbot|ai(?: model| agent)?|language model|agent|bot)\b",
    r"you are (?:chatgpt|claude|gemini|gpt-?\d|copilot|bard|siri|alexa|grok|llama)\b",
    r"as an ai(?: language model| model| assistant| chatbot)?, i\b|i(?:'m| am) (?:just )?an ai (?:language model|assistant|model|chatbot)(?: and|,|\.|$)|i'?m sorry,? but (?:as an ai|i (?:can'?t|cannot|am unable to) (?:assist|help|fulfil|comply))",
    r"<\|(?:im_start|im_end|system|user|assistant|endoftext|begin_of_text|start_header_id)|<<sys>>|\[/?inst\]|<(?:system|system_prompt|instructions|system-reminder)>",
    r"#{2,} ?(?:instructions?|system|response|input):?\s*(?:\n|$)",
    r"your (?:task|role|job) is to (?:act as|assist|help the user|answer (?:the user|questions)|extract|summari[sz]e|classify)\b",
)
_LOG_LINE = re.compile(
    r"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*\]?\s+\[?(?:\S+\s+){0,2}?(?:TRACE|DEBUG|INFO|WARN(?:ING)?|ERROR|FATAL|CRITICAL)\]?\b.*"
)
_SIGNED = re.compile(
    r"(?i:(?:with )?(?:best|kind|kindest|warm|warmest)(?: regards| wishes)?|regards|best|sincerely|yours"
    r"(?: (?:sincerely|truly|faithfully))?|cheers|thanks|many thanks|lg|vg|mfg)[,.!]?"
    r"\s*\n\s*[A-Z][\w.'’-]*(?: [A-Z][\w.'’-]*){0,3}[.]?",
)
_ADDRESSED = re.compile(
    r"(?i:hi|hello|hey|dear|good morning|good evening|good afternoon|hallo|hola|bonjour),?"
    r" [A-Z][\w'’-]*(?: [A-Z][\w'’-]*)?[,!]\W*"
)
_PART = re.compile(r"[^\n.!?…]+[.!?…,]*|[.!?…]+")
_STRETCHED = re.compile(r"([a-z])\1{2,}")


@dataclass(frozen=True, slots=True)
class Rule:
    """One reason to refuse. `matches` sees a part as it stands and as it reads without decoration."""

    name: str
    why: str
    matches: Callable[[str, str], bool]


def _phrases(core: str, around: str) -> Callable[[str, str], bool]:
    """Match a part made of these phrases alone, each with what may stand around it."""
    words = "|".join(line for line in core.strip().splitlines())
    pattern = re.compile(rf"(?:{words})(?: (?:{words}|{around}))*")

    def matches(_: str, bare: str) -> bool:
        return len(bare) <= PHRASE_CHARS_MAX and pattern.fullmatch(bare) is not None

    return matches


def _lines(*patterns: str) -> Callable[[str, str], bool]:
    """Match a part that is one of these, whatever its decoration."""
    pattern = re.compile("|".join(f"(?:{line})" for line in patterns), re.DOTALL)

    def matches(_: str, bare: str) -> bool:
        return len(bare) <= NOTICE_CHARS_MAX and pattern.fullmatch(bare) is not None

    return matches


RULES: tuple[Rule, ...] = (
    Rule("no_words", "It has no word and no number in it.", lambda _, bare: not bare),
    Rule("greeting", "It is a greeting and nothing else.", _phrases(GREETINGS, GREETED)),
    Rule(
        "salutation",
        "It only addresses somebody.",
        lambda raw, _: len(raw) <= PHRASE_CHARS_MAX and _ADDRESSED.fullmatch(raw) is not None,
    ),
    Rule(
        "acknowledgement",
        "It only acknowledges what was said before.",
        _phrases(ACKNOWLEDGEMENTS, THANKED),
    ),
    Rule("boilerplate", "It is a notice that stands under or over everything.", _lines(*NOTICES)),
    Rule(
        "agent_noise",
        "It is what assistants say about nothing having happened.",
        _lines(*AGENT_NOISE),
    ),
    Rule("test_text", "It was typed to try something out.", _lines(*TESTS)),
)
WHOLE: tuple[Rule, ...] = (
    Rule(
        "signature",
        "It is how a letter ends.",
        lambda raw, _: len(raw) <= PHRASE_CHARS_MAX and _SIGNED.fullmatch(raw) is not None,
    ),
    Rule(
        "prompt",
        "It is a prompt for a model, or a model speaking of itself.",
        lambda raw, _: _OPENS.match(raw.casefold()) is not None,
    ),
    Rule(
        "log",
        "It is a program's log.",
        lambda raw, _: all(_LOG_LINE.fullmatch(line) for line in raw.splitlines() if line.strip()),
    ),
)
_OPENS = re.compile("|".join(f"(?:{opening})" for opening in OPENINGS))
RULE_NAMES = tuple(rule.name for rule in (*RULES, *WHOLE))


def judge(text: str) -> Rule | None:
    """Return the rule by which `text` is not worth remembering, or None when it is. Linear in its length."""
    for rule in WHOLE:
        if rule.matches(text, ""):
            return rule
    found: Rule | None = None
    parts = _PART.findall(text) or [text]
    if len(parts) > PARTS_MAX:
        return None
    for part in parts:
        raw = part.strip()
        bare = _bare(raw)
        rule = next((rule for rule in RULES if rule.matches(raw, bare)), None)
        if rule is None:
            return None
        # "Hi! :-)" is a greeting; it has no words only when no part has.
        if found is None or found.name == "no_words":
            found = rule
    return found


def trivial(text: str) -> bool:
    """Say whether a turn of a conversation carries little by itself. It is kept all the same."""
    return judge(text) is not None


def _bare(raw: str) -> str:
    """Return a part in small letters without marks and emoji, stretched letters drawn in: "Heyyy!! 😊" -> "hey"."""
    kept: list[str] = []
    for character in unicodedata.normalize("NFKC", raw).casefold():
        kind = unicodedata.category(character)[0]
        if character in "'’":
            kept.append("'")
        elif kind in "LNM" or character in "-_/©()|<>[]#:@%&+=$€£":
            kept.append(character)
        else:
            kept.append(" ")
    words = " ".join("".join(kept).split()).strip("-_/()|<>[]#:@%&+= ")
    words = words if any(unicodedata.category(character)[0] in "LN" for character in words) else ""
    return _STRETCHED.sub(r"\1", words)
