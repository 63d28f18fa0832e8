"""How long somebody waits before an idle model goes for it: the policy's patience, and where none is due."""

from dataclasses import replace

import pytest
from core_house import NODE, House, names, of_kind, sleeper
from gpu_scheduler.core import household
from gpu_scheduler.core.actions import Sleep
from gpu_scheduler.core.model import ServiceClass


@pytest.mark.parametrize("wake_s", [1.0, 4.0])
def test_patience_is_the_policys_less_a_part_of_the_models_own_load(wake_s: float) -> None:
    policy = household()
    classes = {
        **policy.classes,
        ServiceClass.VOICE: replace(
            policy.classes[ServiceClass.VOICE],
            patience_s=3.0 + policy.patience_loads * wake_s,
        ),
    }
    house = House(
        sleeper("a", 15000, wake_s=wake_s),
        sleeper("b", 15000, wake_s=wake_s),
        policy=replace(policy, classes=classes),
    )
    house.load("a")
    house.ask("a1", "a")
    house.decide()
    house.done("a1")
    house.ask("r1", "b", "voice")
    house.pass_(2.0)
    assert not of_kind(house.decide(), Sleep)
    house.pass_(1.5)
    assert names(house.decide(), Sleep) == [("Sleep", "a")]
    assert house.state.nodes[NODE].up


def test_for_an_idle_model_that_nobody_needs_nobody_has_to_be_patient() -> None:
    policy = household()
    assert policy.classes[ServiceClass.AGENT].patience_s > 30
    house = House(sleeper("a", 15000), sleeper("b", 15000), policy=policy)
    house.load("a")
    for number in range(8):
        house.ask(f"a{number}", "a")
        house.decide()
        house.done(f"a{number}")
        house.pass_(3.0)
    house.ask("r1", "b", "agent")
    house.pass_(5.0)
    assert not of_kind(house.decide(), Sleep), "it may be in the midst of a talk"
    house.pass_(12.0)
    assert names(house.decide(), Sleep) == [("Sleep", "a")]
