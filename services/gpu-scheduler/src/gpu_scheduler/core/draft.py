"""A plan while it is being made: the actions so far, and what the ledger looks like after them. Changes no state."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gpu_scheduler.core.actions import (
    Action,
    Grant,
    Hold,
    Preempt,
    Refuse,
    Sleep,
    Start,
    Stop,
    Wake,
)
from gpu_scheduler.core.ledger import (
    CardSum,
    books_new,
    by_card,
    card_sum,
    ram_sums,
    sleeps,
)
from gpu_scheduler.core.model import (
    FENCES_PER_EPOCH,
    Card,
    Deployment,
    Instance,
    Phase,
    Request,
    State,
)
from gpu_scheduler.core.waiting import Line, lines

NOT_A_NAME = re.compile(r"[^a-z0-9]+")


@dataclass
class Draft:
    """Made once per plan. `free`, `pending` and the host's memory follow the actions that are added."""

    state: State
    now: float
    lines: dict[str, Line]
    expired: list[Request]
    on_card: dict[str, list[Instance]]
    sums: dict[str, CardSum]
    free: dict[str, int]
    pending: dict[str, int]
    ram_free: dict[str, int]
    ram_pending: dict[str, int]
    fence: int
    by_model: dict[str, list[Instance]]
    deployments: dict[str, list[Deployment]]
    actions: list[Action] = field(default_factory=list[Action])
    taken: dict[str, int] = field(default_factory=dict[str, int])  # places granted by this plan
    moved: set[str] = field(default_factory=set[str])  # instances that this plan has acted on
    open: dict[str, list[Deployment]] = field(default_factory=dict[str, list[Deployment]])
    claims: dict[str, int] = field(default_factory=dict[str, int])  # by card: see `claim`
    brought: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])  # deployments
    # (node, group) -> the member that this plan brings in, or makes room for.
    groups: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    gone: set[str] = field(default_factory=set[str])  # requests that this plan has let go

    @staticmethod
    def of(state: State, now: float) -> Draft:
        """Read the state once."""
        waiting, expired = lines(state, now)
        on_card = by_card(state)
        bare = any(not request.model for request in state.granted.values())
        sums = {
            card.id: card_sum(state, card, on_card[card.id], bare, now)
            for card in state.cards.values()
            if books_new(state, card, now)
        }
        ram = ram_sums(state)
        by_model: dict[str, list[Instance]] = {}
        for instance in state.instances.values():
            by_model.setdefault(instance.deployment[1], []).append(instance)
        deployments: dict[str, list[Deployment]] = {}
        for deployment in state.deployments.values():
            if deployment.model in waiting or (state.wanted and deployment.key in state.wanted):
                deployments.setdefault(deployment.model, []).append(deployment)
        return Draft(
            state=state,
            now=now,
            lines=waiting,
            expired=expired,
            on_card=on_card,
            sums=sums,
            free={card: total.free for card, total in sums.items()},
            pending={card: total.pending for card, total in sums.items()},
            ram_free={node: pair[0] for node, pair in ram.items()},
            ram_pending={node: pair[1] for node, pair in ram.items()},
            fence=max(state.fence, state.epoch * FENCES_PER_EPOCH),
            by_model=by_model,
            deployments=deployments,
        )

    def next_fence(self) -> int:
        """A fence above all that were given out before."""
        self.fence += 1
        return self.fence

    def up(self, node: str) -> bool:
        """Whether a node answers and is not being drained."""
        known = self.state.nodes.get(node)
        return known is not None and known.up and not known.draining

    def places(self, instance: Instance) -> int:
        """How many more requests an instance may be given now."""
        deployment = self.state.deployments.get(instance.deployment)
        if (
            instance.phase is not Phase.READY
            or instance.ordered is not None
            or deployment is None
            or instance.id in self.moved
            or not self.up(instance.deployment[0])
            or (instance.fingerprint and instance.fingerprint != deployment.fingerprint)
        ):
            return 0
        return deployment.slots - self.busy(instance)

    def busy(self, instance: Instance) -> int:
        """How many requests run on an instance, or are about to, or may."""
        unclaimed = instance.unclaimed if self.now < instance.unclaimed_until else 0
        return len(instance.running) + unclaimed + self.taken.get(instance.id, 0)

    def pinned(self, deployment: Deployment) -> bool:
        """Whether it is never sent away to make room."""
        return self.state.pins.get(deployment.model, deployment.pinned)

    def grant(self, request: Request, instance: Instance, why: str) -> None:
        """Give a request a place."""
        self.taken[instance.id] = self.taken.get(instance.id, 0) + 1
        self.actions.append(Grant(request.id, instance.id, self.next_fence(), why))

    def grant_memory(self, request: Request, card: Card, why: str) -> None:
        """Give a lease its bare memory."""
        self.free[card.id] -= request.lease_mib
        self.actions.append(Grant(request.id, "", self.next_fence(), why, card.id))

    def refuse(self, request: Request, code: str, why: str, retry_after_s: float | None) -> None:
        """Let a request go."""
        if request.id not in self.gone:
            self.gone.add(request.id)
            self.actions.append(Refuse(request.id, code, why[:480], retry_after_s))

    def preempt(self, request: Request, why: str) -> None:
        """Ask for a place back."""
        self.gone.add(request.id)
        self.actions.append(Preempt(request.id, why))

    def start(self, deployment: Deployment, cards: tuple[str, ...], mib: int, why: str) -> None:
        """Book and start a new instance."""
        fence = self.next_fence()
        slug = NOT_A_NAME.sub("-", deployment.model.lower()).strip("-")[:40] or "model"
        self.brought.add(deployment.key)
        self.book(deployment, cards, mib, deployment.ram_mib)
        self.actions.append(Start(f"{slug}-{fence}", deployment.key, cards, mib, fence, why))

    def wake(
        self, deployment: Deployment, instance: Instance, mib: int, ram: int, why: str
    ) -> None:
        """Book and wake an instance; it is charged already for what it keeps asleep."""
        self.moved.add(instance.id)
        self.brought.add(deployment.key)
        self.book(deployment, instance.cards, mib - instance.charge_mib, ram)
        self.actions.append(Wake(instance.id, mib, self.next_fence(), why))

    def book(self, deployment: Deployment, cards: tuple[str, ...], mib: int, ram: int) -> None:
        """Take memory from the cards and the host for what is started."""
        if deployment.group is not None:
            self.groups[deployment.node, deployment.group] = deployment.model
        for card in cards:
            self.free[card] -= mib
        self.ram_free[deployment.node] -= ram

    def claim(
        self, deployment: Deployment | None, cards: tuple[str, ...], mib: int, ram: int, alone: bool
    ) -> None:
        """Keep memory that is on its way for one who waits for it: who is less urgent takes only what that leaves."""
        for card in cards:
            most = self.state.cards[card].total_mib if alone else mib
            self.claims[card] = self.claims.get(card, 0) + most
        if deployment is not None:
            self.ram_free[deployment.node] -= ram
            if deployment.group is not None:
                self.groups[deployment.node, deployment.group] = deployment.model

    def room(self, card: str) -> int:
        """What can be booked on a card now without taking what somebody more urgent waits for."""
        free = self.free[card]
        claimed = self.claims.get(card)
        return free if claimed is None else min(free, free + self.pending[card] - claimed)

    def send_away(self, instance: Instance, why: str, stop: bool) -> None:
        """Send an idle instance to sleep, or end it."""
        deployment = self.state.deployments.get(instance.deployment)
        self.moved.add(instance.id)
        node = instance.deployment[0]
        sleep = not stop and deployment is not None and instance.phase is Phase.READY
        if sleep and deployment is not None:
            keeps = deployment.asleep_mib
            self.ram_free[node] -= max(0, deployment.asleep_ram_mib - instance.ram_mib)
            self.actions.append(Sleep(instance.id, self.next_fence(), why))
        else:
            keeps = 0
            self.ram_pending[node] += instance.ram_mib
            self.actions.append(Stop(instance.id, self.next_fence(), why))
        for card in instance.cards:
            if card in self.pending:
                self.pending[card] += max(0, instance.charge_mib - keeps)

    def hold(self, instance: Instance, for_model: str, why: str) -> None:
        """Keep a busy instance from taking what is less urgent than what waits for its room."""
        self.moved.add(instance.id)
        for card in instance.cards:
            if card in self.pending:
                self.pending[card] += instance.charge_mib
        if instance.held_for != for_model:
            self.actions.append(Hold(instance.id, for_model, why))

    def can_sleep(self, instance: Instance) -> bool:
        """Whether it may sleep rather than end: it can, and the host has room for its weights now."""
        deployment = self.state.deployments.get(instance.deployment)
        if deployment is None or not self.knows_sleep(instance):
            return False
        more = deployment.asleep_ram_mib - instance.ram_mib
        return more <= 0 or more <= self.ram_free[deployment.node]

    def knows_sleep(self, instance: Instance) -> bool:
        """Whether it can sleep at all."""
        deployment = self.state.deployments.get(instance.deployment)
        if deployment is None or not sleeps(self.state, deployment):
            return False
        return not instance.fingerprint or instance.fingerprint == deployment.fingerprint
