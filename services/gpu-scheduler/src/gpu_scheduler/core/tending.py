"""Steps 6 and 7 of the plan: the owner's orders, what is stuck, what foreign use pushes out, and what idles."""

from __future__ import annotations

from gpu_scheduler.core.actions import Drain
from gpu_scheduler.core.draft import Draft
from gpu_scheduler.core.ledger import needs
from gpu_scheduler.core.model import Deployment, Instance, Phase
from gpu_scheduler.core.victims import idles


def carry_on(draft: Draft) -> None:
    """6. What is stuck is ended, what was ordered away goes when it has finished, what was drained follows."""
    for instance in draft.state.instances.values():
        node = draft.state.nodes.get(instance.deployment[0])
        if instance.id in draft.moved or node is None or not node.up:
            continue
        if not _unstick(draft, instance):
            _leave(draft, instance, node.draining)


def _unstick(draft: Draft, instance: Instance) -> bool:
    policy = draft.state.policy
    age = draft.now - instance.since
    if instance.phase is Phase.STARTING:
        limit = policy.start_timeout_s
    elif instance.phase in (Phase.WAKING, Phase.SLEEPING, Phase.STOPPING):
        limit = policy.transition_timeout_s
    else:
        return False
    if age > limit:
        draft.send_away(instance, f"it has been {instance.phase.value} for {age:.0f} s", True)
    return True


def _leave(draft: Draft, instance: Instance, draining: bool) -> None:
    """Why an instance is not to stay, if there is a reason that no queue changes."""
    deployment = draft.state.deployments.get(instance.deployment)
    why = _no_longer_wanted(draft, instance, deployment, draining)
    stop = instance.after_drain is Phase.STOPPING or (
        why is not None and instance.ordered is not Phase.ASLEEP
    )
    if instance.phase is Phase.DRAINING:
        why = why or "it has been drained"
    if why is None:
        return
    if instance.phase is Phase.ASLEEP:
        if stop:
            draft.send_away(instance, why, True)
    elif draft.busy(instance) == 0:
        draft.send_away(instance, why, stop or not draft.can_sleep(instance))
    elif instance.phase is Phase.READY:
        draft.moved.add(instance.id)
        running = [
            request.fence or 0
            for request_id in instance.running
            if (request := draft.state.requests.get(request_id)) is not None
        ]
        fence = max(instance.fence, min(running, default=instance.fence))
        draft.actions.append(Drain(instance.id, fence, why))


def _no_longer_wanted(
    draft: Draft, instance: Instance, deployment: Deployment | None, draining: bool
) -> str | None:
    if instance.ordered is not None:
        return "the owner wants it " + ("asleep" if instance.ordered is Phase.ASLEEP else "gone")
    if deployment is None:
        return "its node does not declare it any more"
    if draining:
        return "its node is being drained"
    if instance.fingerprint and instance.fingerprint != deployment.fingerprint:
        return "its files or its settings have changed since it was started"
    return None


def make_way_and_rest(draft: Draft) -> None:
    """7. Idle models make way when foreign use has outgrown a card, sleep when nobody asks, end when nobody has for long."""
    for card in draft.state.cards.values():
        since = card.over_since
        if since is None or draft.now - since < draft.state.policy.over_budget_s:
            continue
        if draft.free.get(card.id, 0) >= 0 or draft.pending[card.id] > 0:
            continue
        idle = [
            i
            for i in draft.on_card[card.id]
            if i.phase is Phase.READY and idles(draft, i) and not _asked_for(draft, i)
        ]
        if idle:
            victim = min(idle, key=lambda i: (i.last_used, i.id))
            why = f"others use so much of card {card.index} that {-draft.free[card.id]} MiB are missing"
            draft.send_away(victim, why, not draft.can_sleep(victim))
    for instance in draft.state.instances.values():
        if idles(draft, instance):
            _rest(draft, instance)
    load_pins(draft)


def _asked_for(draft: Draft, instance: Instance) -> bool:
    return instance.deployment[1] in draft.lines


def _rest(draft: Draft, instance: Instance) -> None:
    deployment = draft.state.deployments.get(instance.deployment)
    if deployment is None or _asked_for(draft, instance) or draft.pinned(deployment):
        return
    idle = draft.now - max(instance.last_used, instance.resident_since or float("-inf"))
    if deployment.idle_stop_s is not None and idle >= deployment.idle_stop_s:
        draft.send_away(instance, f"nobody has asked for it for {idle:.0f} s", True)
    elif (
        instance.phase is Phase.READY
        and deployment.idle_sleep_s is not None
        and idle >= deployment.idle_sleep_s
        and draft.can_sleep(instance)
    ):
        draft.send_away(instance, f"nobody has asked for it for {idle:.0f} s", False)


def load_pins(draft: Draft) -> None:
    """A pinned model is loaded where there is room that nobody waits for."""
    state = draft.state
    for deployment in state.deployments.values():
        if not draft.pinned(deployment) or deployment.model in draft.lines:
            continue
        if (
            deployment.key in draft.brought
            or not deployment.enabled
            or not draft.up(deployment.node)
        ):
            continue
        if deployment.model in state.banned or deployment.group is not None:
            continue
        book = state.books.get(deployment.key)
        if book is not None and draft.now < book.not_before:
            continue
        here = [
            i for i in draft.by_model.get(deployment.model, ()) if i.deployment == deployment.key
        ]
        if not here:
            _load_if_there_is_room(draft, deployment)
        elif len(here) == 1 and here[0].phase is Phase.ASLEEP:
            _wake_if_there_is_room(draft, deployment, here[0])


def _load_if_there_is_room(draft: Draft, deployment: Deployment) -> None:
    state = draft.state
    fitting: list[tuple[int, str, int]] = []
    for card in state.cards.values():
        if card.node != deployment.node or card.id not in draft.free:
            continue
        if deployment.cards and card.id not in deployment.cards:
            continue
        need = needs(state, deployment, card)
        if not need.alone and need.mib <= draft.room(card.id):
            fitting.append((draft.free[card.id], card.id, need.mib))
    if (
        len(fitting) >= deployment.cards_needed
        and deployment.ram_mib <= draft.ram_free[deployment.node]
    ):
        chosen = sorted(fitting)[: deployment.cards_needed]
        cards = tuple(card for _, card, _ in chosen)
        draft.start(deployment, cards, max(mib for _, _, mib in chosen), "it is pinned")


def _wake_if_there_is_room(draft: Draft, deployment: Deployment, asleep: Instance) -> None:
    state = draft.state
    if asleep.id in draft.moved or any(card not in draft.free for card in asleep.cards):
        return
    mib = max(needs(state, deployment, state.cards[card]).mib for card in asleep.cards)
    delta = mib - asleep.charge_mib
    ram = max(0, deployment.ram_mib - asleep.ram_mib)
    if all(delta <= draft.room(card) for card in asleep.cards) and (
        ram <= draft.ram_free[deployment.node]
    ):
        draft.wake(deployment, asleep, mib, ram, "it is pinned")
