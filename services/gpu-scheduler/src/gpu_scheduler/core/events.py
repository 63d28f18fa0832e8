"""What happens to the scheduler. Each is applied by `apply(state, event, now)`, in the order in which it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gpu_scheduler.core.model import Deployment, Phase, Request


@dataclass(frozen=True)
class Asked:
    """A request or a lease was asked for."""

    request: Request


@dataclass(frozen=True)
class Withdrawn:
    """Its caller has gone: from the queue, or from the model."""

    request_id: str


@dataclass(frozen=True)
class FirstByte:
    """The model has begun to answer: from here on it is never taken away."""

    request_id: str


@dataclass(frozen=True)
class Done:
    """A request has ended or a lease was released; `preempted`: it was given back at our demand, before its first byte."""

    request_id: str
    outcome: Literal["ok", "failed", "cancelled", "preempted", "lost"]
    fence: int
    seconds: float = 0.0


@dataclass(frozen=True)
class LeaseRenewed:
    """Its holder still wants it. A wrong fence is ignored: the lease has passed to another."""

    request_id: str
    fence: int


@dataclass(frozen=True)
class OriginLost:
    """A gateway's connection has been gone for longer than the grace: all it asked for goes."""

    origin: str


@dataclass(frozen=True)
class OriginResumed:
    """A gateway is back and names what it still runs: (request, instance, fence, request as asked) of each."""

    origin: str
    running: tuple[Request, ...]


@dataclass(frozen=True)
class CardSeen:
    """One card as the node read it. `ours_mib` by instance id."""

    id: str
    index: int
    total_mib: int
    used_mib: int
    ours_mib: Mapping[str, int] = field(default_factory=dict[str, int])
    error: str | None = None  # it could not be read: what was read before stays, and grows old


@dataclass(frozen=True)
class InstanceSeen:
    """One instance as the node has it."""

    id: str
    model: str
    cards: tuple[str, ...]
    phase: Phase
    fence: int
    peak_mib: Mapping[str, int] = field(default_factory=dict[str, int])  # card id -> MiB
    error: str | None = None
    oom: bool = False
    took_s: float | None = None  # what the last transition took
    in_flight: int = 0  # requests that run through the node's proxy
    fingerprint: str = (
        ""  # of the deployment that it was started from; empty if the node does not say
    )


@dataclass(frozen=True)
class NodeSeen:
    """All that a node says of itself; reading began at `read_at` of our clock. What it does not name does not run."""

    node: str
    boot: str
    read_at: float
    cards: tuple[CardSeen, ...]
    deployments: tuple[Deployment, ...]
    instances: tuple[InstanceSeen, ...]
    ram_budget_mib: int = 0
    ram_foreign_mib: int = 0
    wakeable: bool = False


@dataclass(frozen=True)
class NodeLost:
    """A node has been silent for too long, or said that it goes."""

    node: str


@dataclass(frozen=True)
class NodeLeft:
    """A node does not belong to the house any more: nothing of it is there, and nobody wakes it."""

    node: str


@dataclass(frozen=True)
class ActionFailed:
    """A node refused an action or did not get it."""

    instance_id: str
    fence: int
    code: str


@dataclass(frozen=True)
class AgentSeen:
    """An agent lives; it has registered if it was not known."""

    agent: str
    caller: str
    ttl_s: float


@dataclass(frozen=True)
class AgentGone:
    """An agent has said goodbye, or has been silent for longer than its time to live."""

    agent: str


@dataclass(frozen=True)
class Ordered:
    """The owner wants something; `on` is a model, or a node for `drain_node` and `resume_node`."""

    verb: Literal[
        "load",
        "sleep",
        "evict",
        "pin",
        "unpin",
        "ban",
        "allow",
        "drain_node",
        "resume_node",
        "pause",
        "resume",
    ]
    on: str = ""
    node: str | None = None


@dataclass(frozen=True)
class StoodStill:
    """The scheduler itself did nothing for so long: what it could not hear meanwhile is not held against anybody."""

    seconds: float


@dataclass(frozen=True)
class EpochBegun:
    """A node has been told higher fences than any of this life: from here on they grow above those."""

    epoch: int


@dataclass(frozen=True)
class PeaksLearned:
    """Measured peaks as they were kept: (node, model, fingerprint) -> MiB per card."""

    peaks: Mapping[tuple[str, str, str], int]


Event = (
    Asked
    | Withdrawn
    | FirstByte
    | Done
    | LeaseRenewed
    | OriginLost
    | OriginResumed
    | NodeSeen
    | NodeLost
    | NodeLeft
    | ActionFailed
    | AgentSeen
    | AgentGone
    | Ordered
    | StoodStill
    | EpochBegun
    | PeaksLearned
)
