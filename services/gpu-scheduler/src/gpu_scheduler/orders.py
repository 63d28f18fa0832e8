"""The owner's orders: taken at once, kept as far as they are to hold, and remembered over a restart.

A brake works while Postgres is away: it holds from the moment it is given, and is written when it can be.
"""

from __future__ import annotations

from contracts.scheduling import Order
from kit.clock import Clock

from gpu_scheduler.core.events import Ordered
from gpu_scheduler.errors import Disabled, NodeUnknown, OrderInvalid
from gpu_scheduler.fleet import Fleet
from gpu_scheduler.judging import judge
from gpu_scheduler.keeping import Keeper
from gpu_scheduler.loop import Loop

ABOUT_ALL = ("pause", "resume")
ABOUT_NODES = ("drain_node", "resume_node")
# verb -> (kind of standing order, whether it holds from now on)
STANDING = {
    "pause": ("paused", True),
    "resume": ("paused", False),
    "pin": ("pinned", True),
    "unpin": ("pinned", False),
    "ban": ("banned", True),
    "allow": ("banned", False),
    "drain_node": ("draining", True),
    "resume_node": ("draining", False),
}
_VERBS = {kind_and_way: verb for verb, kind_and_way in STANDING.items()}


class Orders:
    """Takes orders from the owner."""

    def __init__(
        self, loop: Loop, fleet: Fleet, keeper: Keeper, clock: Clock, *, disabled: bool
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._fleet = fleet
        self._keeper = keeper
        self._disabled = disabled

    async def take(self, order: Order) -> None:
        """Let an order hold. Raises OrderInvalid, NodeUnknown, Disabled, and why it makes no sense as things are."""
        name = self._about(order)
        if self._disabled and order.verb in ("resume", "load"):
            raise Disabled()
        node = judge(self._loop.state, order, self._clock.monotonic(), self._notes())
        await self._loop.settle(Ordered(order.verb, name, node))
        if (standing := STANDING.get(order.verb)) is not None:
            self._keeper.order(standing[0], name, standing[1])
            await self._keeper.orders_now()

    def _notes(self) -> dict[tuple[str, str], str]:
        return {
            (name, model.model): model.error
            for name, said in self._fleet.said().items()
            for model in said.models
            if model.error is not None
        }

    def _about(self, order: Order) -> str:
        """Return the name of what an order is about; empty when it is about everything."""
        if order.verb in ABOUT_ALL:
            return ""
        if order.verb in ABOUT_NODES:
            name = order.on or order.node
            if name is None:
                raise OrderInvalid()
            if name not in self._fleet.names():
                raise NodeUnknown()
            return name
        if order.on is None:
            raise OrderInvalid()
        if order.node is not None and order.node not in self._fleet.names():
            raise NodeUnknown()
        return order.on


def standing(rows: list[tuple[str, str, bool]]) -> list[Ordered]:
    """Return the events by which the core learns of the orders that hold."""
    return [
        Ordered(_VERBS[kind, enabled], name)  # type: ignore[arg-type]
        for kind, name, enabled in rows
        if enabled or kind == "pinned"
    ]
