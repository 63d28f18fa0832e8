"""`apply`: what happened becomes what is known. Pure but for the state that it changes; it decides nothing.

What a request is refused for is only written down here (`State.doomed`); `plan` says it.
"""

from __future__ import annotations

from gpu_scheduler.core import seen
from gpu_scheduler.core.codes import AGENT_GONE, GONE
from gpu_scheduler.core.demand import note_ask, note_end, note_first_byte
from gpu_scheduler.core.events import (
    ActionFailed,
    AgentGone,
    AgentSeen,
    Asked,
    Done,
    EpochBegun,
    Event,
    FirstByte,
    LeaseRenewed,
    NodeLeft,
    NodeLost,
    NodeSeen,
    Ordered,
    OriginLost,
    OriginResumed,
    PeaksLearned,
    StoodStill,
    Withdrawn,
)
from gpu_scheduler.core.learning import SMOOTHING, learn_peak
from gpu_scheduler.core.model import (
    FENCES_PER_EPOCH,
    Agent,
    Doom,
    Instance,
    ModelBook,
    Phase,
    Request,
    State,
)
from gpu_scheduler.core.orders import ordered
from gpu_scheduler.core.waiting import dequeue, enqueue, note_usage, over_a_limit


def apply(state: State, event: Event, now: float) -> None:
    """Take one event into the state. Unknown requests, stale fences and repeated events change nothing."""
    match event:
        case NodeSeen() | NodeLost() | NodeLeft() | ActionFailed():
            _of_a_node(state, event, now)
        case PeaksLearned():
            for key, mib in event.peaks.items():
                learn_peak(state, key, mib)
        case Ordered():
            ordered(state, event)
        case StoodStill():
            _stood_still(state, event.seconds, now)
        case EpochBegun():
            state.epoch = max(state.epoch, event.epoch)
            state.fence = max(state.fence, state.epoch * FENCES_PER_EPOCH)
        case AgentSeen():
            state.agents[event.agent] = Agent(event.agent, event.caller, now, event.ttl_s)
        case AgentGone():
            state.agents.pop(event.agent, None)
            agent_gone(state, event.agent)
        case OriginLost():
            for request in [r for r in state.requests.values() if r.origin == event.origin]:
                forget(state, request, now)
        case OriginResumed():
            _resumed(state, event, now)
        case _:
            _of_a_request(state, event, now)


def _of_a_node(
    state: State, event: NodeSeen | NodeLost | NodeLeft | ActionFailed, now: float
) -> None:
    match event:
        case NodeSeen():
            seen.node_seen(state, event, now)
        case NodeLost():
            seen.node_lost(state, event.node)
        case NodeLeft():
            seen.node_left(state, event.node, now)
        case ActionFailed():
            seen.action_failed(state, event, now)


def _stood_still(state: State, seconds: float, now: float) -> None:
    """Heartbeats, reports and words of gateways may be waiting to be heard: whoever had time left has it still."""
    for agent in state.agents.values():
        agent.seen_at = min(now, agent.seen_at + seconds)
    for request in state.requests.values():
        if request.lease_until is not None:
            request.lease_until += seconds
        if request.confirm_by is not None:
            request.confirm_by += seconds
    for instance in state.instances.values():
        if instance.action_sent_at is not None:
            instance.action_sent_at = min(now, instance.action_sent_at + seconds)
        if instance.phase not in (Phase.READY, Phase.ASLEEP):
            instance.since = min(now, instance.since + seconds)


def _of_a_request(
    state: State, event: Asked | Withdrawn | FirstByte | Done | LeaseRenewed, now: float
) -> None:
    if isinstance(event, Asked):
        _asked(state, event.request, now)
        return
    request = state.requests.get(event.request_id)
    if request is None:
        return
    match event:
        case Withdrawn():
            forget(state, request, now)
        case FirstByte():
            if not request.queued:
                if not request.first_byte:
                    note_first_byte(state, request, now)
                request.first_byte = True
                request.preempting = False
        case Done():
            _done(state, event, request, now)
        case LeaseRenewed():
            if request.lease and request.fence == event.fence and not request.queued:
                request.lease_until = now + request.lease_ttl_s


def release(state: State, request: Request, now: float) -> Instance | None:
    """Take a granted request off its instance. Returns the instance."""
    instance = state.instances.get(request.instance or "")
    if instance is not None and request.id in instance.running:
        instance.running.discard(request.id)
        instance.last_used = now
        note_end(state, request.model, now)
        return instance
    return None


def forget(state: State, request: Request, now: float) -> None:
    """A request is over, whether it waited or ran."""
    release(state, request, now)
    dequeue(state, request)
    state.granted.pop(request.id, None)
    state.requests.pop(request.id, None)
    state.doomed.pop(request.id, None)


def requeue(state: State, request: Request, now: float) -> None:
    """Put a granted request back where it was in the queue."""
    release(state, request, now)
    request.instance = request.fence = request.granted_at = request.lease_until = None
    request.first_byte = request.preempting = False
    request.confirm_by = None
    state.granted.pop(request.id, None)
    enqueue(state, request)


def agent_gone(state: State, agent: str) -> None:
    """Nobody renews what this agent holds, and nobody waits for what it asked for."""
    for request in state.requests.values():
        if request.agent == agent:
            state.doomed[request.id] = Doom(
                AGENT_GONE, f"the agent {agent} has been silent for too long"
            )


def _asked(state: State, request: Request, now: float) -> None:
    known = state.requests.get(request.id)
    if known is not None:
        # Its gateway came back: the place stays. What runs is not asked for again.
        if known.queued and known.origin == request.origin:
            known.confirm_by = None
            state.unconfirmed.discard(known.id)
        return
    state.arrivals += 1
    request.seq = state.arrivals
    note_ask(state, request, now)
    if (full := over_a_limit(state, request)) is not None:
        state.requests[request.id] = request
        state.doomed[request.id] = full
        return
    enqueue(state, request)


def _done(state: State, event: Done, request: Request, now: float) -> None:
    if request.queued or request.fence != event.fence:
        return
    instance = state.instances.get(request.instance or "")
    granted_at = request.granted_at if request.granted_at is not None else now
    seconds = event.seconds or now - granted_at
    # At the grant the caller was charged what was expected.
    note_usage(state, request.caller, share(state, request, seconds - request.work_s), now)
    if event.outcome == "preempted" and not request.first_byte:
        state.doomed.pop(request.id, None)
        if request.confirm_by is None:  # else it lost its instance
            request.preemptions += 1
        requeue(state, request, now)
        return
    if event.outcome == "ok" and instance is not None:
        instance.served += 1
        book = state.books.setdefault(instance.deployment, ModelBook())
        book.crashes = 0
        if not request.lease:
            old = book.work_s
            book.work_s = seconds if old is None else old + SMOOTHING * (seconds - old)
    forget(state, request, now)


def _still_holds(state: State, request: Request, now: float) -> bool:
    """Whether a place that this scheduler does not know of is still its own: given by an earlier one, and not to another."""
    if request.fence is None or request.fence >= state.epoch * FENCES_PER_EPOCH:
        return False
    if now - state.started_at <= state.policy.settle_s or not request.model:
        return True
    instance = state.instances.get(request.instance or "")
    deployment = state.deployments.get(instance.deployment) if instance else None
    return (
        instance is not None
        and deployment is not None
        and instance.phase is Phase.READY
        and len(instance.running) < deployment.slots
    )


def share(state: State, request: Request, seconds: float) -> float:
    """Seconds of an instance's place: a place among eight is an eighth."""
    instance = state.instances.get(request.instance or "")
    deployment = state.deployments.get(instance.deployment) if instance else None
    return seconds / deployment.slots if deployment else seconds


def _resumed(state: State, event: OriginResumed, now: float) -> None:
    """A gateway's connection is new: what it names runs, what it does not name does not, what waits it asks for again."""
    named = {request.id for request in event.running}
    for request in [r for r in state.requests.values() if r.origin == event.origin]:
        if request.lease or request.id in named:
            continue
        if not request.queued:
            requeue(state, request, now)  # its grant was lost on the way, or it has ended
        request.confirm_by = now + state.policy.settle_s
        state.unconfirmed.add(request.id)
    for request in event.running:
        known = state.requests.get(request.id)
        if known is not None and not known.queued and known.fence == request.fence:
            known.first_byte = known.first_byte or request.first_byte
            continue
        if known is not None:
            forget(state, known, now)
        request.granted_at = now if request.granted_at is None else request.granted_at
        if request.lease and request.lease_until is None:
            request.lease_until = now + request.lease_ttl_s
        state.arrivals += 1
        request.seq = state.arrivals
        state.requests[request.id] = state.granted[request.id] = request
        if _still_holds(state, request, now):
            seen.attach(state, request)
        else:
            why = "its place was given up while its gateway was away"
            state.doomed[request.id] = Doom(GONE, why)
