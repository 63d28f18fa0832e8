"""Whether an order makes sense as things are: what could not be carried out is refused at once, with what to do about it.

Reads the state and changes nothing. An order that passes may still have to wait: for room, for a request that runs.
"""

from __future__ import annotations

from collections.abc import Mapping

from contracts.scheduling import Order
from kit.errors import KitError

from gpu_scheduler.core.draft import Draft
from gpu_scheduler.core.letting_go import never_fits
from gpu_scheduler.core.model import Deployment, DeploymentKey, Instance, Phase, State
from gpu_scheduler.errors import (
    CannotSleep,
    ModelFailing,
    NeverFits,
    NodeAway,
    NodeDraining,
    NotLoaded,
    NotOffered,
    OrderOnBanned,
    OrderOnPinned,
    Paused,
)

GONE = (Phase.STOPPED, Phase.FAILED)
GOING = (Phase.STOPPING, *GONE)
# What a load is refused with when no node will do, the most telling first.
TELLING = (ModelFailing, NeverFits, NodeDraining, NodeAway)


def judge(state: State, order: Order, now: float, notes: Mapping[DeploymentKey, str]) -> str | None:
    """Return the node that an order on a model is best carried out on; None when it means them all.

    `notes`: what nodes say of models that cannot be started. Raises the coded reason why the order makes no sense.
    """
    known = [d for d in state.deployments.values() if _meant(order, d.key)]
    here = [
        i for i in state.instances.values() if _meant(order, i.deployment) and i.phase not in GONE
    ]
    match order.verb:
        case "load":
            return _load(state, order, known, here, now, notes)
        case "pin":
            _offered(order, bool(known))
            _not_banned(state, order)
            _some_node(state, [d for d in known if state.nodes[d.node].up], now, notes)
        case "ban":
            _offered(order, bool(known or here))
        # What is not offered any more may still be allowed or let go.
        case "allow":
            _offered(order, bool(known) or order.on in state.banned)
        case "unpin":
            _offered(order, bool(known) or order.on in state.pins)
        case "sleep" | "evict":
            _send_away(state, order, known, here)
        case _:
            pass
    return order.node


def _load(
    state: State,
    order: Order,
    known: list[Deployment],
    here: list[Instance],
    now: float,
    notes: Mapping[DeploymentKey, str],
) -> str | None:
    _offered(order, bool(known))
    _not_banned(state, order)
    if state.paused:
        raise Paused("Nothing is loaded while the owner has GPU scheduling paused.")
    possible = _some_node(state, known, now, notes)
    phases = {instance.deployment: instance.phase for instance in here}
    preferred = (Phase.READY, Phase.STARTING, Phase.WAKING, Phase.ASLEEP)

    def rank(deployment: Deployment) -> tuple[int, bool, str]:
        phase = phases.get(deployment.key)
        at = preferred.index(phase) if phase in preferred else len(preferred)
        return at, not state.nodes[deployment.node].up, deployment.node

    return min(possible, key=rank).node


def _some_node(
    state: State, known: list[Deployment], now: float, notes: Mapping[DeploymentKey, str]
) -> list[Deployment]:
    """Return those that can be loaded. Raises why none can, if there are any at all."""
    draft = Draft.of(state, now)
    possible: list[Deployment] = []
    obstacles: list[KitError] = []
    for deployment in known:
        obstacle = _obstacle(draft, deployment, notes.get(deployment.key))
        if obstacle is None:
            possible.append(deployment)
        else:
            obstacles.append(obstacle)
    if obstacles and not possible:
        worst = min(obstacles, key=lambda error: TELLING.index(type(error)))
        worst.reason = "; ".join(error.reason for error in obstacles)[:500]
        raise worst
    return possible


def _obstacle(draft: Draft, deployment: Deployment, note: str | None) -> KitError | None:
    """Why it cannot be loaded where it is declared, now or ever."""
    node = draft.state.nodes[deployment.node]
    if not deployment.enabled:
        why = note or "nothing is known of its size"
        return ModelFailing(f"{deployment.model} cannot be started on {node.name}: {why}")
    if not node.up and not node.wakeable:
        return NodeAway(f"{node.name} is away")
    if node.draining:
        return NodeDraining(f"{node.name} is being drained: it takes nothing new")
    if any(
        i.deployment == deployment.key and i.phase not in (*GOING, Phase.ASLEEP)
        for i in draft.by_model.get(deployment.model, ())
    ):
        return None  # it is there, so it fits
    why = never_fits(draft, deployment, node)
    return NeverFits(why) if why is not None else None


def _send_away(state: State, order: Order, known: list[Deployment], here: list[Instance]) -> None:
    wanted = any(_meant(order, key) for key in state.wanted)
    _offered(order, bool(known or here))
    staying = [i for i in here if i.phase not in GOING]
    # What is on its way out already has been sent away: to say so again changes nothing.
    if not (staying or (order.verb == "evict" and (here or wanted))):
        raise NotLoaded()
    if any(_pinned(state, d) for d in known):
        raise OrderOnPinned()
    away = sorted({i.deployment[0] for i in here if not state.nodes[i.deployment[0]].up})
    if here and len(away) == len({i.deployment[0] for i in here}):
        raise NodeAway(f"{', '.join(away)} is away: nobody can be told there.")
    if order.verb == "sleep" and not any(d.can_sleep for d in known):
        raise CannotSleep()


def _pinned(state: State, deployment: Deployment) -> bool:
    # Of a group one is resident at a time, and a pin on it brings nothing back.
    pinned = state.pins.get(deployment.model, deployment.pinned)
    return pinned and deployment.group is None and deployment.model not in state.banned


def _offered(order: Order, known: bool) -> None:
    if not known:
        raise NotOffered()


def _not_banned(state: State, order: Order) -> None:
    if order.on in state.banned:
        raise OrderOnBanned(f"The owner has banned {order.on}.")


def _meant(order: Order, key: tuple[str, str]) -> bool:
    return key[1] == order.on and order.node in (None, key[0])
