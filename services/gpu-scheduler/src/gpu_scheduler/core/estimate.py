"""Where each one that waits stands, when it will probably begin, and why it waits. Reads only."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from gpu_scheduler.core.draft import Draft
from gpu_scheduler.core.ledger import COMING, GOING, needs, sleeps, start_s, wake_s, work_s
from gpu_scheduler.core.model import Deployment, Instance, Phase, Request, State
from gpu_scheduler.core.waiting import Line


@dataclass(frozen=True)
class Place:
    """Position 1 is the next of its model. `seconds` until it probably begins; None where nobody can say."""

    position: int
    seconds: float | None
    why: str


def estimates(state: State, now: float) -> dict[str, Place]:
    """The place of every request that waits, by its id. Costs about as much as a plan."""
    draft = Draft.of(state, now)
    places: dict[str, Place] = {}
    ahead: list[str] = []  # models that get their room first
    ahead_s = 0.0
    for line in sorted(draft.lines.values(), key=lambda line: line.due):
        line.order.sort()
        if not line.model:
            for position, (_, _, request) in enumerate(line.order, 1):
                places[request.id] = Place(position, None, _memory_why(draft, request))
            continue
        begins, why, load = _begin(draft, line, ahead, ahead_s)
        if load > 0:
            ahead.append(line.model)
            ahead_s += load
        _count(draft, line, begins, why, places)
    return places


def _count(
    draft: Draft, line: Line, begins: list[float] | None, why: str, places: dict[str, Place]
) -> None:
    """Give each its turn: a place is free again when the request before has had its time."""
    deployment = next(iter(draft.deployments.get(line.model, [])), None)
    each = work_s(draft.state, deployment)
    if begins is not None:
        heapq.heapify(begins)
    for position, (_, _, request) in enumerate(line.order, 1):
        seconds: float | None = None
        if begins:
            seconds = begins[0]
            heapq.heapreplace(begins, seconds + each)
        first = "it is next" if position == 1 else f"{position - 1} before it"
        places[request.id] = Place(position, seconds, f"{first}: {why}")


def _begin(
    draft: Draft, line: Line, ahead: list[str], ahead_s: float
) -> tuple[list[float] | None, str, float]:
    """When each place of a model is free for the first time (None: unknown), why, and how long a load of it takes."""
    state, model = draft.state, line.model
    if state.paused:
        return None, "everything is paused by the owner", 0.0
    deployments = draft.deployments.get(model, [])
    if not deployments:
        return None, f"no node that offers {model} has been heard yet", 0.0
    here = [i for i in draft.by_model.get(model, ()) if draft.up(i.deployment[0])]
    ready = [i for i in here if i.phase is Phase.READY and i.ordered is None]
    if ready:
        return _when_free(draft, ready, model)
    for instance in here:
        deployment = state.deployments.get(instance.deployment)
        if instance.phase in COMING and deployment is not None:
            starting = instance.phase is Phase.STARTING
            takes = start_s(state, deployment) if starting else wake_s(state, deployment)
            left = max(0.1, instance.since + takes - draft.now)
            verb = "is being started" if starting else "wakes"
            return [left] * deployment.slots, f"{model} {verb}, about {left:.1f} s more", 0.0
    up = [d for d in deployments if draft.up(d.node)]
    if not up:
        return None, "the node is being woken", 0.0
    return _not_here(draft, line, up[0], here, ahead, ahead_s)


def _when_free(draft: Draft, ready: list[Instance], model: str) -> tuple[list[float], str, float]:
    begins: list[float] = []
    running = 0
    held: str | None = None
    for instance in ready:
        deployment = draft.state.deployments.get(instance.deployment)
        takes = work_s(draft.state, deployment)
        for request_id in instance.running:
            request = draft.state.requests.get(request_id)
            since = draft.now - (request.granted_at or draft.now) if request else 0.0
            begins.append(max(0.2, takes - since))
        running += len(instance.running)
        begins.extend(
            [0.0] * max(0, (deployment.slots if deployment else 1) - draft.busy(instance))
        )
        held = held or (instance.held_for if instance.held_for in draft.lines else None)
    if held is not None:
        return begins, f"{model} finishes what runs, then {held} has its room first", 0.0
    return begins, f"{model} is resident and {running} of its places are taken", 0.0


def _not_here(
    draft: Draft,
    line: Line,
    deployment: Deployment,
    here: list[Instance],
    ahead: list[str],
    ahead_s: float,
) -> tuple[list[float] | None, str, float]:
    state, model = draft.state, line.model
    asleep = any(i.phase is Phase.ASLEEP for i in here)
    load = wake_s(state, deployment) if asleep else start_s(state, deployment)
    verb = "wakes" if asleep else "starts"
    book = state.books.get(deployment.key)
    if book is not None and draft.now < book.not_before:
        left = book.not_before - draft.now
        why = f"{model} failed ({book.error}) and is tried again in {left:.0f} s"
        return [left + load] * deployment.slots, why, load
    if any(i.phase in GOING for i in here):
        seconds = 1.0 + load + ahead_s
        return [seconds] * deployment.slots, f"{model} was just sent away and {verb} again", load
    fresh = [c for c in draft.free if state.cards[c].node == deployment.node]
    if not fresh:
        return None, f"the cards of {deployment.node} have not been read lately", load
    room = any(needs(state, deployment, state.cards[c]).mib <= draft.free[c] for c in fresh)
    if room and not ahead:
        return [load] * deployment.slots, f"{model} {verb} in about {load:.1f} s", load
    wait = max(0.0, line.pressing_at - draft.now) if not room else 0.0
    seconds = wait + ahead_s + 1.0 + load
    why = f"{model} needs room" if not room else f"{model} {verb}"
    if ahead:
        why += f", after {', '.join(ahead[:3])}"
    if not room:
        least = min((_frees(draft, c) for c in fresh), key=lambda pair: pair[0])
        why += f"; {least[1]}"
    return [seconds] * deployment.slots, why, load


def _frees(draft: Draft, card_id: str) -> tuple[int, str]:
    """How much of a card stands in the way, in words."""
    state = draft.state
    card = state.cards[card_id]
    busy = [i for i in draft.on_card[card_id] if i.running]
    names = ", ".join(sorted({i.deployment[1] for i in busy})[:3])
    free = max(0, draft.free[card_id])
    if draft.pending[card_id] > 0:
        return len(busy), f"{draft.pending[card_id]} MiB of card {card.index} are being given back"
    if busy:
        return len(busy), f"{free} MiB of card {card.index} are free and {names} is at work"
    idle = [i for i in draft.on_card[card_id] if i.phase is Phase.READY]
    sleepers = sum(
        1 for i in idle if (d := state.deployments.get(i.deployment)) and sleeps(state, d)
    )
    return 0, (
        f"{free} MiB of card {card.index} are free, {len(idle)} idle models hold the rest"
        f" ({sleepers} can sleep), and a switch is not worth it yet"
    )


def _memory_why(draft: Draft, request: Request) -> str:
    free = ", ".join(
        f"card {draft.state.cards[card].index}: {max(0, mib)}" for card, mib in draft.free.items()
    )
    return (
        f"{request.lease_mib} MiB are asked for; free now: {free or 'nothing that was read lately'}"
    )
