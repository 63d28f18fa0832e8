"""Why a memory was recalled, in words and numbers. Pure."""

from __future__ import annotations

from datetime import datetime

from contracts.memory import Reason

from memory.levels.decay import STRENGTH_MAX, half_life
from memory.recall.question import Question, speaker_of
from memory.recall.rank import Ranked

WORDS_SHOWN_MAX = 8
_DAY_S = 86_400


def reasons(
    ranked: Ranked, question: Question, now: datetime, moved: str | None = None
) -> list[Reason]:
    """Return what found or moved the memory, the strongest first; never empty."""
    candidate = ranked.candidate
    found: list[Reason] = []
    if candidate.cosine is not None and candidate.cosine > 0:
        found.append(_reason("vector", ranked.of("near"), "close in meaning"))
    if candidate.terms:
        shared = ", ".join(sorted(candidate.terms)[:WORDS_SHOWN_MAX])
        found.append(_reason("lexical", ranked.of("said"), f"shares {shared}"))
    elif ranked.of("covers_around") > 0:
        found.append(_reason("lexical", ranked.of("said"), "what stands beside it shares words"))
    speaker = speaker_of(candidate.speaker, candidate.text)
    if ranked.of("speaker") > 0 and speaker is not None:
        found.append(_reason("entity", ranked.of("speaker"), f"said by {speaker}"))
    if ranked.entity > 0:
        found.append(_reason("entity", ranked.entity, "names whom the question names"))
    if ranked.of("then") > 0:
        found.append(_reason("time", ranked.of("then"), f"happened {question.phrase}"))
    if half_life(str(candidate.level)) is not None:
        found.append(_reason("decay", ranked.strength / STRENGTH_MAX, _strength(ranked, now)))
    if moved:
        found.append(_reason("fact", 1.0, moved))
    if not found:
        found.append(_reason("lexical", 0.0, "stands beside what was found"))
    return sorted(found, key=lambda reason: -reason.score)


def _strength(ranked: Ranked, now: datetime) -> str:
    candidate = ranked.candidate
    days = max(0, int((now - candidate.accessed_at).total_seconds() // _DAY_S))
    return f"strength {ranked.strength:.2f}, used {candidate.accesses} times, last {days} days ago"


def _reason(arm: str, score: float, detail: str) -> Reason:
    return Reason.model_validate(
        {"arm": arm, "score": round(min(max(score, 0.0), 1.0), 4), "detail": detail}
    )
