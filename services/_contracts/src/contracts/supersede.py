"""What a person says about which memory replaced which."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from contracts.base import Contract
from contracts.memory import Source


class SupersedeRequest(Contract):
    """`POST /v1/memories/{id}/supersede`: `by` a memory that is there, or by a new one with this `text`.

    The new one is of the same tier, namespace and level as the one it replaces; `valid_from` says since when it holds.
    """

    by: UUID | None = None
    text: str | None = None
    source: Source = Source()
    occurred_at: datetime | None = None
    valid_from: datetime | None = None
