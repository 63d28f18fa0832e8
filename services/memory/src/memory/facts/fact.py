"""One fact as a text states it. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ExtractedFact:
    """One fact as a text states it; see docs/adr for what each field means."""

    subject: str
    predicate: str
    object: str
    object_kind: str
    polarity: bool
    valid_from: datetime | None
    valid_to: datetime | None
    confidence: float
    span: tuple[int, int]
    qualifier: str = ""
    role: str | None = None
