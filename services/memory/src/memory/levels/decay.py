"""How strong a memory is: it fades with time and is refreshed when it is used. Pure.

A row keeps its strength as of `accessed_at`; what it is worth now is worked out from there, so nothing has to be
written while time passes. Only the episodic level fades: session and working memories end by their time to live,
identity and knowledge are permanent.
"""

from __future__ import annotations

from datetime import datetime, timedelta

STRENGTH_MAX = 8.0
STRENGTH_NEW = 1.0
HALF_LIFE = timedelta(days=7)
# What one use adds to a memory of no strength; one at STRENGTH_MAX gains nothing any more.
GAIN = 1.0
# Uses closer together than this count as one: a loop of reads is one interest, not a thousand.
SPACING = timedelta(minutes=10)
_FADING = "episodic"


def half_life(level: str) -> timedelta | None:
    """Return how long a memory of this level takes to lose half its strength; None when it does not fade."""
    return HALF_LIFE if level == _FADING else None


def strength_now(strength: float, accessed_at: datetime, now: datetime, level: str) -> float:
    """Return what a strength noted at `accessed_at` is worth at `now`, within 0 and STRENGTH_MAX.

    It never grows as `now` goes on. A clock that was set back fades nothing.
    """
    held = _bounded(strength)
    halves = half_life(level)
    if halves is None:
        return held
    age = max(now - accessed_at, timedelta(0))
    return held * 0.5 ** (age / halves)


def reinforce(
    strength: float,
    accessed_at: datetime,
    now: datetime,
    level: str,
    *,
    first: bool = False,
    relevance: float = 1.0,
) -> tuple[float, datetime]:
    """Return the strength after a use at `now`, and the time it is noted as of.

    Each use adds less than the one before, never past STRENGTH_MAX, and nothing within SPACING of the last one that
    counted; only the `first` use of all need not wait. `relevance` (0..1) is how much the use was about this memory.
    """
    # Either way round: a time in the future was noted by a clock that ran ahead, and is set right.
    if not first and abs(now - accessed_at) < SPACING:
        return _bounded(strength), accessed_at
    held = strength_now(strength, accessed_at, now, level)
    weight = min(max(relevance, 0.0), 1.0) if relevance == relevance else 0.0
    gain = GAIN * weight * (1.0 - held / STRENGTH_MAX)
    return _bounded(held + gain), now


def _bounded(strength: float) -> float:
    # What is not a number is no strength.
    return min(max(strength, 0.0), STRENGTH_MAX) if strength == strength else 0.0
