"""`commit`: an action that was decided becomes part of the state, before its effect is begun."""

from __future__ import annotations

from gpu_scheduler.core.actions import (
    Action,
    Drain,
    Grant,
    Hold,
    Preempt,
    Refuse,
    Revoke,
    Sleep,
    Start,
    Stop,
    Wake,
    WakeNode,
)
from gpu_scheduler.core.apply import forget, share
from gpu_scheduler.core.learning import back_off
from gpu_scheduler.core.ledger import COMING
from gpu_scheduler.core.model import Instance, ModelBook, Phase, State
from gpu_scheduler.core.waiting import dequeue, note_usage

PREEMPT_ANSWER_S = (
    5.0  # a request whose instance has gone is given back by its gateway within that, or is lost
)


def commit(state: State, action: Action, now: float) -> None:
    """Take one action of `plan` into the state. Every action of a plan is committed, in order."""
    match action:
        case Grant():
            _grant(state, action, now)
        case Refuse() | Revoke():
            if (request := state.requests.get(action.request_id)) is not None:
                forget(state, request, now)
        case Preempt():
            _preempt(state, action, now)
        case Start():
            state.instances[action.instance_id] = Instance(
                id=action.instance_id,
                deployment=action.deployment,
                cards=action.cards,
                charge_mib=action.charge_mib,
                phase=Phase.STARTING,
                since=now,
                fence=action.fence,
                ram_mib=state.deployments[action.deployment].ram_mib,
                last_used=now,
                action_sent_at=now,
                fingerprint=state.deployments[action.deployment].fingerprint,
            )
        case Wake():
            instance = _move(state, action.instance_id, Phase.WAKING, action.fence, now)
            instance.charge_mib = action.charge_mib
            _stage(state, instance)
            for card in instance.cards:
                if card in state.cards:
                    state.cards[card].remnants.pop(instance.id, None)
        case Sleep():
            instance = _move(state, action.instance_id, Phase.SLEEPING, action.fence, now)
            _stage(state, instance)
            _evicted(state, instance, now)
        case Stop():
            _gave_up(state, action, now)
            instance = _move(state, action.instance_id, Phase.STOPPING, action.fence, now)
            _evicted(state, instance, now)
        case Drain():
            instance = _move(state, action.instance_id, Phase.DRAINING, action.fence, now)
            instance.after_drain = (
                Phase.SLEEPING if instance.ordered is Phase.ASLEEP else Phase.STOPPING
            )
        case Hold():
            state.instances[action.instance_id].held_for = action.for_model
        case WakeNode():
            state.nodes[action.node].wake_tried_at = now
    state.fence = max(state.fence, getattr(action, "fence", 0))
    state.journal.append(_line(action))


def _move(state: State, instance_id: str, phase: Phase, fence: int, now: float) -> Instance:
    instance = state.instances[instance_id]
    instance.phase, instance.since, instance.fence = phase, now, fence
    instance.action_sent_at = now
    return instance


def _stage(state: State, instance: Instance) -> None:
    """On its way to or from host memory it takes whichever is more."""
    deployment = state.deployments.get(instance.deployment)
    if deployment is not None:
        instance.ram_mib = max(instance.ram_mib, deployment.ram_mib, deployment.asleep_ram_mib)


def _gave_up(state: State, action: Stop, now: float) -> None:
    """It is stopped while it was on its way up: that counts as a crash, unless the owner wants it gone."""
    instance = state.instances[action.instance_id]
    if instance.phase in COMING and instance.ordered is None:
        book = state.books.setdefault(instance.deployment, ModelBook())
        back_off(state, book, action.why, now)


def _evicted(state: State, instance: Instance, now: float) -> None:
    instance.held_for = instance.ordered = instance.after_drain = None
    instance.resident_since = None
    state.books.setdefault(instance.deployment, ModelBook()).last_evicted = now


def _grant(state: State, action: Grant, now: float) -> None:
    request = state.requests[action.request_id]
    dequeue(state, request)
    request.granted_at, request.fence = now, action.fence
    state.granted[request.id] = request
    if request.lease:
        request.lease_until = now + request.lease_ttl_s
    if action.card is not None:
        request.lease_card = action.card
        return
    request.instance = action.instance_id
    instance = state.instances[action.instance_id]
    instance.running.add(request.id)
    instance.last_used = now
    instance.grants += 1
    note_usage(state, request.caller, share(state, request, request.work_s), now)


def _preempt(state: State, action: Preempt, now: float) -> None:
    request = state.requests[action.request_id]
    request.preempting = True
    if state.doomed.pop(request.id, None) is not None:
        request.retried = True
        request.confirm_by = now + PREEMPT_ANSWER_S


def _line(action: Action) -> str:
    on = (
        getattr(action, "instance_id", "")
        or getattr(action, "request_id", "")
        or getattr(action, "node", "")
    )
    return f"{type(action).__name__.lower()} {on}: {action.why}"
