"""What the scheduler decides to do. Each says why in a sentence that a person can read."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_scheduler.core.model import DeploymentKey


@dataclass(frozen=True)
class Grant:
    """The request may use the instance now. For bare memory `instance_id` is empty and `card` is set."""

    request_id: str
    instance_id: str
    fence: int
    why: str
    card: str | None = None


@dataclass(frozen=True)
class Refuse:
    """The request will not be served. `code` is a key of errors.py; `why` holds the arithmetic."""

    request_id: str
    code: str
    why: str
    retry_after_s: float | None = None


@dataclass(frozen=True)
class Preempt:
    """Its caller is to give the instance back; it keeps its place by its time of arrival."""

    request_id: str
    why: str


@dataclass(frozen=True)
class Revoke:
    """A lease is over: it ran out, its holder died, or the model behind it has gone."""

    request_id: str
    fence: int
    why: str


@dataclass(frozen=True)
class Start:
    """A container of the deployment is to be started on these cards; `charge_mib` is booked on each."""

    instance_id: str
    deployment: DeploymentKey
    cards: tuple[str, ...]
    charge_mib: int
    fence: int
    why: str


@dataclass(frozen=True)
class Wake:
    """An instance that is asleep is to come back; `charge_mib` is booked on each card again."""

    instance_id: str
    charge_mib: int
    fence: int
    why: str


@dataclass(frozen=True)
class Sleep:
    """An instance is to give up the card and keep its weights in host memory."""

    instance_id: str
    fence: int
    why: str


@dataclass(frozen=True)
class Drain:
    """An instance takes nothing new, by the owner's order. Sent to the node too, so that a stale grant is refused there.

    Its fence is not above those of the requests that still run there, so that none of them is turned away.
    """

    instance_id: str
    fence: int
    why: str


@dataclass(frozen=True)
class Hold:
    """A busy instance is to take nothing less urgent than what waits for `for_model`. Nothing is sent for it."""

    instance_id: str
    for_model: str
    why: str


@dataclass(frozen=True)
class Stop:
    """An instance is to end."""

    instance_id: str
    fence: int
    why: str


@dataclass(frozen=True)
class WakeNode:
    """A node that is off is to be woken by Wake-on-LAN."""

    node: str
    why: str


Action = Grant | Refuse | Preempt | Revoke | Start | Wake | Sleep | Drain | Hold | Stop | WakeNode
