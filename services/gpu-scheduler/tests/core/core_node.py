"""A GPU node that is not there: cards with real arithmetic, containers that take their time, crash, lie and run out.

It knows what a model truly uses. The scheduler is told a prediction of it, and readings that come late.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from gpu_scheduler.core.actions import Drain, Sleep, Start, Stop, Wake
from gpu_scheduler.core.events import ActionFailed, CardSeen, InstanceSeen, NodeSeen
from gpu_scheduler.core.model import Deployment, Phase

Later = Callable[[float, Callable[[], None]], None]
NodeAction = Start | Wake | Sleep | Drain | Stop


@dataclass
class Faults:
    """How often, of one, things go wrong; all 0 is a quiet day."""

    crash: float = 0.0  # of a request's instance
    oom: float = 0.0  # of a start that would have fitted
    fail_start: float = 0.0
    action_lost: float = 0.0
    action_refused: float = 0.0
    sleep_keeps: float = 0.0  # says asleep and keeps its memory for a while
    slow_free: float = 0.0  # says stopped and gives its memory back later
    foreign: bool = False  # others use the cards too, more and less
    unread: float = 0.0  # a card that cannot be read


@dataclass
class FakeInstance:
    """One container as it really is."""

    id: str
    deployment: Deployment
    cards: tuple[str, ...]
    true_mib: int
    phase: Phase
    fence: int
    using: float = 0.0  # of true_mib, as a share
    named: bool = False  # the driver names its process
    peak_mib: int = 0
    error: str | None = None
    oom: bool = False
    took_s: float | None = None
    running: set[str] = field(default_factory=set)
    keeps_until: float = 0.0
    turn: int = 0  # of its transitions: a later one makes an earlier one void
    booked_foreign: dict[str, int] = field(default_factory=dict)

    def use(self, now: float, rng: random.Random) -> int:
        """What it uses of each of its cards at this moment."""
        if self.phase is Phase.ASLEEP:
            return self.true_mib if now < self.keeps_until else self.deployment.asleep_mib
        if self.phase is Phase.READY:
            return int(self.true_mib * (0.97 + 0.03 * rng.random()))
        return int(self.true_mib * self.using)


@dataclass
class FakeCard:
    id: str
    index: int
    total_mib: int
    foreign_mib: int = 0
    foreign_seen_mib: int = 0  # when it was last read and told
    lingering: list[tuple[float, int]] = field(default_factory=list)  # (until, MiB)


class FakeNode:
    """One node. `later(seconds, do)` is the world's clock; `tell(event)` brings an event to the scheduler."""

    def __init__(
        self,
        name: str,
        cards: list[FakeCard],
        deployments: list[Deployment],
        truth: dict[str, int],
        ram_budget_mib: int,
        rng: random.Random,
        faults: Faults,
        later: Later,
        clock: Callable[[], float],
    ) -> None:
        self.name, self.rng, self.faults = name, rng, faults
        self.cards = {card.id: card for card in cards}
        self.deployments = {d.model: d for d in deployments}
        self.truth = truth
        self.ram_budget_mib = ram_budget_mib
        self.instances: dict[str, FakeInstance] = {}
        self.up = True
        self.boot = f"{name}-1"
        self.wakeable = False
        self.later, self.clock = later, clock
        self.tell: Callable[[object], None] = lambda _: None
        self.ooms = 0
        self.overcommits: list[str] = []
        self._sent_at = 0.0
        self._read_at = 0.0

    # What it says.

    def seen(self) -> NodeSeen:
        """Read everything now; no two readings begin at the same moment."""
        now = self.clock()
        self._read_at = max(now, self._read_at + 1e-6)
        cards: list[CardSeen] = []
        for card in self.cards.values():
            card.lingering = [(until, mib) for until, mib in card.lingering if until > now]
            ours: dict[str, int] = {}
            used = card.foreign_mib + sum(mib for _, mib in card.lingering)
            for instance in self.instances.values():
                if card.id in instance.cards:
                    mib = instance.use(now, self.rng)
                    used += mib
                    if instance.named and mib:
                        ours[instance.id] = mib
                    instance.peak_mib = max(instance.peak_mib, mib)
            error = "not now" if self.rng.random() < self.faults.unread else None
            if error is None:
                card.foreign_seen_mib = card.foreign_mib
            cards.append(CardSeen(card.id, card.index, card.total_mib, used, ours, error))
        return NodeSeen(
            self.name,
            self.boot,
            self._read_at,
            tuple(cards),
            tuple(self.deployments.values()),
            tuple(self._one(i) for i in self.instances.values()),
            ram_budget_mib=self.ram_budget_mib,
            wakeable=self.wakeable,
        )

    def _one(self, instance: FakeInstance) -> InstanceSeen:
        return InstanceSeen(
            instance.id,
            instance.deployment.model,
            instance.cards,
            instance.phase,
            instance.fence,
            dict.fromkeys(instance.cards, instance.peak_mib),
            instance.error,
            instance.oom,
            instance.took_s,
            len(instance.running),
            instance.deployment.fingerprint,
        )

    def changed(self) -> None:
        """Say it at once, as a node does; it arrives a little later, and perhaps after what is said next."""
        if self.up:
            seen = self.seen()
            self.later(self.rng.choice((0.01, 0.02, 0.1, 1.2)), lambda: self._arrive(seen))

    def _arrive(self, seen: NodeSeen) -> None:
        if self.up and seen.boot == self.boot:
            self.tell(seen)

    # What it is told.

    def do(self, action: NodeAction) -> None:
        """An action is on its way; actions arrive in order."""
        now = self.clock()
        roll = self.rng.random()
        if roll < self.faults.action_lost + self.faults.action_refused:
            lost = roll < self.faults.action_lost
            arrives = lost and self.rng.random() < 0.5
            code = "inference.node_away" if lost else "node.disabled"
            failed = ActionFailed(action.instance_id, action.fence, code)
            self.later(self.rng.uniform(0.05, 2.0), lambda: self.tell(failed))
            if not arrives:
                return
        self._sent_at = max(self._sent_at, now + self.rng.uniform(0.001, 0.1))
        self.later(self._sent_at - now, lambda: self._take(action))

    def _take(self, action: NodeAction) -> None:
        if not self.up:
            return
        known = self.instances.get(action.instance_id)
        if isinstance(action, Start):
            if known is None:
                self._start(action)
            return
        if known is None or action.fence < known.fence:
            return
        known.fence = action.fence
        known.turn += 1
        match action:
            case Wake():
                known.using = 1.0
                self._become(known, Phase.WAKING, known.deployment.wake_s, self._woken)
            case Sleep():
                self._become(known, Phase.SLEEPING, known.deployment.sleep_s, self._asleep)
                known.using = 1.0
            case Stop():
                asleep = known.phase is Phase.ASLEEP
                known.using = known.deployment.asleep_mib / known.true_mib if asleep else 1.0
                self._become(known, Phase.STOPPING, known.deployment.stop_s, self._stopped)
            case Drain():
                known.phase = Phase.DRAINING
                self.changed()

    def _start(self, action: Start) -> None:
        deployment = self.deployments.get(action.deployment[1])
        if deployment is None:
            self.tell(ActionFailed(action.instance_id, action.fence, "node.model_unknown"))
            return
        instance = FakeInstance(
            action.instance_id,
            deployment,
            action.cards,
            self.truth[deployment.model],
            Phase.STARTING,
            action.fence,
        )
        instance.booked_foreign = {c: self.cards[c].foreign_mib for c in action.cards}
        self.instances[instance.id] = instance
        self._become(instance, Phase.STARTING, deployment.start_s, self._started)
        turn = instance.turn

        def grow(share: float, named: bool) -> None:
            if instance.turn == turn and instance.phase is Phase.STARTING:
                instance.using, instance.named = share, named
                self.changed()

        self.later(deployment.start_s * 0.3, lambda: grow(0.4, False))
        self.later(deployment.start_s * 0.6, lambda: grow(0.9, True))

    def _become(
        self,
        instance: FakeInstance,
        phase: Phase,
        seconds: float,
        then: Callable[[FakeInstance], None],
    ) -> None:
        instance.phase = phase
        instance.turn += 1
        turn = instance.turn
        takes = seconds * self.rng.uniform(0.5, 2.0)

        def end() -> None:
            if instance.turn == turn and self.instances.get(instance.id) is instance and self.up:
                instance.took_s = takes
                then(instance)
                self.changed()

        self.later(takes, end)
        self.changed()

    def _started(self, instance: FakeInstance) -> None:
        if self.rng.random() < self.faults.fail_start:
            self._fail(instance, "exit 1", False)
        elif self.rng.random() < self.faults.oom or not self._fits(instance):
            self.ooms += 1
            self._fail(instance, "CUDA out of memory", True)
        else:
            self._ready(instance)

    def _woken(self, instance: FakeInstance) -> None:
        if self._fits(instance):
            self._ready(instance)
        else:
            self.ooms += 1
            self._fail(instance, "CUDA out of memory", True)

    def _ready(self, instance: FakeInstance) -> None:
        instance.phase, instance.named, instance.using = Phase.READY, True, 1.0

    def _fits(self, instance: FakeInstance) -> bool:
        """Whether all is within the card in truth. Not to be so is an over-commit, unless others took it meanwhile."""
        fits = True
        for card_id in instance.cards:
            card = self.cards[card_id]
            ours = sum(
                int(i.true_mib * i.using)
                for i in self.instances.values()
                if card_id in i.cards and i is not instance and i.phase is not Phase.ASLEEP
            )
            asleep = sum(
                i.use(self.clock(), self.rng)
                for i in self.instances.values()
                if card_id in i.cards and i is not instance and i.phase is Phase.ASLEEP
            )
            total = ours + asleep + instance.true_mib + card.foreign_mib
            if total > card.total_mib:
                fits = False
                grown = card.foreign_mib - card.foreign_seen_mib
                if ours + asleep > 0 and total - max(0, grown) > card.total_mib:
                    self.overcommits.append(f"{instance.id} on {card_id}: {total}")
        return fits

    def _asleep(self, instance: FakeInstance) -> None:
        instance.phase, instance.using = Phase.ASLEEP, 0.0
        if self.rng.random() < self.faults.sleep_keeps:
            instance.keeps_until = self.clock() + self.rng.choice((2.0, 60.0))
        instance.running.clear()

    def _stopped(self, instance: FakeInstance) -> None:
        self._vanish(instance)

    def _vanish(self, instance: FakeInstance) -> None:
        if self.rng.random() < self.faults.slow_free and instance.named:
            until = self.clock() + self.rng.uniform(0.5, 4.0)
            for card in instance.cards:
                self.cards[card].lingering.append((until, instance.true_mib))
        instance.running.clear()
        self.instances.pop(instance.id, None)

    def _fail(self, instance: FakeInstance, error: str, oom: bool) -> None:
        instance.phase, instance.error, instance.oom, instance.using = Phase.FAILED, error, oom, 0.0
        instance.running.clear()
        self.later(30.0, lambda: self.instances.pop(instance.id, None) and None)

    # What happens to it.

    def crash(self, instance_id: str) -> None:
        """A model server ends by itself."""
        instance = self.instances.get(instance_id)
        if instance is not None and instance.phase in (Phase.READY, Phase.STARTING, Phase.WAKING):
            instance.turn += 1
            self._fail(instance, "killed", False)
            self.changed()

    def down(self) -> None:
        """Silent from now on."""
        self.up = False

    def back(self, rebooted: bool) -> None:
        """It answers again; after a reboot with nothing running."""
        self.up = True
        if rebooted:
            self.boot = f"{self.boot}+"
            self.instances.clear()
            for card in self.cards.values():
                card.lingering.clear()
        else:
            for instance in list(self.instances.values()):
                ends = {
                    Phase.STARTING: self._started,
                    Phase.WAKING: self._woken,
                    Phase.SLEEPING: self._asleep,
                    Phase.STOPPING: self._stopped,
                }.get(instance.phase)
                if ends is not None:
                    self._become(instance, instance.phase, 1.0, ends)
        self.changed()

    def serve(self, instance_id: str, request_id: str, fence: int) -> bool:
        """A gateway sends a request: taken if the instance is ready and the grant not stale."""
        instance = self.instances.get(instance_id)
        if not self.up or instance is None or fence < instance.fence:
            return False
        if instance.phase not in (Phase.READY, Phase.DRAINING):
            return False
        instance.running.add(request_id)
        return True

    def ended(self, instance_id: str, request_id: str) -> bool:
        """A request's answer is complete: False if its instance died under it."""
        instance = self.instances.get(instance_id)
        if instance is None or request_id not in instance.running or not self.up:
            return False
        instance.running.discard(request_id)
        return True
