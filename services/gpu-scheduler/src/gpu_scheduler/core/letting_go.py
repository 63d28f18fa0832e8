"""Steps 1 and 2 of the plan: who goes at once, because its time is over or because nothing can ever serve it."""

from __future__ import annotations

from gpu_scheduler.core.actions import Revoke, WakeNode
from gpu_scheduler.core.codes import (
    AGENT_GONE,
    BANNED,
    FAILING,
    GONE,
    LOST,
    NEVER_FITS,
    NODE_AWAY,
    NODE_DRAINING,
    NOT_OFFERED,
    TOO_LATE,
    WAITED,
)
from gpu_scheduler.core.draft import Draft
from gpu_scheduler.core.ledger import RESIDENT, need_alone, need_of, usable
from gpu_scheduler.core.model import Card, Deployment, Doom, Node, Phase, Request

# What is said when no deployment will do, the most telling first.
TELLING = (FAILING, NEVER_FITS, NODE_DRAINING, NODE_AWAY, NOT_OFFERED)


def let_go(draft: Draft) -> None:
    """1. Leases that ran out, agents that fell silent, requests whose model died or whose time has passed."""
    state, now = draft.state, draft.now
    for request_id, doom in state.doomed.items():
        if (request := state.requests.get(request_id)) is not None:
            _doomed(draft, request, doom)
    for request in draft.expired:
        waited = now - request.arrived
        if request.deadline is not None and request.deadline <= now:
            draft.refuse(request, TOO_LATE, f"its deadline passed after {waited:.1f} s", None)
        else:
            draft.refuse(request, WAITED, f"it has waited for {waited:.0f} s", 60.0)
    silent = {a.id for a in state.agents.values() if now - a.seen_at > a.ttl_s}
    for request in state.granted.values():
        _held(draft, request, silent)
    if silent:
        for waiting in state.queue.values():
            for request in waiting.values():
                if request.agent is not None and request.agent in silent:
                    draft.refuse(request, AGENT_GONE, f"the agent {request.agent} is silent", None)
    for request_id in state.unconfirmed:
        request = state.requests[request_id]
        if request.confirm_by is not None and request.confirm_by <= now:
            draft.refuse(request, GONE, "its gateway came back and no longer wants it", None)


def _doomed(draft: Draft, request: Request, doom: Doom) -> None:
    if request.granted_at is not None and request.lease:
        _revoke(draft, request, doom.why)
    elif (
        doom.retry
        and request.granted_at is not None
        and not request.first_byte
        and not request.retried
    ):
        draft.preempt(request, f"{doom.why}; it has not begun to answer and is put back")
    else:
        draft.refuse(request, doom.code, doom.why, doom.retry_after_s)


def _revoke(draft: Draft, request: Request, why: str) -> None:
    if request.id not in draft.gone:
        draft.gone.add(request.id)
        draft.actions.append(Revoke(request.id, request.fence or 0, why))


def _held(draft: Draft, request: Request, silent: set[str]) -> None:
    """One that runs or holds: whether its time, its holder or its instance has gone."""
    state, now = draft.state, draft.now
    if request.lease_until is not None and request.lease_until <= now:
        _revoke(draft, request, f"it was not renewed for {request.lease_ttl_s:.0f} s")
    elif request.agent is not None and request.agent in silent:
        why = f"the agent {request.agent} has fallen silent"
        if request.lease:
            _revoke(draft, request, why)
        else:
            draft.refuse(request, AGENT_GONE, why, None)
    elif request.model and (request.instance or "") not in state.instances:
        until = request.confirm_by or max(
            state.started_at + state.policy.settle_s, (request.granted_at or 0.0)
        )
        if now >= until and request.id not in draft.gone:
            _doomed(draft, request, Doom(LOST, f"{request.model} is not there any more", 1.0))


def refuse_what_cannot_be(draft: Draft) -> None:
    """2. Whoever asks for what no node can ever give is told so at once; a node that can be woken is."""
    state = draft.state
    for model in list(draft.lines):
        if model:
            _judge(draft, model)
    for request in list(state.queue.get("", {}).values()):
        _judge_memory(draft, request)
    for name, model in state.wanted:
        node = state.nodes[name]
        # Once: an order is no reason to try for ever, as somebody who waits is.
        if not node.up and node.wake_tried_at is None:
            may_wake(draft, node, f"{model} is to be loaded there")


def _judge(draft: Draft, model: str) -> None:
    state, line = draft.state, draft.lines[model]
    deployments = draft.deployments.get(model, [])
    if not deployments:
        if draft.now >= state.started_at + state.policy.settle_s:
            _refuse_all(draft, model, NOT_OFFERED, f"no node offers {model}", None)
        return
    if model in state.banned:
        _refuse_all(draft, model, BANNED, f"the owner does not let {model} run", None)
        return
    obstacles: list[tuple[str, str, float | None]] = []
    open_: list[Deployment] = []
    for deployment in deployments:
        found = obstacle(draft, deployment)
        if found is None:
            open_.append(deployment)
        else:
            obstacles.append(found)
    draft.open[model] = open_
    if not open_:
        code, _, retry = min(obstacles, key=lambda o: TELLING.index(o[0]))
        _refuse_all(draft, model, code, "; ".join(why for _, why, _ in obstacles), retry)
        return
    nodes = {deployment.node for deployment in open_}
    for _, _, request in line.order:
        if request.nodes_allowed is not None and not request.nodes_allowed & nodes:
            where = ", ".join(sorted(request.nodes_allowed))
            draft.refuse(request, NODE_AWAY, f"{model} is not to be had on {where}", None)


def _refuse_all(draft: Draft, model: str, code: str, why: str, retry: float | None) -> None:
    for _, _, request in draft.lines[model].order:
        draft.refuse(request, code, why, retry)
    del draft.lines[model]


def obstacle(draft: Draft, deployment: Deployment) -> tuple[str, str, float | None] | None:
    """Why a deployment cannot serve, now or ever; None when it can, or when its node is being woken for it."""
    state, now = draft.state, draft.now
    node = state.nodes[deployment.node]
    model = deployment.model
    if not deployment.enabled:
        return NOT_OFFERED, f"{model} is switched off on {node.name}", None
    if not node.up:
        if may_wake(draft, node):
            return None
        return NODE_AWAY, f"the node {node.name} is away", None
    if node.draining:
        return NODE_DRAINING, f"the node {node.name} is being drained", None
    book = state.books.get(deployment.key)
    if book is not None and book.refused_why is not None and now < book.not_before:
        left = book.not_before - now
        why = f"{model} on {node.name} is given up on for {left:.0f} s: {book.refused_why}"
        return FAILING, why, left
    if model in draft.by_model and any(
        i.deployment == deployment.key and i.phase is not Phase.ASLEEP
        for i in draft.by_model[model]
    ):
        return None  # it is there, so it fits
    why = never_fits(draft, deployment, node)
    return (NEVER_FITS, why, None) if why is not None else None


def may_wake(draft: Draft, node: Node, why: str | None = None) -> bool:
    """Whether a node that is off is worth waiting for. It is woken at most once per attempt, and never while paused."""
    policy = draft.state.policy
    if not node.wakeable or node.draining or draft.state.paused:
        return False
    if node.wake_tried_at is None or draft.now - node.wake_tried_at >= policy.node_wake_retry_s:
        if not any(isinstance(a, WakeNode) and a.node == node.name for a in draft.actions):
            why = why or f"somebody asks for what only {node.name} has"
            draft.actions.append(WakeNode(node.name, why))
        return True
    return draft.now - node.wake_tried_at < policy.node_wake_s


def never_fits(draft: Draft, deployment: Deployment, node: Node) -> str | None:
    """The arithmetic, card by card, when a deployment cannot fit even if all but what is pinned were gone."""
    if (holder := _pinned_member(draft, deployment)) is not None:
        return f"{holder} is pinned, and of the group {deployment.group} one is resident at a time"
    if _fits_beside(draft, deployment, node):
        return None
    state, policy = draft.state, draft.state.policy
    if deployment.ram_mib > node.ram_budget_mib:
        return (
            f"{deployment.model} needs {deployment.ram_mib} MiB of host memory and {node.name} may use "
            f"{node.ram_budget_mib} MiB"
        )
    cards = [
        card
        for card in state.cards.values()
        if card.node == node.name and (not deployment.cards or card.id in deployment.cards)
    ]
    beside, alone = need_of(deployment, policy), need_alone(deployment, policy)
    told: list[str] = []
    book = state.books.get(deployment.key)
    must = book is not None and book.alone
    fitting = 0
    for card in cards:
        pins = _pinned_mib(draft, card, deployment)
        left = usable(card, policy) - pins
        if (beside.mib <= left and not must) or (pins == 0 and alone.mib <= left):
            fitting += 1
            continue
        need = beside if pins else alone
        told.append(
            f"card {card.index}: {card.total_mib} - {policy.reserve_mib} reserve - {min(card.foreign_low)} foreign"
            f" - {pins} pinned = {left} MiB, charge {need.mib} ({need.why})"
        )
    if fitting >= deployment.cards_needed:
        return None
    if not cards:
        return f"{deployment.model} may run on no card that {node.name} has"
    of = f"{deployment.cards_needed} cards" if deployment.cards_needed > 1 else "a card"
    return f"{deployment.model} can never have {of} of {node.name}: " + "; ".join(told)


def _pinned_member(draft: Draft, deployment: Deployment) -> str | None:
    """Another member of its group that is there to stay."""
    if deployment.group is None:
        return None
    for instance in draft.state.instances.values():
        other = draft.state.deployments.get(instance.deployment)
        if (
            other is not None
            and other.group == deployment.group
            and other.node == deployment.node
            and other.key != deployment.key
            and instance.phase in RESIDENT
            and draft.pinned(other)
        ):
            return other.model
    return None


def _fits_beside(draft: Draft, deployment: Deployment, node: Node) -> bool:
    """The same in short, for the usual case."""
    state = draft.state
    book = state.books.get(deployment.key)
    if deployment.ram_mib > node.ram_budget_mib or (book is not None and book.alone):
        return False
    mib = need_of(deployment, state.policy).mib
    fitting = 0
    for card in state.cards.values():
        if card.node == node.name and (not deployment.cards or card.id in deployment.cards):
            fitting += mib <= usable(card, state.policy) - _pinned_mib(draft, card, deployment)
    return fitting >= deployment.cards_needed


def _pinned_mib(draft: Draft, card: Card, but: Deployment) -> int:
    state = draft.state
    total = 0
    for instance in draft.on_card.get(card.id, []):
        deployment = state.deployments.get(instance.deployment)
        if deployment is not None and deployment.key != but.key and draft.pinned(deployment):
            total += instance.charge_mib
    return total


def _judge_memory(draft: Draft, request: Request) -> None:
    """Bare memory: whether any card that it may have is large enough at all."""
    state, policy = draft.state, draft.state.policy
    told: list[str] = []
    for card in state.cards.values():
        node = state.nodes[card.node]
        if not allows(request, card):
            continue
        if not node.up:
            if may_wake(draft, node):
                return
            told.append(f"card {card.index} of {card.node}: the node is away")
            continue
        left = usable(card, policy)
        if request.lease_mib <= left:
            return
        told.append(
            f"card {card.index} of {card.node}: {card.total_mib} - {policy.reserve_mib} reserve"
            f" - {min(card.foreign_low)} foreign = {left} MiB"
        )
    if draft.now < state.started_at + policy.settle_s:
        return
    why = "; ".join(told) or "there is no such card"
    draft.refuse(request, NEVER_FITS, f"{request.lease_mib} MiB fit nowhere: {why}", None)


def allows(request: Request, card: Card) -> bool:
    """Whether a request may have a card."""
    return (
        (request.lease_card is None or request.lease_card == card.id)
        and (request.cards_allowed is None or card.id in request.cards_allowed)
        and (request.nodes_allowed is None or card.node in request.nodes_allowed)
    )
