"""What gpu-scheduler shows beside `Status`: its models, the past, its agents, and that something has changed."""

from typing import Annotated, Literal

from pydantic import Field

from contracts.base import Contract, Instant, ShortText
from contracts.scheduling import AgentView, Decision, Mib, ModelView, Name, Order, Part, Sentence

TROUBLES_MAX = 20


class Models(Contract):
    """`GET /v1/models`: every model of every node."""

    models: tuple[ModelView, ...]


class AgentList(Contract):
    """`GET /v1/agents`."""

    agents: tuple[AgentView, ...]


class DecisionList(Contract):
    """`GET /v1/decisions?before=<unix seconds>&limit=`: newest first, without grants."""

    decisions: tuple[Decision, ...]


class CardMinute(Contract):
    """One card in one minute."""

    card: Name
    node: Name
    at: Instant
    total_mib: Mib
    used_mib: Mib
    booked_mib: Mib
    utilisation_percent: float | None = None
    watts: float | None = None
    parts: tuple[Part, ...]


class CardHistory(Contract):
    """`GET /v1/history?since=<unix seconds>&until=&card=&limit=&step=`: oldest first; seven days are kept.

    Of every `step` minutes (counted from 1970, 1 by default) the one in which the card was fullest.
    """

    minutes: tuple[CardMinute, ...]


class OrderTaken(Contract):
    """The answer to `POST /v1/orders`: it stands; how it is carried out is seen in the status."""

    order: Order


class Trouble(Contract):
    """One thing that is wrong with the cards and that a person can do something about."""

    kind: Literal["card_over_budget", "node_away", "crash_loop"]
    on: ShortText
    why: Sentence


class TroubleList(Contract):
    """`GET /v1/troubles`: what is wrong now, the most urgent first."""

    troubles: Annotated[tuple[Trouble, ...], Field(max_length=TROUBLES_MAX)]


class CardBrief(Contract):
    """One card in numbers."""

    id: Name
    total_mib: Mib
    used_mib: Mib
    booked_mib: Mib
    foreign_mib: Mib
    free_mib: Mib


class StateChanged(Contract):
    """`inference.state.v1` on the bus, at most once a second: look at `GET /v1/status` for the rest."""

    epoch: int
    paused: bool
    nodes_up: int
    queued: int
    running: int
    leases: int
    cards: Annotated[tuple[CardBrief, ...], Field(max_length=16)]
    resident: Annotated[tuple[Name, ...], Field(max_length=16)]
