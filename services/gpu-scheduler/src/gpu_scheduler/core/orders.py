"""The owner's orders. They are written down here and carried out by the plan."""

from __future__ import annotations

from gpu_scheduler.core.events import Ordered
from gpu_scheduler.core.ledger import need_alone, usable
from gpu_scheduler.core.model import Deployment, Node, Phase, State


def ordered(state: State, order: Ordered) -> None:
    """Take one order down."""
    match order.verb:
        case "pause" | "resume":
            state.paused = order.verb == "pause"
        case "pin" | "unpin":
            state.pins[order.on] = order.verb == "pin"
        case "ban":
            state.banned.add(order.on)
            _send(state, order, Phase.STOPPED)
        case "allow":
            state.banned.discard(order.on)
            _forgive(state, order)
        case "load":
            _forgive(state, order)
            _load(state, order)
        case "sleep":
            _send(state, order, Phase.ASLEEP)
        case "evict":
            _send(state, order, Phase.STOPPED)
        case "drain_node" | "resume_node":
            if name := order.on or order.node:
                state.nodes.setdefault(name, Node(name)).draining = order.verb == "drain_node"


def _load(state: State, order: Ordered) -> None:
    """Have it loaded on one node: the one that was named, or the first that is up and has a card for it."""
    meant = [d for key, d in state.deployments.items() if _meant(order, key)]
    if any(i.phase is Phase.READY for i in state.instances.values() if _meant(order, i.deployment)):
        return
    able = [d for d in meant if _has_cards(state, d)]
    able.sort(key=lambda d: (not state.nodes[d.node].up, state.nodes[d.node].draining, d.node))
    if able:
        state.wanted.add(able[0].key)
        state.nodes[able[0].node].wake_tried_at = None  # an attempt of before counts no more
    elif meant:
        state.journal.append(f"load {order.on}: no card is large enough for it")


def _has_cards(state: State, deployment: Deployment) -> bool:
    mib = need_alone(deployment, state.policy).mib
    fitting = [
        card
        for card in state.cards.values()
        if card.node == deployment.node
        and (not deployment.cards or card.id in deployment.cards)
        and mib <= usable(card, state.policy)
    ]
    return len(fitting) >= deployment.cards_needed


def _meant(order: Ordered, key: tuple[str, str]) -> bool:
    return key[1] == order.on and order.node in (None, key[0])


def _forgive(state: State, order: Ordered) -> None:
    """Crashes of before are not held against it."""
    for key, book in state.books.items():
        if _meant(order, key):
            book.refused_why, book.crashes, book.not_before = None, 0, float("-inf")


def _send(state: State, order: Ordered, to: Phase) -> None:
    state.wanted = {key for key in state.wanted if not _meant(order, key)}
    for instance in state.instances.values():
        if _meant(order, instance.deployment) and instance.phase is not to:
            instance.ordered = to
