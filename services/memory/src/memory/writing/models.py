"""Which embedding model answers, and what a change of it takes next. `plan` is pure; `Models` remembers for a moment.

A model is `building` while every memory is given a vector of it beside the one that answers; then it becomes
`active` and the one before it `retired`, in one transaction; a retired model's vectors are dropped, then its row.
Vectors of two models are never compared: whoever asks names the model that made the query's vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from memory.domain import DIMENSIONS
from memory.writing.errors import DimensionsUnsupported
from memory.writing.store import Vector

if TYPE_CHECKING:
    from kit.clock import Clock

    from memory.library import Library
    from memory.store import Model

# How old the answer to "which model is active" may be.
REMEMBERED_SECONDS = 5.0
# A question that was embedded before the switch may still be searching: what it needs stays a good while longer.
RETIRED_SECONDS = 60.0


class State(StrEnum):
    """What becomes of a model's vectors."""

    BUILDING = "building"
    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Known:
    """A registered model."""

    id: int
    name: str
    dimensions: int
    state: State
    done: int = 0
    total: int = 0


class Step(StrEnum):
    """What a change of model takes next."""

    NOTHING = "nothing"
    ABANDON = "abandon"
    DROP = "drop"
    REGISTER = "register"
    BUILD = "build"


def plan(models: Sequence[Known], wanted: str) -> tuple[Step, Known | None]:
    """Decide the next step towards answering by `wanted`, and the model that it is about.

    1. Another model than the wanted one is being built: abandon it.
    2. A retired model still has vectors: drop them first, so that no more than two models ever have any.
    3. The wanted model answers: nothing.
    4. It is being built: build on.
    5. It is not known: register it.
    """
    of = {state: next((model for model in models if model.state is state), None) for state in State}
    building, retired, active = of[State.BUILDING], of[State.RETIRED], of[State.ACTIVE]
    if building is not None and building.name != wanted:
        return Step.ABANDON, building
    if retired is not None:
        return Step.DROP, retired
    if active is not None and active.name == wanted:
        return Step.NOTHING, None
    if building is not None:
        return Step.BUILD, building
    return Step.REGISTER, None


def next_id(models: Sequence[Known]) -> int:
    """Return a number for a new model, in the other slot of the indexes than the active one's."""
    taken = {model.id for model in models}
    active = next((model.id for model in models if model.state is State.ACTIVE), 0)
    return next(number for number in range(1 + active % 2, 1000, 2) if number not in taken)


def check_dimensions(vector: Vector) -> int:
    """Return how many dimensions a model's vectors have. Raises DimensionsUnsupported."""
    if len(vector) not in DIMENSIONS:
        raise DimensionsUnsupported(
            f"The embedding model's vectors have {len(vector)} dimensions; memory keeps no index for that."
        )
    return len(vector)


def known(row: Any) -> Known:
    """Return a model from its row."""
    return Known(
        row["id"],
        row["name"],
        row["dimensions"],
        State(row["state"]),
        row["done"],
        row["total"],
    )


class Models:
    """The active model, asked of the database every few seconds."""

    def __init__(self, library: Library, clock: Clock) -> None:
        self._library = library
        self._clock = clock
        self._active: Model | None = None
        self._until = 0.0

    async def active(self) -> Model:
        """Return the model whose vectors answer. Raises DataUnavailable."""
        now = self._clock.monotonic()
        if self._active is None or now >= self._until:
            async with self._library.plain.pool.own(read_only=True) as conn:
                self._active = await self._library.plain.active_model(conn)
            self._until = now + REMEMBERED_SECONDS
        return self._active

    def forget(self) -> None:
        """Ask again at the next occasion."""
        self._until = 0.0
