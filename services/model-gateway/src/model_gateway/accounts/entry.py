"""What is written down of a call. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from model_gateway.call import Call, Correction

COUNT_MAX = 2**53
WATT_SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Entry:
    """One call's line, in the order of `add_call`, and what it changes in budgets."""

    line: tuple[Any, ...]
    corrections: tuple[Correction, ...]


def entry_of(call: Call, outcome: str, at: datetime, seconds: float, correlation_id: str) -> Entry:
    """Return the line of a call that is over."""
    tally, terms = call.tally, call.terms
    written = tally.pieces if tally.tokens_written is None else tally.tokens_written
    watt_hours = None if call.watt_seconds is None else call.watt_seconds / WATT_SECONDS_PER_HOUR
    line = (
        call.request_id,
        at,
        call.endpoint[:64],
        call.model,
        call.way or "",
        terms.caller,
        terms.service or "",
        terms.agent or "",
        terms.service_class,
        terms.tier,
        outcome[:64],
        min(tally.tokens_read or 0, COUNT_MAX),
        min(written, COUNT_MAX),
        max(0.0, tally.audio_seconds or 0.0),
        min(tally.characters, COUNT_MAX),
        min(tally.images, COUNT_MAX),
        max(0.0, seconds),
        max(0.0, call.queue_seconds),
        watt_hours,
        min(call.cost_micros, COUNT_MAX),
        call.falls,
        correlation_id,
    )
    return Entry(line, tuple(call.corrections))
