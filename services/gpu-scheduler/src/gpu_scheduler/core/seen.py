"""What a node says of itself becomes what is known of its cards and instances.

A report that was made before the node took an action in says nothing about that action: the fence tells. One that is
older than what is known says nothing at all.
"""

from __future__ import annotations

from dataclasses import replace

from gpu_scheduler.core.codes import LOST, NODE_AWAY
from gpu_scheduler.core.events import ActionFailed, CardSeen, InstanceSeen, NodeSeen
from gpu_scheduler.core.learning import back_off, measure, note_transition, out_of_memory
from gpu_scheduler.core.ledger import GOING, card_sum, foreign_mib, measured_charge, need_of
from gpu_scheduler.core.model import (
    Card,
    Doom,
    Instance,
    ModelBook,
    Node,
    Phase,
    Remnant,
    Request,
    State,
)

OVER = (Phase.STOPPED, Phase.FAILED)


def node_seen(state: State, event: NodeSeen, now: float) -> None:
    """Take in a whole state of a node."""
    node = state.nodes.setdefault(event.node, Node(event.node))
    rebooted = node.boot != event.boot
    if not rebooted and event.read_at < node.read_at:
        return
    node.up, node.boot, node.read_at, node.last_seen = True, event.boot, event.read_at, now
    node.ram_budget_mib, node.ram_foreign_mib = event.ram_budget_mib, event.ram_foreign_mib
    node.wakeable, node.wake_tried_at = event.wakeable, None
    if event.deployments != node.declared:
        _declare(state, node, event)
    for card in event.cards:
        _read_card(state, event, card)
    named: set[str] = set()
    for instance in event.instances:
        named.add(instance.id)
        _instance_seen(state, event, instance, now)
    for instance in [i for i in state.instances.values() if i.deployment[0] == event.node]:
        if instance.id not in named:
            _instance_absent(state, instance, event, rebooted, now)
    for card in event.cards:
        _settle_card(state, event, state.cards[card.id], now)


def node_lost(state: State, name: str) -> None:
    """A node is silent: nothing of it is granted, and what ran there has lost its answer."""
    node = state.nodes.get(name)
    if node is None or not node.up:
        return
    node.up = False
    doom = Doom(NODE_AWAY, f"the node {name} does not answer any more")
    for request in state.granted.values():
        instance = state.instances.get(request.instance or "")
        card = state.cards.get(request.lease_card or "")
        on = instance.deployment[0] if instance else card.node if card else None
        if on == name:
            state.doomed[request.id] = doom


def node_left(state: State, name: str, now: float) -> None:
    """A node has left the house: what it had is forgotten. That it was being drained is the owner's word and stays."""
    node = state.nodes.get(name)
    if node is None:
        return
    node_lost(state, name)
    doom = Doom(NODE_AWAY, f"the node {name} has left the house")
    for instance in [i for i in state.instances.values() if i.deployment[0] == name]:
        remove(state, instance, now, now, doom)
    for request in state.granted.values():
        card = state.cards.get(request.lease_card or "")
        if card is not None and card.node == name:
            state.doomed.setdefault(request.id, doom)
    state.cards = {card.id: card for card in state.cards.values() if card.node != name}
    state.deployments = {k: d for k, d in state.deployments.items() if k[0] != name}
    state.books = {key: book for key, book in state.books.items() if key[0] != name}
    state.wanted = {key for key in state.wanted if key[0] != name}
    state.nodes[name] = Node(name, draining=node.draining)


def action_failed(state: State, event: ActionFailed, now: float) -> None:
    """A node refused an action: what it says next is believed again. One that may have arrived all the same stays booked.

    Of that one the node's reports tell within `action_timeout_s`.
    """
    instance = state.instances.get(event.instance_id)
    if instance is None or instance.fence != event.fence:
        return
    instance.error = event.code
    if event.code == NODE_AWAY:
        return
    if instance.phase is Phase.STARTING and not instance.seen:
        book = state.books.setdefault(instance.deployment, ModelBook())
        back_off(state, book, f"the node would not start it: {event.code}", now)
        remove(state, instance, now, now, Doom(LOST, "its model was not started", 1.0))
        return
    instance.action_sent_at = None
    if instance.phase in (Phase.WAKING, Phase.SLEEPING):
        was_asleep = instance.phase is Phase.WAKING
        instance.phase = Phase.ASLEEP if was_asleep else Phase.READY
        instance.since = now
        instance.resident_since = None if was_asleep else min(now, instance.last_used)
        _book_ram(state, instance)
        if was_asleep:
            _give_back(state, instance, now, now)
            book = state.books.setdefault(instance.deployment, ModelBook())
            back_off(state, book, f"the node would not wake it: {event.code}", now)


def attach(state: State, request: Request) -> None:
    """Count a granted request among those of its instance, if that is known already."""
    instance = state.instances.get(request.instance or "")
    if instance is not None and request.id not in instance.running:
        instance.running.add(request.id)
        instance.unclaimed = max(0, instance.unclaimed - 1)


def remove(state: State, instance: Instance, now: float, read_at: float, doom: Doom) -> None:
    """An instance is gone. Its charge stays on its cards until they have been read later than `read_at`."""
    for card_id in instance.cards:
        card = state.cards.get(card_id)
        if card is not None:
            left = instance.charge_mib
            if (old := card.remnants.get(instance.id)) is not None:
                left += old.mib
            card.remnants[instance.id] = Remnant(left, now, read_at)
    state.instances.pop(instance.id, None)
    for request_id in instance.running:
        if request_id in state.requests:
            state.doomed.setdefault(request_id, doom)


def _declare(state: State, node: Node, event: NodeSeen) -> None:
    node.declared = event.deployments
    keys = {deployment.key for deployment in event.deployments}
    for key in [k for k in state.deployments if k[0] == node.name and k not in keys]:
        del state.deployments[key]
        state.wanted.discard(key)
    for deployment in event.deployments:
        known = state.peaks.get((deployment.node, deployment.model, deployment.fingerprint))
        if known is not None and known > (deployment.peak_mib or 0):
            deployment = replace(deployment, peak_mib=known)
        old = state.deployments.get(deployment.key)
        if old is not None and old.fingerprint != deployment.fingerprint:
            state.books.pop(deployment.key, None)  # other weights or settings: another fate
        state.deployments[deployment.key] = deployment


def _read_card(state: State, event: NodeSeen, card: CardSeen) -> None:
    known = state.cards.get(card.id)
    if known is None:
        known = state.cards[card.id] = Card(card.id, event.node, card.index, card.total_mib)
    known.error = card.error
    if card.error is not None:
        return
    known.node, known.index, known.total_mib = event.node, card.index, card.total_mib
    known.used_mib, known.ours_mib, known.read_at = card.used_mib, card.ours_mib, event.read_at
    foreign = foreign_mib(known)
    if event.read_at - known.foreign_window_at > state.policy.foreign_window_s:
        first = known.foreign_window_at == float("-inf")
        known.foreign_low = (0 if first else known.foreign_low[1], foreign)
        known.foreign_window_at = event.read_at
    else:
        known.foreign_low = (known.foreign_low[0], min(known.foreign_low[1], foreign))


def _settle_card(state: State, event: NodeSeen, card: Card, now: float) -> None:
    """Remnants that a later reading shows gone, or to be others' by now, are booked no longer."""
    if card.read_at != event.read_at:
        return
    on_it = [i for i in state.instances.values() if card.id in i.cards]
    total = card_sum(state, card, on_it, True, now)
    # What holders of bare memory use is foreign, too: nobody is sent away for that.
    over = total.free + min(total.leased, total.foreign) < 0 < total.foreign
    card.over_since = (card.over_since if card.over_since is not None else now) if over else None
    for instance_id, remnant in list(card.remnants.items()):
        if card.read_at <= remnant.expires_after_reading_at:
            continue
        instance = state.instances.get(instance_id)
        still = card.ours_mib.get(instance_id, 0) - (instance.charge_mib if instance else 0)
        if still <= 0:
            del card.remnants[instance_id]
            continue
        remnant.mib = still
        if instance and now - remnant.since > state.policy.remnant_timeout_s and not instance.error:
            instance.error = f"asleep, it keeps {still} MiB on the card"
            state.books.setdefault(instance.deployment, ModelBook()).sleep_failures += 1


def _instance_seen(state: State, event: NodeSeen, told: InstanceSeen, now: float) -> None:
    instance = state.instances.get(told.id)
    if instance is None:
        if told.phase not in OVER:
            _adopt(state, event, told, now)
        return
    instance.seen = True
    if told.fingerprint:
        instance.fingerprint = told.fingerprint
    sent = instance.action_sent_at
    heard = told.fence >= instance.fence
    if sent is not None and not heard and now - sent <= state.policy.action_timeout_s:
        return
    if heard:
        instance.action_sent_at = None
    measure(state, instance, told)
    if told.phase is not instance.phase:
        _change(state, instance, event, told, now)


def _instance_absent(
    state: State, instance: Instance, event: NodeSeen, rebooted: bool, now: float
) -> None:
    sent = instance.action_sent_at
    on_its_way = sent is not None and now - sent <= state.policy.action_timeout_s
    if not instance.seen and on_its_way and not rebooted:
        return
    expected = rebooted or instance.phase in (Phase.STOPPING, Phase.SLEEPING, Phase.ASLEEP)
    if not expected:
        book = state.books.setdefault(instance.deployment, ModelBook())
        back_off(state, book, "it vanished from its node", now)
    doom = Doom(LOST, f"{instance.deployment[1]} ended under the request", 1.0, retry=True)
    remove(state, instance, now, event.read_at, doom)


def _adopt(state: State, event: NodeSeen, told: InstanceSeen, now: float) -> None:
    """An instance that this scheduler has not made, or has forgotten: charge what it would be charged, or has."""
    key = (event.node, told.model)
    deployment = state.deployments.get(key)
    known_cards = [state.cards[c] for c in told.cards if c in state.cards]
    has = max((card.ours_mib.get(told.id, 0) for card in known_cards), default=0)
    peak = max([has, *told.peak_mib.values()])
    charge = measured_charge(peak, state.policy)
    if deployment is not None:
        charge = max(charge, need_of(deployment, state.policy).mib)
    instance = Instance(
        id=told.id,
        deployment=key,
        cards=told.cards,
        charge_mib=charge,
        phase=told.phase,
        since=now,
        fence=told.fence,
        seen=True,
        fingerprint=told.fingerprint,
        last_used=now,
        unclaimed=told.in_flight,
        unclaimed_until=now + state.policy.settle_s,
        peak_mib=peak,
        grants=1,
    )
    settled_at = state.started_at + state.policy.settle_s
    if deployment is not None and now < settled_at:
        # A grant of the last scheduler may still be on its way: until the gateways have spoken, all places are taken.
        instance.unclaimed, instance.unclaimed_until = deployment.slots, settled_at
    # A fence from another life must not stand above those that are given out from here on.
    state.fence = max(state.fence, told.fence)
    if told.phase in (Phase.READY, Phase.DRAINING):
        instance.resident_since = now
        instance.phase = Phase.READY
    if told.phase is Phase.ASLEEP and deployment is not None:
        instance.charge_mib = max(deployment.asleep_mib, has)
    state.instances[told.id] = instance
    _book_ram(state, instance)
    for request in state.granted.values():
        if request.instance == told.id:
            attach(state, request)


def _change(
    state: State, instance: Instance, event: NodeSeen, told: InstanceSeen, now: float
) -> None:
    """Follow the node into another phase."""
    was, to = instance.phase, told.phase
    book = state.books.setdefault(instance.deployment, ModelBook())
    if to is Phase.DRAINING or (was is Phase.DRAINING and to is Phase.READY):
        return  # a node that drains before it sleeps or stops; or one that has not begun to drain
    instance.since = now
    if to in OVER:
        _ended(state, instance, event, told, now)
        return
    instance.phase = to
    if to is Phase.READY:
        if was in GOING:  # it stayed after all: that begins no new dwelling
            instance.resident_since = min(now, instance.last_used)
        else:
            instance.resident_since = now
            instance.grants = 0
        instance.error = None
        state.wanted.discard(instance.deployment)
        _book_ram(state, instance)
        if was is Phase.SLEEPING and told.fence >= instance.fence:
            book.sleep_failures += 1
        if told.took_s is not None:
            note_transition(book, was, told.took_s)
    elif to is Phase.ASLEEP:
        instance.resident_since = None
        instance.held_for = None
        instance.error = told.error
        _book_ram(state, instance)
        if was is Phase.WAKING and told.fence >= instance.fence:
            back_off(state, book, told.error or "it would not wake", now)
        _give_back(state, instance, now, event.read_at)


def _book_ram(state: State, instance: Instance) -> None:
    """Host memory as its phase takes it."""
    deployment = state.deployments.get(instance.deployment)
    if deployment is not None:
        asleep = instance.phase is Phase.ASLEEP
        instance.ram_mib = deployment.asleep_ram_mib if asleep else deployment.ram_mib


def _give_back(state: State, instance: Instance, now: float, read_at: float) -> None:
    """It sleeps: what sleep leaves stays its charge, the rest is a remnant until the card has been read again."""
    deployment = state.deployments.get(instance.deployment)
    keeps = deployment.asleep_mib if deployment else 0
    rest = instance.charge_mib - keeps
    instance.charge_mib = keeps
    for card_id in instance.cards:
        card = state.cards.get(card_id)
        if card is not None and rest > 0:
            card.remnants[instance.id] = Remnant(rest, now, read_at)


def _ended(
    state: State, instance: Instance, event: NodeSeen, told: InstanceSeen, now: float
) -> None:
    book = state.books.setdefault(instance.deployment, ModelBook())
    model = instance.deployment[1]
    if instance.phase is not Phase.STOPPING:
        if told.oom:
            out_of_memory(state, instance, book, told.error, now)
        elif told.phase is Phase.FAILED:
            back_off(state, book, told.error or "it ended by itself", now)
    why = f"{model} ended under the request: {told.error or 'no reason is known'}"
    remove(state, instance, now, event.read_at, Doom(LOST, why, 1.0, retry=True))
