"""`plan`: what is to be done now. It reads the state and changes nothing."""

from __future__ import annotations

from gpu_scheduler.core.actions import Action
from gpu_scheduler.core.draft import Draft
from gpu_scheduler.core.grants import grant_places, preempt_work
from gpu_scheduler.core.letting_go import let_go, refuse_what_cannot_be
from gpu_scheduler.core.model import Phase, State
from gpu_scheduler.core.room import make_room
from gpu_scheduler.core.tending import carry_on, make_way_and_rest

WAITING_TICK_S = 0.25  # patience and dwelling end between two events
IDLE_TICK_S = 1.0  # leases, agents and idle models run out


def plan(state: State, now: float) -> list[Action]:
    """What follows from the state, in the order in which it is to be committed and done.

    1. Let go: leases that ran out, agents that fell silent, requests whose model died or whose time has passed.
    2. Refuse at once what no node can ever give, with the arithmetic; wake a node that can be woken.
       Paused: steps 3 to 7 wait.
    3. Grant every free place of what is resident to the first of its queue (residents' queues first).
    4. Preempt: who may and has waited takes a place of preemptible work that has not begun to answer.
    5. Make room for what is asked for and not resident, the most urgent first: it fits, it will fit soon,
       or somebody has to go, patience being over. What it needs is out of reach for the less urgent. So does what
       will be asked for at once by one who cannot wait.
    6. Carry on: what is stuck ends, what was ordered away goes, what was drained follows.
    7. Make way for foreign use, and rest: idle models sleep, then end; pinned ones come back.

    Call it after every event and at least every quarter of a second, since patience, dwelling and times to live pass
    without one. Calling it twice without a commit between gives the same answer.
    """
    draft = Draft.of(state, now)
    let_go(draft)  # 1
    refuse_what_cannot_be(draft)  # 2
    if state.paused:
        return draft.actions
    grant_places(draft)  # 3
    preempt_work(draft)  # 4
    make_room(draft)  # 5
    carry_on(draft)  # 6
    make_way_and_rest(draft)  # 7
    return draft.actions


def next_instant(state: State, now: float) -> float | None:
    """When to plan again though nothing happens: never later than something that passes by itself; None: never."""
    if not (state.requests or state.instances or state.agents or state.wanted):
        return None
    if state.queue or state.doomed or state.wanted:
        return now + WAITING_TICK_S
    moving = any(
        instance.phase not in (Phase.READY, Phase.ASLEEP) for instance in state.instances.values()
    )
    return now + (WAITING_TICK_S if moving else IDLE_TICK_S)
