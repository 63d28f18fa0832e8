"""What state-registry knows of the containers of the house."""

from typing import Annotated

from pydantic import Field

from contracts.base import Contract, Instant

STATE_TOPIC = "system.state.v1"


class ContainerState(Contract):
    """One container now, against its budget."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    domain: Annotated[str, Field(max_length=32)]
    state: Annotated[str, Field(min_length=1, max_length=32)]
    health: Annotated[str, Field(max_length=32)] | None = None
    started_at: Instant | None = None
    restarts: Annotated[int, Field(ge=0)] = 0
    memory_bytes: Annotated[int, Field(ge=0)] | None = None
    budget_bytes: Annotated[int, Field(ge=0)] | None = None
    cpu_percent: Annotated[float, Field(ge=0)] | None = None


class ContainerList(Contract):
    """`GET /v1/containers`. `sampled_at` tells how old the answer is; a stale one must look stale."""

    containers: tuple[ContainerState, ...]
    sampled_at: Instant | None = None
    age_seconds: Annotated[float, Field(ge=0)] | None = None
    stale: bool = True


class ContainerChanged(Contract):
    """`system.state.v1` on the bus: a container came, went, or changed its state, health or restarts."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    state: Annotated[str, Field(min_length=1, max_length=32)]
    health: Annotated[str, Field(max_length=32)] | None = None
    restarts: Annotated[int, Field(ge=0)] = 0
