"""The house in one thread of events: a scheduler's state, nodes, gateways, and what must never happen."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

from gpu_scheduler.core import apply, commit, household, plan
from gpu_scheduler.core.actions import (
    Drain,
    Grant,
    Preempt,
    Refuse,
    Revoke,
    Sleep,
    Start,
    Stop,
    Wake,
    WakeNode,
)
from gpu_scheduler.core.events import NodeLost, OriginResumed, PeaksLearned
from gpu_scheduler.core.ledger import COMING
from gpu_scheduler.core.model import Phase, Policy, State

TICK_S = 0.25
SILENT_S = 3.0


class Wrong(AssertionError):
    """What must never happen has happened."""


class World:
    """Drives the core as gpu-scheduler does: events in, one plan after each, actions out."""

    def __init__(self, seed: int, policy: Policy | None = None, check_every: int = 40) -> None:
        self.rng = random.Random(seed)
        self.seed = seed
        self.now = 0.0
        self.policy = policy or household()
        self.state = State(self.policy, epoch=1, started_at=0.0)
        self.nodes: dict[str, object] = {}
        self.gateways: dict[str, object] = {}
        self.holders: dict[str, object] = {}
        self.events = 0
        self.counts: Counter[str] = Counter()
        self.waits: dict[str, list[float]] = {}
        self.fence = 0
        self.check_every = check_every
        self.actions_log: list[str] = []
        self.stalled = False  # the scheduler is being restarted
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._told_at: dict[str, float] = {}
        self.later(0.0, self._tick)

    # Time.

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        """Do something in a while."""
        self._number += 1
        heapq.heappush(self._heap, (self.now + max(0.0, seconds), self._number, do))

    def run_until(self, until: float) -> None:
        """Let time pass."""
        while self._heap and self._heap[0][0] <= until:
            at, _, do = heapq.heappop(self._heap)
            self.now = max(self.now, at)
            do()
        self.now = max(self.now, until)

    def wrong(self, what: str) -> None:
        """Stop, with the seed and what was decided last."""
        last = "\n  ".join(self.actions_log[-40:])
        raise Wrong(f"seed {self.seed}, {self.now:.3f} s: {what}\n  {last}\n{what}")

    # The scheduler.

    def tell(self, event: object) -> None:
        """One event: applied, and one plan made and carried out."""
        if self.stalled:
            return
        self.events += 1
        self.counts[type(event).__name__] += 1
        if (node := getattr(event, "node", None)) and hasattr(event, "read_at"):
            self._told_at[node] = self.now
        apply(self.state, event, self.now)  # type: ignore[arg-type]
        self.decide()

    def decide(self) -> None:
        """Plan, commit, carry out, and look whether all is as it must be."""
        actions = plan(self.state, self.now)
        if self.events % self.check_every == 0:
            before = deepcopy(self.state)
            again = plan(self.state, self.now)
            if again != actions or before != self.state:
                self.wrong("a plan changed the state, or came out otherwise the second time")
        for action in actions:
            self.counts[type(action).__name__] += 1
            self.actions_log.append(f"{self.now:.2f} {action}"[:260])
            del self.actions_log[:-60]
            self._fences(action)
            request = self.state.requests.get(getattr(action, "request_id", ""))
            commit(self.state, action, self.now)
            self._carry_out(action, request)
        if actions or self.events % self.check_every == 0:
            self.check()

    def _fences(self, action: object) -> None:
        if isinstance(action, Grant | Start | Wake | Sleep | Stop):
            if action.fence <= self.fence:
                self.wrong(f"fence {action.fence} after {self.fence}")
            self.fence = action.fence

    def _carry_out(self, action: object, request: object) -> None:
        match action:
            case Grant():
                self._granted(action, request)
            case Preempt():
                gateway = self.gateways.get(request.origin)  # type: ignore[attr-defined]
                if gateway is not None:
                    gateway.told(lambda: gateway.preempted(action.request_id))
                else:
                    self.wrong(f"a lease was preempted: {action}")
            case Refuse() | Revoke():
                self._let_go(action, request)
            case Start() | Wake():
                self._booked(action)
                self.nodes[self._node_name(action)].do(action)  # type: ignore[attr-defined]
            case Sleep() | Stop() | Drain():
                self.nodes[self._node_name(action)].do(action)  # type: ignore[attr-defined]
            case WakeNode():
                node = self.nodes[action.node]
                self.later(5.0, lambda: node.back(True) if not node.up else None)  # type: ignore[attr-defined]

    def _node_name(self, action: object) -> str:
        return self.state.instances[action.instance_id].deployment[0]  # type: ignore[attr-defined]

    def _granted(self, action: Grant, request: object) -> None:
        if request is None:
            self.wrong(f"granted what nobody asked for: {action}")
        self.waits.setdefault(request.service_class.value, []).append(self.now - request.arrived)  # type: ignore[attr-defined]
        if request.lease:  # type: ignore[attr-defined]
            holder = self.holders[request.id]  # type: ignore[attr-defined]
            self.later(0.005, lambda: holder.granted(action.fence))  # type: ignore[attr-defined]
            return
        gateway = self.gateways[request.origin]  # type: ignore[attr-defined]
        gateway.told(lambda: gateway.granted(action.request_id, action.instance_id, action.fence))

    def _let_go(self, action: Refuse | Revoke, request: object) -> None:
        if request is None:
            self.wrong(f"refused what nobody asked for: {action}")
        if isinstance(action, Refuse):
            self.counts[action.code] += 1
        if request.lease:  # type: ignore[attr-defined]
            self.holders[request.id].over()  # type: ignore[attr-defined]
            return
        gateway = self.gateways[request.origin]  # type: ignore[attr-defined]
        code = getattr(action, "code", "revoked")
        gateway.told(lambda: gateway.refused(action.request_id, code))

    def node_of(self, instance_id: str) -> object | None:
        """The node that has an instance."""
        for node in self.nodes.values():
            if instance_id in node.instances:  # type: ignore[attr-defined]
                return node
        return None

    def _tick(self) -> None:
        self.later(TICK_S, self._tick)
        if self.stalled:
            return
        for name, node in self.state.nodes.items():
            if node.up and self.now - self._told_at.get(name, 0.0) > SILENT_S:
                self.tell(NodeLost(name))
        self.decide()

    def heartbeat(self, node: object) -> None:
        """A node says how it is once a second at least."""
        node.changed()  # type: ignore[attr-defined]
        self.later(1.0, lambda: self.heartbeat(node))

    def restart(self, seconds: float) -> None:
        """The scheduler is killed, and comes back knowing what is kept: peaks, and leases."""
        old = self.state
        self.stalled = True

        def back() -> None:
            self.stalled = False
            self.state = State(self.policy, epoch=old.epoch + 1, started_at=self.now)
            self.tell(PeaksLearned(dict(old.peaks)))
            for request in list(old.granted.values()):
                if request.lease:
                    kept = replace(request, lease_until=None, granted_at=self.now)
                    self.tell(OriginResumed(request.origin, (kept,)))
            for request in list(old.requests.values()):
                if request.lease and request.queued:
                    self.holders[request.id].over()  # type: ignore[attr-defined]
            for gateway in self.gateways.values():
                gateway.connected = False  # type: ignore[attr-defined]
                gateway.connection += 1  # type: ignore[attr-defined]
                self.later(self.rng.uniform(0.05, 1.0), gateway.resume)  # type: ignore[attr-defined]

        self.later(seconds, back)

    # What must hold.

    def _booked(self, action: Start | Wake) -> None:
        """Nothing is booked that the card cannot bear in truth."""
        instance = self.state.instances[action.instance_id]
        node = self.nodes[instance.deployment[0]]
        for card_id in instance.cards:
            card = node.cards[card_id]  # type: ignore[attr-defined]
            ours = sum(mib for until, mib in card.lingering if until > self.now)  # type: ignore[attr-defined]
            for other in self.state.instances.values():
                if card_id not in other.cards:
                    continue
                asleep = self.state.deployments[other.deployment].asleep_mib
                real = node.instances.get(other.id)  # type: ignore[attr-defined]
                if other.phase is Phase.ASLEEP and real is not None and real.phase is Phase.ASLEEP:
                    ours += real.use(self.now, self.rng)
                elif other.phase is Phase.ASLEEP or (
                    other.phase is Phase.STOPPING and other.charge_mib <= asleep
                ):
                    ours += asleep
                else:
                    ours += node.truth[other.deployment[1]]  # type: ignore[attr-defined]
            leased = sum(
                r.lease_mib
                for r in self.state.granted.values()
                if not r.model and r.lease_card == card_id
            )
            others = ours - node.truth[instance.deployment[1]]  # type: ignore[attr-defined]
            known = self.state.cards[card_id]
            foreign = max(0, known.used_mib - sum(known.ours_mib.values()))
            if others and ours + max(leased, 0) + min(foreign, card.foreign_seen_mib) > (
                card.total_mib
            ):
                self.wrong(
                    f"over-committed {card_id}: {ours} ours + {leased} leased of {card.total_mib}: {action}"
                    f"{known} {[i for i in self.state.instances.values() if card_id in i.cards]}"
                )

    def check(self) -> None:
        """Slots, host memory, the queue's own books, one place per request."""
        state = self.state
        running: Counter[str] = Counter()
        for instance in state.instances.values():
            deployment = state.deployments.get(instance.deployment)
            if deployment and len(instance.running) > deployment.slots:
                self.wrong(f"{instance.id} runs {len(instance.running)} of {deployment.slots}")
            running.update(instance.running)
        for request_id, times in running.items():
            request = state.requests.get(request_id)
            if times > 1 or request is None or request.queued:
                self.wrong(f"{request_id} runs {times} times, and is {request}")
        for node in state.nodes.values():
            used = sum(i.ram_mib for i in state.instances.values() if i.deployment[0] == node.name)
            if used > node.ram_budget_mib - node.ram_foreign_mib and node.read_at > 0:
                self.wrong(f"{node.name} uses {used} MiB of {node.ram_budget_mib}")
        queued = {r.id for r in state.requests.values() if r.queued and r.id not in state.doomed}
        lines = {r for line in state.queue.values() for r in line}
        if not queued <= lines or state.queued_by_class.total() != len(lines):
            self.wrong(f"the queue's index is wrong by {queued ^ lines}")
        if {r.id for r in state.requests.values() if not r.queued} != set(state.granted):
            self.wrong("the index of the granted is wrong")
        groups: Counter[tuple[str, str]] = Counter()
        for instance in state.instances.values():
            deployment = state.deployments.get(instance.deployment)
            if (
                deployment
                and deployment.group
                and (instance.phase in COMING or instance.phase is Phase.READY)
            ):
                groups[deployment.node, deployment.group] += 1
        if any(count > 1 for count in groups.values()):
            self.wrong(f"two of a group are resident: {groups}")
