"""The few shapes that are the dashboard's own; all others are its neighbours', from contracts."""

from __future__ import annotations

from typing import Annotated, Literal

from contracts.agents import (
    ConfirmationRequired,
    Delta,
    Stage,
    TurnAccepted,
    TurnError,
    TurnFinished,
    TurnSource,
)
from contracts.base import Contract
from pydantic import Field

NeedKind = Literal["confirmation", "container", "snapshot", "cards"]


class Need(Contract):
    """One thing that waits for the person, and where to deal with it."""

    kind: NeedKind
    title: Annotated[str, Field(max_length=200)]
    detail: Annotated[str, Field(max_length=2000)] = ""
    href: Annotated[str, Field(max_length=200)]


class Needs(Contract):
    """`GET /api/needs`: most urgent first. `unknown` names the parts that did not answer."""

    needs: tuple[Need, ...]
    unknown: tuple[str, ...] = ()


class TurnEvents(Contract):
    """The events of `POST /api/turns`, by name. One document never holds them all: it is how they are written down."""

    turn_accepted: TurnAccepted = Field(alias="turn.accepted")
    stage: Stage
    sources: tuple[TurnSource, ...]
    delta: Delta
    confirmation_required: ConfirmationRequired
    turn_finished: TurnFinished = Field(alias="turn.finished")
    error: TurnError
