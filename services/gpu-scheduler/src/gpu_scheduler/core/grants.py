"""Steps 3 and 4 of the plan: places that are free now, and places that preemptible work may give back."""

from __future__ import annotations

from gpu_scheduler.core.draft import Draft
from gpu_scheduler.core.ledger import COMING
from gpu_scheduler.core.model import Instance, Phase, Request
from gpu_scheduler.core.waiting import Line


def grant_places(draft: Draft) -> None:
    """3. Every free place of what is resident goes to the first of its queue, whatever else waits."""
    for model in list(draft.lines):
        line = draft.lines[model]
        if not model:
            continue
        free = {
            instance.id: places
            for instance in draft.by_model.get(model, ())
            if (places := draft.places(instance)) > 0
        }
        if free:
            _fill(draft, line, free)


def _fill(draft: Draft, line: Line, free: dict[str, int]) -> None:
    left: list[tuple[float, int, Request]] = []
    line.order.sort()
    for position, entry in enumerate(line.order):
        if not free:
            left.extend(line.order[position:])
            break
        due, _, request = entry
        if request.id in draft.gone:
            continue
        instance = _place(draft, request, due, free)
        if instance is None:
            left.append(entry)
            continue
        waited = draft.now - request.arrived
        kind = request.service_class.value
        why = f"{line.model} is resident and this {kind} request is first of its queue after {waited:.1f} s"
        draft.grant(request, instance, why)
        line.weight -= request.weight
        free[instance.id] -= 1
        if not free[instance.id]:
            del free[instance.id]
    if left:
        line.order = left
        line.head = left[0]
        line.pressing_at = min(request.pressing_at for _, _, request in left)
    else:
        del draft.lines[line.model]


def _place(draft: Draft, request: Request, due: float, free: dict[str, int]) -> Instance | None:
    """The emptiest instance that this request may have, or None."""
    best: Instance | None = None
    for instance_id, places in free.items():
        instance = draft.state.instances[instance_id]
        if best is not None and places <= free[best.id]:
            continue
        if (
            request.nodes_allowed is not None
            and instance.deployment[0] not in request.nodes_allowed
        ):
            continue
        if request.cards_allowed is not None and not request.cards_allowed >= set(instance.cards):
            continue
        holder = held_by(draft, instance)
        if holder is not None and due > holder.due:  # a tie goes to whoever is here
            continue
        best = instance
    return best


def held_by(draft: Draft, instance: Instance) -> Line | None:
    """Those who wait for this instance's room, as long as they wait and nothing else serves them."""
    if instance.held_for is None or instance.held_for == instance.deployment[1]:
        return None
    line = draft.lines.get(instance.held_for)
    if line is None:
        return None
    for other in draft.by_model.get(line.model, ()):
        if other.phase is Phase.READY or other.phase in COMING:
            return None
    return line


def preempt_work(draft: Draft) -> None:
    """4. One whose class may, and who has waited for long enough, takes a place back from work that has not answered yet."""
    for line in draft.lines.values():
        request = line.head[2]
        if not line.model or not preempts(draft, request):
            continue
        ready = [i for i in draft.by_model.get(line.model, ()) if i.phase is Phase.READY]
        for instance in ready:
            if preempt_one(draft, instance, request):
                break


def preempts(draft: Draft, request: Request) -> bool:
    """Whether its class may take places back, and it has waited for long enough."""
    after = draft.state.policy.classes[request.service_class].preempt_after_s
    return after is not None and draft.now - request.arrived >= after


def preempt_all(draft: Draft, instance: Instance, by: Request) -> None:
    """Take back whatever gives way: the room of the whole instance is wanted."""
    if draft.up(instance.deployment[0]):
        running = (draft.state.requests.get(name) for name in sorted(instance.running))
        for victim in running:
            if victim and preemptible(draft, victim) and victim.id not in draft.gone:
                _take_back(draft, victim, by)


def preempt_one(draft: Draft, instance: Instance, by: Request) -> bool:
    """Take one place back; True if one is on its way back already."""
    requests = draft.state.requests
    running = [requests[r] for r in instance.running if r in requests]
    if any(r.preempting for r in running):
        return True
    choice = [r for r in running if preemptible(draft, r) and r.id not in draft.gone]
    if not choice or not draft.up(instance.deployment[0]):
        return False
    _take_back(draft, max(choice, key=lambda r: (r.granted_at or 0.0, r.seq)), by)  # it loses least
    return True


def _take_back(draft: Draft, victim: Request, by: Request) -> None:
    draft.preempt(
        victim,
        f"a {by.service_class.value} request has waited for {draft.now - by.arrived:.1f} s and this "
        f"{victim.service_class.value} request has not begun to answer; it keeps its place",
    )


def all_preemptible(draft: Draft, instance: Instance) -> bool:
    """Whether something runs on it, and all of it may be taken back or is on its way back."""
    requests = draft.state.requests
    return draft.busy(instance) == len(instance.running) > 0 and all(
        (r := requests.get(name)) is not None and (r.preempting or preemptible(draft, r))
        for name in instance.running
    )


def preemptible(draft: Draft, request: Request) -> bool:
    """Work of a class that gives way, once in its life, before its first byte, and never a lease."""
    return (
        draft.state.policy.classes[request.service_class].preemptible
        and not request.lease
        and not request.first_byte
        and request.preemptions == 0
        and not request.preempting
    )
