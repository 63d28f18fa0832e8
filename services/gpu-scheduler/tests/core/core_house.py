"""A small house whose node does what it is told at once, when the test says so. For tests of one step each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gpu_scheduler.core import apply, commit, household, plan
from gpu_scheduler.core.actions import Action, Drain, Grant, Sleep, Start, Stop, Wake
from gpu_scheduler.core.events import (
    Asked,
    CardSeen,
    Done,
    FirstByte,
    InstanceSeen,
    NodeLost,
    NodeSeen,
    Ordered,
)
from gpu_scheduler.core.model import (
    Deployment,
    Instance,
    Phase,
    Policy,
    Request,
    ServiceClass,
    State,
)

NODE = "forge"


def model(name: str, mib: int = 8000, **more: Any) -> Deployment:
    """A deployment that was measured, unless `peak_mib` says otherwise."""
    known: dict[str, Any] = {
        "node": NODE,
        "kind": "chat",
        "fingerprint": f"{name}-1",
        "predicted_mib": mib,
        "peak_mib": mib,
        "min_dwell_s": 0.0,
        "start_s": 4.0,
    }
    return Deployment(model=name, **{**known, **more})


def sleeper(name: str, mib: int = 8000, **more: Any) -> Deployment:
    """One that can sleep."""
    known = {"can_sleep": True, "asleep_mib": 200, "ram_mib": 500, "asleep_ram_mib": mib}
    return model(name, mib, **{**known, **more})


# What tests count on, whatever is tuned: class -> its numbers.
STEADY: dict[str, dict[str, float]] = {
    "voice": {"wait_max_s": 30, "drain_after_s": 0.2, "protect_s": 15, "dwell_factor": 0.2},
    "interactive": {"priority": 45, "patience_s": 9, "drain_after_s": 60, "dwell_factor": 0.5},
    "agent": {"priority": 15, "patience_s": 12, "drain_after_s": 120, "dwell_factor": 1},
    "batch": {"priority": 0, "patience_s": 4, "drain_after_s": 300, "dwell_factor": 2},
}


def steady() -> Policy:
    """The household's policy with numbers of waiting and switching that do not change when those are tuned."""
    policy = household()
    classes = {kind: replace(one, **STEADY[kind.value]) for kind, one in policy.classes.items()}
    return replace(policy, classes=classes, protect_over_s=3.5, fairness_cap_s=20.0)


class House:
    """One node; `cards` in MiB. Time passes only by `at` and `pass_`."""

    def __init__(
        self, *models: Deployment, cards: tuple[int, ...] = (24576,), policy: Policy | None = None
    ) -> None:
        self.now = 100.0
        self.state = State(policy or steady(), epoch=1)
        self.models = models
        self.totals = {f"card{i}": mib for i, mib in enumerate(cards)}
        self.foreign = dict.fromkeys(self.totals, 0)
        self.ram_budget_mib = 64000
        self.boot = "boot-1"
        self.wakeable = False
        self.told: dict[str, InstanceSeen] = {}
        self.use: dict[str, int] = {}  # instance -> MiB on each of its cards
        self.unnamed: set[str] = set()  # used, and not named by the driver
        self.log: list[Action] = []
        self.hear()

    # What the node says.

    def hear(self, **more: Any) -> None:
        """The node says how it is, read now."""
        self.apply(self.report(**more))

    def report(self, **more: Any) -> NodeSeen:
        cards = []
        for index, (card, total) in enumerate(self.totals.items()):
            on_it = {i: self.use.get(i, 0) for i, told in self.told.items() if card in told.cards}
            used = sum(on_it.values()) + self.foreign[card]
            ours = {i: mib for i, mib in on_it.items() if mib and i not in self.unnamed}
            cards.append(CardSeen(card, index, total, used, ours))
        known: dict[str, Any] = {
            "node": NODE,
            "boot": self.boot,
            "read_at": self.now,
            "cards": tuple(cards),
            "deployments": self.models,
            "instances": tuple(self.told.values()),
            "ram_budget_mib": self.ram_budget_mib,
            "wakeable": self.wakeable,
        }
        return NodeSeen(**{**known, **more})

    def is_(self, instance: str, phase: Phase, mib: int | None = None, **more: Any) -> None:
        """The node says that an instance is in a phase, and uses so much."""
        known = self.state.instances[instance]
        self.told[instance] = InstanceSeen(
            instance,
            known.deployment[1],
            known.cards,
            phase,
            known.fence,
            fingerprint=known.fingerprint,
            **more,
        )
        if mib is None:
            deployment = self.state.deployments[known.deployment]
            full = deployment.peak_mib or deployment.predicted_mib
            asleep = deployment.asleep_mib
            mib = {Phase.ASLEEP: asleep, Phase.STOPPED: 0, Phase.FAILED: 0}.get(phase, full)
        self.use[instance] = mib
        self.hear()
        if phase in (Phase.STOPPED, Phase.FAILED):
            del self.told[instance]

    def lost(self) -> None:
        """The node is silent."""
        self.apply(NodeLost(NODE))

    # What happens.

    def apply(self, event: Any) -> None:
        apply(self.state, event, self.now)

    def ask(
        self, name: str, model: str, kind: str = "interactive", caller: str = "anna", **more: Any
    ) -> Request:
        """Somebody asks."""
        request = Request(name, "gateway", model, ServiceClass(kind), caller, self.now, 0, **more)
        self.apply(Asked(request))
        return self.state.requests[name]

    def lease(self, name: str, mib: int, **more: Any) -> Request:
        """Somebody wants bare memory."""
        return self.ask(name, "", "batch", lease=True, lease_mib=mib, **more)

    def began(self, name: str) -> None:
        self.apply(FirstByte(name))

    def done(self, name: str, outcome: Any = "ok", seconds: float = 1.0) -> None:
        """A request ends."""
        self.apply(Done(name, outcome, self.state.requests[name].fence or 0, seconds))

    def order(self, verb: Any, on: str = "") -> None:
        self.apply(Ordered(verb, on))

    def pass_(self, seconds: float) -> None:
        """Time passes, and the node goes on saying how it is."""
        self.now += seconds
        self.hear()

    # What is decided.

    def decide(self) -> list[Action]:
        """One plan, committed. Twice the same plan is the same."""
        actions = plan(self.state, self.now)
        assert plan(self.state, self.now) == actions
        for action in actions:
            commit(self.state, action, self.now)
        self.log.extend(actions)
        return actions

    def obey(self, rounds: int = 12, step: float = 0.5) -> list[Action]:
        """Plan, and have the node do all of it at once, until nothing more is decided."""
        done: list[Action] = []
        for _ in range(rounds):
            actions = self.decide()
            done.extend(actions)
            for action in actions:
                phase = {
                    Start: Phase.READY,
                    Wake: Phase.READY,
                    Sleep: Phase.ASLEEP,
                    Stop: Phase.STOPPED,
                    Drain: Phase.DRAINING,
                }.get(type(action))
                if phase is not None:
                    self.is_(action.instance_id, phase)  # type: ignore[union-attr]
            self.pass_(step)
            if not actions and self._calm():
                break
        return done

    def _calm(self) -> bool:
        return not any(card.remnants for card in self.state.cards.values())

    def load(self, *names: str) -> list[str]:
        """Have models resident, used once and idle; returns their instances."""
        for name in names:
            self.order("load", name)
            self.obey()
            assert self.of(name).phase is Phase.READY, self.log
            self.of(name).grants = 1
        return [self.of(name).id for name in names]

    def of(self, name: str) -> Instance:
        """The one instance of a model."""
        (found,) = [i for i in self.state.instances.values() if i.deployment[1] == name]
        return found

    def phase(self, name: str) -> Phase | None:
        """Where a model is; None when it has no instance."""
        found = [i.phase for i in self.state.instances.values() if i.deployment[1] == name]
        return found[0] if found else None

    def change(self, name: str, **more: Any) -> None:
        """The node declares a model otherwise from now on."""
        self.models = tuple(replace(m, **more) if m.model == name else m for m in self.models)
        self.hear()


def of_kind(actions: list[Action], *kinds: type) -> list[Any]:
    """The actions of these kinds."""
    return [action for action in actions if isinstance(action, kinds)]


def granted(actions: list[Action]) -> list[str]:
    """Whose requests were granted, in order."""
    return [action.request_id for action in actions if isinstance(action, Grant)]


def names(actions: list[Action], *kinds: type) -> list[tuple[str, str]]:
    """(verb, model) of the moves."""
    return [(type(a).__name__, a.instance_id.rsplit("-", 1)[0]) for a in of_kind(actions, *kinds)]
