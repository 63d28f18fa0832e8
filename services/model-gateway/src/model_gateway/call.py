"""One request on its way through the gateway: what is known of it, and what became of it."""

import secrets
from dataclasses import dataclass, field
from datetime import date

from model_gateway.endpoint import Tally
from model_gateway.terms import Terms


def new_id() -> str:
    """Return an id that no other request has."""
    return secrets.token_hex(12)


@dataclass(frozen=True)
class Correction:
    """By how much a budget's use is to change: what a call took against what was reserved for it."""

    day: date
    budget: str
    caller: str
    tokens: int
    cost_micros: int


@dataclass
class Call:
    """One request. The ways write into it what the accounts are to say."""

    endpoint: str
    model: str
    terms: Terms
    request_id: str = field(default_factory=new_id)
    tally: Tally = field(default_factory=Tally)
    queue_seconds: float = 0.0
    watt_seconds: float | None = None
    # About how many tokens are to be read, where that can be said.
    prompt_tokens: int | None = None
    # What a client that waits for the first byte is told; empty while somebody works on it.
    waiting: str = ""
    # The way that answered or was tried last, and how many were tried before it.
    way: str | None = None
    last_way: bool = False
    # Whether that way may have begun to work on it, and whether an answer's first byte came.
    sent: bool = False
    answered: bool = False
    # All of the answer was handed on: a client that goes then has not gone before its end.
    complete: bool = False
    falls: int = 0
    # What it cost, in millionths of the currency, and what that changes in budgets.
    cost_micros: int = 0
    corrections: list[Correction] = field(default_factory=list[Correction])
