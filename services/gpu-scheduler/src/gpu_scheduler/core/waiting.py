"""The queue: who waits for which model, and in which order.

The order is by `due`, a time: arrival, less the seconds that class and deadline are worth. It does not change while a
request waits, so nobody is overtaken by anyone who comes later than `arrived + priorities' span + boost + cap`: nobody
starves. A caller who had more than its share stands back by at most `fairness_cap_s`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gpu_scheduler.core.demand import first_byte_s
from gpu_scheduler.core.ledger import bring_up_s
from gpu_scheduler.core.model import Doom, Policy, Request, State


def due(request: Request, policy: Policy) -> float:
    """The time by which the queue is ordered: the lower, the sooner."""
    boost = 0.0
    if request.deadline is not None:
        slack = request.deadline - request.arrived - request.work_s
        boost = max(0.0, policy.deadline_boost_s - max(0.0, slack))
    priority = policy.classes[request.service_class].priority
    return request.arrived - (priority + boost) / policy.aging_per_s


def enqueue(state: State, request: Request) -> None:
    """Put it into the queue: new, or given back with its place by its time of arrival."""
    kind = state.policy.classes[request.service_class]
    request.due = due(request, state.policy)
    least = min(kind.patience_s, state.policy.patience_least_s)
    # What loads slowly is waited for in any case.
    loading = state.policy.patience_loads * bring_up_s(state, request.model)
    taken = first_byte_s(state, request) + loading
    patience = max(least, kind.patience_s - taken)
    request.pressing_at = request.arrived + patience
    request.weight = kind.weight
    request.expires_at = request.arrived + kind.wait_max_s
    if request.deadline is not None:
        request.expires_at = min(request.expires_at, request.deadline)
    state.requests[request.id] = request
    state.queue.setdefault(request.model, {})[request.id] = request
    state.queue_weight[request.model] = state.queue_weight.get(request.model, 0.0) + request.weight
    state.expiry_floor = min(state.expiry_floor, request.expires_at)
    state.queued_by_class[request.service_class] += 1
    state.queued_by_caller[request.caller] += 1


def dequeue(state: State, request: Request) -> None:
    """Take it out of the queue; nothing happens when it is not in it."""
    line = state.queue.get(request.model)
    if line is None or line.pop(request.id, None) is None:
        return
    if line:
        state.queue_weight[request.model] -= request.weight
    else:  # and with it what rounding has left of its weight
        del state.queue[request.model]
        del state.queue_weight[request.model]
    state.unconfirmed.discard(request.id)
    if request.expires_at <= state.expiry_floor:
        state.expiry_floor = min(
            (r.expires_at for waiting in state.queue.values() for r in waiting.values()),
            default=float("inf"),
        )
    state.queued_by_class[request.service_class] -= 1
    state.queued_by_caller[request.caller] -= 1
    if not state.queued_by_caller[request.caller]:
        del state.queued_by_caller[request.caller]


def over_a_limit(state: State, request: Request) -> Doom | None:
    """Why it may not wait too: the queue, its class's or its caller's share of it is full."""
    policy = state.policy
    kind = policy.classes[request.service_class]
    total = state.queued_by_class.total()
    for count, limit, whose in (
        (total, policy.queue_max, "the queue"),
        (
            state.queued_by_class[request.service_class],
            kind.queue_max,
            f"the queue of class {request.service_class.value}",
        ),
        (
            state.queued_by_caller[request.caller],
            policy.caller_queue_max,
            f"the queue of {request.caller}",
        ),
    ):
        if count >= limit:
            return Doom(
                "inference.gpu_queue_full",
                f"{whose} holds {count} requests, and no more than {limit} may wait",
                5.0,
            )
    return None


def decayed(amount: float, seconds: float, half_life_s: float) -> float:
    """What is left of an amount after a while."""
    return amount * 0.5 ** (seconds / half_life_s) if seconds > 0 else amount


def note_usage(state: State, caller: str, seconds: float, now: float) -> None:
    """A caller has had so many seconds of a place (negative: fewer than were expected)."""
    gone = now - state.usage_at
    if gone > 1.0:
        half = state.policy.fairness_half_life_s
        state.usage = {
            name: left
            for name, amount in state.usage.items()
            if (left := decayed(amount, gone, half)) > 0.01
        }
        state.usage_at = now
    state.usage[caller] = max(0.0, state.usage.get(caller, 0.0) + seconds)


def setbacks(state: State) -> Mapping[str, float]:
    """By how many seconds each waiting caller stands back, for having had more than the average of those who wait."""
    callers = state.queued_by_caller
    if len(callers) < 2:
        return {}
    policy = state.policy
    usage = state.usage
    mean = sum(usage.get(name, 0.0) for name in callers) / len(callers)
    return {
        name: min(policy.fairness_cap_s, policy.fairness_weight * (had - mean))
        for name in callers
        if (had := usage.get(name, 0.0)) > mean
    }


@dataclass
class Line:
    """Those who wait for one model: the first of them, and how much their waiting counts."""

    model: str
    order: list[tuple[float, int, Request]]  # (due with setback, seq, request), not sorted
    head: tuple[float, int, Request]
    pressing_at: float
    weight: float

    @property
    def due(self) -> float:
        """When the first of them is due."""
        return self.head[0]


def lines(state: State, now: float) -> tuple[dict[str, Line], list[Request]]:
    """The queue by model, and those who have waited for too long."""
    back = setbacks(state)
    if state.doomed or state.unconfirmed or state.expiry_floor <= now:
        return _lines_of_some(state, now, back)
    result: dict[str, Line] = {}
    for model, waiting in state.queue.items():
        line = _line(model, list(waiting.values()), back)
        line.weight = state.queue_weight[model]
        result[model] = line
    return result, []


def _line(model: str, waiting: list[Request], back: Mapping[str, float]) -> Line:
    if back:
        get = back.get
        order = [(r.due + get(r.caller, 0.0), r.seq, r) for r in waiting]
    else:
        order = [(r.due, r.seq, r) for r in waiting]
    return Line(model, order, min(order), min([r.pressing_at for r in waiting]), 0.0)


def _lines_of_some(
    state: State, now: float, back: Mapping[str, float]
) -> tuple[dict[str, Line], list[Request]]:
    """The same when somebody is to be left out: doomed, not asked for again yet, or too late."""
    result: dict[str, Line] = {}
    expired: list[Request] = []
    for model, waiting in state.queue.items():
        stay: list[Request] = []
        for request in waiting.values():
            if request.expires_at <= now and request.id not in state.doomed:
                expired.append(request)
            elif request.confirm_by is None and request.id not in state.doomed:
                stay.append(request)
        if stay:
            line = _line(model, stay, back)
            line.weight = sum(r.weight for r in stay)
            result[model] = line
    return result, expired
