"""What model calls took and what may still be spent, as model-gateway keeps it. Days are UTC's; no word of a prompt."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from contracts.base import Contract, Instant

USAGE_PATH = "/v1/usage"
BUDGETS_PATH = "/v1/budgets"
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0)]
UsageKey = Literal["day", "caller", "model", "way", "service_class"]
USAGE_KEYS: tuple[UsageKey, ...] = ("day", "caller", "model", "way", "service_class")


class UsageRow(Contract):
    """What was taken together by all calls that share what is named here; what was not asked for is None.

    `caller` is `person:<uuid>`, `service:<name>` or `unknown`; `way` is `gpu:<model>`, a backend, or empty where none
    was tried. `watt_hours`: of those calls alone whose cards tell.
    """

    day: date | None = None
    caller: str | None = None
    model: str | None = None
    way: str | None = None
    service_class: str | None = None
    calls: Count
    failed: Count
    tokens_read: Count
    tokens_written: Count
    audio_seconds: Amount
    characters: Count
    images: Count
    seconds: Amount
    queue_seconds: Amount
    watt_hours: Amount
    cost: Amount


class Usage(Contract):
    """`GET /v1/usage?since=2026-01-01&until=2026-01-31&by=day,caller`: both days included, 30 days and all keys by default.

    `unwritten` and `dropped`: calls that wait to be written down, and that were lost since the gateway's start.
    """

    currency: str
    since: date
    until: date
    rows: tuple[UsageRow, ...]
    truncated: bool
    unwritten: Count
    dropped: Count


class BudgetUse(Contract):
    """What is used of a budget today, reservations of running calls included. `caller`: whose, where each has its own."""

    budget: str
    way: str
    caller: str | None
    tokens: Count
    tokens_max: Count | None
    cost: Amount
    cost_max: Amount | None
    resets_at: Instant


class Budgets(Contract):
    """`GET /v1/budgets`."""

    currency: str
    budgets: tuple[BudgetUse, ...]
