"""What a request finds ready: the use cases, wired once at start."""

from __future__ import annotations

from dataclasses import dataclass

from kit.clock import Clock

from gpu_scheduler.agents import Agents
from gpu_scheduler.fleet import Fleet
from gpu_scheduler.gateways import Gateways
from gpu_scheduler.journal import Journal
from gpu_scheduler.leases import Leases
from gpu_scheduler.loop import Loop
from gpu_scheduler.orders import Orders
from gpu_scheduler.placing import Placing
from gpu_scheduler.store import Store


@dataclass(frozen=True)
class House:
    """The scheduler's use cases."""

    clock: Clock
    loop: Loop
    store: Store
    fleet: Fleet
    gateways: Gateways
    leases: Leases
    agents: Agents
    orders: Orders
    placing: Placing
    journal: Journal
