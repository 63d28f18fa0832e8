"""What a request finds ready: the use cases, wired once at start."""

from dataclasses import dataclass

from orchestrator.confirming import Confirmations
from orchestrator.neighbours import Memory
from orchestrator.running import Registry
from orchestrator.store import Store
from orchestrator.turns import Turns


@dataclass(frozen=True, slots=True)
class House:
    """The orchestrator's use cases."""

    turns: Turns
    confirmations: Confirmations
    registry: Registry
    store: Store
    memory: Memory
