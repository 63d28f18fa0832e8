"""Gateways, holders of leases and agents that are not there: they ask, cancel, vanish, come back, and keep count."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gpu_scheduler.core.events import (
    AgentSeen,
    Asked,
    Done,
    FirstByte,
    LeaseRenewed,
    OriginLost,
    OriginResumed,
    Withdrawn,
)
from gpu_scheduler.core.model import Request

if TYPE_CHECKING:
    from core_world import World

Tell = Callable[[object], None]
Later = Callable[[float, Callable[[], None]], None]


@dataclass
class Asking:
    """One logical request, as whoever asked sees it."""

    request: Request  # as asked; never handed to the scheduler itself
    seconds: float
    first_byte_after: float
    state: str = "waiting"  # waiting, running, ended
    outcome: str = ""
    instance: str = ""
    fence: int = 0
    began: bool = False
    turn: int = 0
    granted: int = 0


class Gateway:
    """A gateway's connection: messages arrive in order, a cut loses those on their way."""

    def __init__(self, name: str, world: World, rng: random.Random) -> None:
        self.name, self.world, self.rng = name, world, rng
        self.asked: dict[str, Asking] = {}
        self.connected = True
        self.greeted = (
            True  # the scheduler has heard its hello: before, it says nothing on this connection
        )
        self.connection = 0
        self._up_at = self._down_at = 0.0

    def ask(self, asking: Asking) -> None:
        """Ask for a place."""
        self.asked[asking.request.id] = asking
        self._up(lambda: Asked(replace(asking.request, arrived=self.world.now)))

    def cancel(self, request_id: str) -> None:
        """Its client has gone."""
        self._end(request_id, "cancelled")
        self._up(lambda: Withdrawn(request_id))

    def _up(self, make: Callable[[], object]) -> None:
        if not self.connected:
            return
        connection = self.connection
        self._up_at = max(self._up_at, self.world.now + self.rng.uniform(0.0005, 0.01))
        self.world.later(
            self._up_at - self.world.now,
            lambda: self.world.tell(make()) if connection == self.connection else None,
        )

    def told(self, what: Callable[[], None]) -> None:
        """The scheduler says something; a cut connection loses it."""
        if not self.connected or not self.greeted:
            return
        connection = self.connection
        self._down_at = max(self._down_at, self.world.now + self.rng.uniform(0.0005, 0.01))
        self.world.later(
            self._down_at - self.world.now,
            lambda: what() if connection == self.connection else None,
        )

    # What it is told.

    def granted(self, request_id: str, instance: str, fence: int) -> None:
        asking = self.asked.get(request_id)
        if asking is None or asking.state == "ended":
            self._up(lambda: Done(request_id, "cancelled", fence))
            return
        if asking.state == "running" and asking.fence != fence:
            self.world.wrong(f"{request_id} was granted twice at once")
        asking.state, asking.instance, asking.fence = "running", instance, fence
        asking.granted += 1
        asking.turn += 1
        asking.began = False
        turn = asking.turn
        node = self.world.node_of(instance)
        if node is None or not node.serve(instance, request_id, fence):
            self.world.later(0.02, lambda: self._over(request_id, turn, "lost", fence))
            return
        self.world.later(
            min(asking.first_byte_after, asking.seconds), lambda: self._began(request_id, turn)
        )
        self.world.later(asking.seconds, lambda: self._answered(request_id, turn, fence))

    def _began(self, request_id: str, turn: int) -> None:
        asking = self.asked[request_id]
        if asking.turn == turn and asking.state == "running":
            asking.began = True
            self._up(lambda: FirstByte(request_id))

    def _answered(self, request_id: str, turn: int, fence: int) -> None:
        asking = self.asked[request_id]
        if asking.turn != turn or asking.state != "running":
            return
        node = self.world.node_of(asking.instance)
        ok = node is not None and node.ended(asking.instance, request_id)
        self._over(request_id, turn, "ok" if ok else "lost", fence)

    def _over(self, request_id: str, turn: int, outcome: str, fence: int) -> None:
        asking = self.asked[request_id]
        if asking.turn != turn or asking.state != "running":
            return
        self._end(request_id, outcome)
        self._up(lambda: Done(request_id, outcome, fence, asking.seconds))  # type: ignore[arg-type]

    def preempted(self, request_id: str) -> None:
        asking = self.asked.get(request_id)
        if asking is None or asking.state != "running" or asking.began:
            return
        fence = asking.fence
        self._leave(asking)
        asking.state = "waiting"
        asking.turn += 1
        self._up(lambda: Done(request_id, "preempted", fence))

    def refused(self, request_id: str, code: str) -> None:
        self._end(request_id, f"refused {code}")

    def _leave(self, asking: Asking) -> None:
        node = self.world.node_of(asking.instance)
        if node is not None:
            node.ended(asking.instance, asking.request.id)

    def _end(self, request_id: str, outcome: str) -> None:
        asking = self.asked.get(request_id)
        if asking is None or asking.state == "ended":
            return
        if asking.state == "running":
            self._leave(asking)
        asking.state, asking.outcome = "ended", outcome
        asking.turn += 1

    # What happens to it.

    def cut(self, seconds: float, grace: float) -> None:
        """The connection breaks for a while."""
        if not self.connected:
            return
        self.connected = False
        self.connection += 1
        connection = self.connection

        def lost() -> None:
            if not self.connected and self.connection == connection:
                self.world.tell(OriginLost(self.name))

        self.world.later(grace, lost)
        self.world.later(seconds, lambda: self.resume() if self.connection == connection else None)

    def resume(self) -> None:
        """Back: it names what it runs, and asks again for what waits."""
        self.connected, self.greeted = True, False
        self.connection += 1
        running = tuple(
            replace(
                a.request,
                instance=a.instance,
                fence=a.fence,
                granted_at=self.world.now,
                first_byte=a.began,
            )
            for a in self.asked.values()
            if a.state == "running"
        )
        waiting = [a for a in self.asked.values() if a.state == "waiting"]
        self._up(lambda: self._hello(running))
        for asking in waiting:
            self._up(lambda a=asking: Asked(replace(a.request, arrived=self.world.now)))

    def _hello(self, running: tuple[Request, ...]) -> OriginResumed:
        self.greeted = True
        return OriginResumed(self.name, running)

    def killed(self) -> None:
        """The process dies: whoever asked it has no answer, and it comes back knowing nothing."""
        for request_id in list(self.asked):
            self._end(request_id, "gateway died")
        self.connected = False
        self.connection += 1
        connection = self.connection

        def lost() -> None:  # whoever is back in time is not given up
            if self.connection == connection:
                self.world.tell(OriginLost(self.name))

        self.world.later(2.0, lost)
        self.world.later(2.5, lambda: self.resume() if self.connection == connection else None)


@dataclass
class Holder:
    """Holds one lease, renews it, releases it, or dies."""

    request: Request
    world: World
    seconds: float
    dies: bool
    state: str = "waiting"
    fence: int = 0
    granted_at: float = 0.0
    log: list[str] = field(default_factory=list)

    def granted(self, fence: int) -> None:
        if self.state == "held":
            self.world.wrong(f"the lease {self.request.id} was granted twice at once")
        self.state, self.fence, self.granted_at = "held", fence, self.world.now
        if self.dies:
            self.state = "dead"
            return
        self._renew(fence)
        self.world.later(self.seconds, self._release)

    def _renew(self, fence: int) -> None:
        if self.state == "held" and self.fence == fence:
            self.world.tell(LeaseRenewed(self.request.id, fence))
            self.world.later(self.request.lease_ttl_s / 3, lambda: self._renew(fence))

    def _release(self) -> None:
        if self.state == "held":
            self.state = "ended"
            self.world.tell(Done(self.request.id, "ok", self.fence))

    def over(self) -> None:
        self.state = "ended"


class FakeAgent:
    """Says that it lives until it does not."""

    def __init__(self, name: str, world: World, ttl_s: float) -> None:
        self.name, self.world, self.ttl_s = name, world, ttl_s
        self.alive = True
        self.beat()

    def beat(self) -> None:
        if self.alive:
            self.world.tell(AgentSeen(self.name, f"caller-of-{self.name}", self.ttl_s))
            self.world.later(self.ttl_s / 3, self.beat)
