"""How long the scheduler's core takes to decide: 200 requests queued for 12 models; and to refuse what can never fit.

An event is taken in, a plan is made and committed, and that is measured, as one. Writes results/gpu_decision.json.
"""

from __future__ import annotations

import random
import time

import pytest
from gpu_scheduler.core import State, apply, commit, household, plan
from gpu_scheduler.core import actions as told
from gpu_scheduler.core.events import Asked, CardSeen, Done, Event, InstanceSeen, NodeSeen
from gpu_scheduler.core.model import Deployment, Phase, Request, ServiceClass

from .report import percentile, record

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]
MODELS, QUEUED, CARD_MIB, ROUNDS = 12, 200, 24_564, 4_000
CLASSES = tuple(ServiceClass)
DECISION_P99_MS_MAX, REFUSAL_MS_MAX = 2.0, 50.0
PHASES = {told.Start: "ready", told.Wake: "ready", told.Sleep: "asleep", told.Stop: "stopped"}


def deployment(number: int, mib: int) -> Deployment:
    return Deployment(
        *("node", f"model-{number}", "chat", f"print-{number}", mib),
        peak_mib=mib,
        can_sleep=number % 3 > 0,
        asleep_mib=200,
        ram_mib=500,
        asleep_ram_mib=2_000,
        slots=1 + number % 4,
    )


class House:
    """One node that obeys at once, and a clock that stands unless it is moved."""

    def __init__(self, *sizes: int) -> None:
        self.now = 0.0
        self.state = State(household(), epoch=1)
        self.models = tuple(deployment(number, mib) for number, mib in enumerate(sizes))
        self.told: dict[str, InstanceSeen] = {}
        self.actions: list[told.Action] = []
        self.hear()

    def hear(self) -> None:
        full = {model.model: model.predicted_mib for model in self.models}
        ours = {
            one.id: 200 if one.phase is Phase.ASLEEP else full[one.model]
            for one in self.told.values()
            if one.phase is not Phase.STOPPED
        }
        card = CardSeen("card", 0, CARD_MIB, sum(ours.values()), ours)
        self.apply(
            NodeSeen(
                *("node", "boot", self.now, (card,), self.models, tuple(self.told.values())),
                ram_budget_mib=64_000,
            )
        )

    def apply(self, event: Event) -> float:
        """Take an event in and decide. Returns the milliseconds of this process."""
        began = time.process_time()
        apply(self.state, event, self.now)
        self.actions = plan(self.state, self.now)
        for action in self.actions:
            commit(self.state, action, self.now)
        took = (time.process_time() - began) * 1000
        for action in self.actions:
            if type(action) in PHASES:
                self.obey(action)
        return took

    def obey(self, action: told.Action) -> None:
        """The node does it, and says so at its next report."""
        instance = self.state.instances[action.instance_id]
        self.told[instance.id] = InstanceSeen(
            *(instance.id, instance.deployment[1], ("card",), Phase(PHASES[type(action)])),
            instance.fence,
        )


def decisions() -> list[float]:
    """Return the milliseconds of each decision while 200 wait."""
    chance = random.Random(1)
    house = House(*(chance.choice((3_000, 7_000, 11_000)) for _ in range(MODELS)))
    took: list[float] = []
    asked = 0
    for number in range(ROUNDS):
        house.now += 0.02
        while house.state.queued_by_class.total() < QUEUED:
            asked += 1
            request = Request(
                *(f"r{asked}", "gateway", f"model-{chance.randrange(MODELS)}"),
                chance.choice(CLASSES),
                f"caller-{asked % 21}",
                *(house.now, asked),
                prompt_tokens=chance.randrange(8_000),
            )
            took.append(house.apply(Asked(request)))
        running = [r for r in house.state.granted.values() if house.now - r.granted_at > 0.1]
        if running:
            request = chance.choice(running)
            took.append(house.apply(Done(request.id, "ok", request.fence, 0.1)))
        if number % 10 == 0:
            house.hear()
    # The queue had to fill first.
    return took[QUEUED:]


def refusal() -> float:
    """Return the milliseconds until a request that can never fit is refused, 200 others waiting."""
    house = House(CARD_MIB + 1, *(7_000 for _ in range(MODELS - 1)))
    for number in range(QUEUED):
        model = f"model-{1 + number % (MODELS - 1)}"
        kind = CLASSES[number % len(CLASSES)]
        house.apply(
            Asked(Request(f"r{number}", "gateway", model, kind, f"c{number % 21}", 0.0, number))
        )
    ask = Request("big", "gateway", "model-0", ServiceClass.INTERACTIVE, "anna", 0.0, 1_000)
    took = house.apply(Asked(ask))
    (refused,) = [a for a in house.actions if isinstance(a, told.Refuse)]
    assert refused.request_id == "big"
    assert str(CARD_MIB) in refused.why
    return took


def test_a_decision_takes_at_most_two_milliseconds_and_a_refusal_less_than_fifty():
    took, refused = decisions(), refusal()
    p99 = percentile(took, 0.99)
    record(
        "gpu_decision",
        {
            f"decision p99 <= 2 ms at {QUEUED} queued requests and {MODELS} models": f"{p99:.2f} ms",
            "a request that can never fit is refused in < 50 ms": f"{refused:.2f} ms",
        },
        [
            {
                "decisions": len(took),
                "p50 ms": round(percentile(took, 0.5), 3),
                "p95 ms": round(percentile(took, 0.95), 3),
                "p99 ms": round(p99, 3),
                "most ms": round(max(took), 3),
                "refusal ms": round(refused, 3),
            }
        ],
    )
    assert p99 <= DECISION_P99_MS_MAX
    assert refused < REFUSAL_MS_MAX
