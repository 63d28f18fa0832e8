"""Who makes room, and whether it is worth it.

A resident that is used again soon costs its reload, weighed by who will wait for it. A switch is worth it when the
waiting so far has cost as much (whoever does not know the future is never more than twice as badly off that way), or when
the patience of somebody's class is over. Until a resident has been worth its own loading it stays.
"""

from __future__ import annotations

from dataclasses import dataclass

from gpu_scheduler.core.draft import Draft
from gpu_scheduler.core.ledger import (
    RESIDENT,
    reload_s,
    start_s,
    wake_s,
    work_s,
)
from gpu_scheduler.core.model import Deployment, DeploymentKey, Instance, Phase, Request
from gpu_scheduler.core.waiting import Line, next_use_weight

UNSERVED_S = (
    10.0  # what was loaded for somebody stays until it has been used, if that takes no longer
)
Found = tuple[int, float, "list[Pick]"]  # NOW, SOON or AFTER; what it costs; who goes
NOW, SOON, AFTER = 0, 1, 2


@dataclass(frozen=True)
class Pick:
    """An instance that is to make room, by sleeping or by ending."""

    instance: Instance
    stop: bool


@dataclass
class Want:
    """A model (or bare memory) that is to be brought in."""

    model: str
    due: float
    waited: float
    line: Line | None
    head: Request | None = None
    request: Request | None = None  # bare memory
    only: DeploymentKey | None = None  # the owner's order

    def pressing(self, draft: Draft) -> bool:
        """Whether somebody's patience is over."""
        if self.line is None:
            return True
        if self.request is not None:
            return draft.now >= self.request.pressing_at
        return draft.now >= self.line.pressing_at

    def worth(self, draft: Draft, cost: float) -> str | None:
        """Why a switch is worth what it costs, or None if it is not yet."""
        if self.line is None:
            return "by order"
        if self.pressing(draft):
            return "that is as long as its class is to wait"
        if self.waited >= draft.state.policy.switch_gain * cost:
            return f"the waiting has cost {self.waited:.1f} and the switch costs {cost:.1f}"
        return None


def pick(
    draft: Draft,
    want: Want,
    deployment: Deployment | None,
    card_id: str,
    mib: int,
    alone: bool,
    own_pending: int,
) -> Found | None:
    """Who has to go so that `mib` are free on a card; None when nobody's going would do."""
    group = _group(draft, deployment)
    if group is None:
        return None
    members, group_going = group
    residents = [i for i in draft.on_card.get(card_id, ()) if i.phase in RESIDENT] if alone else []
    free, pending = draft.free[card_id], draft.pending[card_id] - own_pending
    must = {i.id: i for i in (*members, *residents) if i.id not in draft.moved}
    if any(not may_go(draft, i, want) for i in must.values()):
        return None
    if mib <= free and not must:
        waiting = group_going or (alone and _others_going(draft, card_id))
        return (SOON if waiting else NOW, 0.0, [])
    if mib <= free + pending and not must:
        return (SOON, 0.0, [])
    for stop in (False, True):
        picks = _enough(draft, want, card_id, mib - free - pending, list(must.values()), stop)
        if picks is not None:
            return (AFTER, sum(_cost(draft, p, want) for p in picks), picks)
    return None


def _others_going(draft: Draft, card_id: str) -> bool:
    return any(i.phase in (Phase.SLEEPING, Phase.STOPPING) for i in draft.on_card.get(card_id, ()))


def _group(draft: Draft, deployment: Deployment | None) -> tuple[list[Instance], bool] | None:
    """The other members of its group that are resident on its node, and whether one is on its way out."""
    if deployment is None or deployment.group is None:
        return [], False
    taken = draft.groups.get((deployment.node, deployment.group), deployment.model)
    if taken != deployment.model:
        return None  # somebody more urgent of the same group comes
    members: list[Instance] = []
    going = False
    for instance in draft.state.instances.values():
        other = draft.state.deployments.get(instance.deployment)
        if other is None or other.group != deployment.group or other.node != deployment.node:
            continue
        if other.key == deployment.key:
            continue
        if instance.phase in RESIDENT:
            members.append(instance)
        elif instance.phase in (Phase.SLEEPING, Phase.STOPPING):
            going = True
    going = going or any(i.id in draft.moved for i in members)
    return members, going


def _enough(
    draft: Draft, want: Want, card_id: str, short: int, must: list[Instance], stop: bool
) -> list[Pick] | None:
    """The cheapest that give back enough together: those that must go, then by cost, and none that is not needed."""
    picks = [Pick(i, stop or not _may_sleep(draft, i, want)) for i in must]
    short -= sum(_gain(draft, p, card_id) for p in picks)
    known = {i.id for i in must}
    choice = [
        Pick(i, stop or i.phase is Phase.ASLEEP or not _may_sleep(draft, i, want))
        for i in draft.on_card.get(card_id, ())
        if i.id not in known and may_go(draft, i, want)
    ]
    priced = sorted(
        ((_cost(draft, p, want), p.instance.last_used, p.instance.id, p) for p in choice),
        key=lambda entry: entry[:3],
    )
    single = next((e for e in priced if short > 0 and _gain(draft, e[3], card_id) >= short), None)
    chosen: list[tuple[float, Pick]] = []
    for cost, _, _, candidate in priced:
        if short <= 0:
            break
        gain = _gain(draft, candidate, card_id)
        if gain > 0:
            chosen.append((cost, candidate))
            short -= gain
    if short > 0:
        return None
    if single is not None and single[0] <= sum(cost for cost, _ in chosen):
        return [*picks, single[3]]
    for entry in sorted(
        chosen, key=lambda e: -e[0]
    ):  # the dearest that the others make needless stay
        gain = _gain(draft, entry[1], card_id)
        if short + gain <= 0:
            chosen.remove(entry)
            short += gain
    return [*picks, *(candidate for _, candidate in chosen)]


def _may_sleep(draft: Draft, instance: Instance, want: Want) -> bool:
    """Whether it can sleep, at once or once others that are asleep have ended."""
    if draft.can_sleep(instance):
        return True
    return draft.knows_sleep(instance) and older_asleep(draft, instance, want) is not None


def older_asleep(draft: Draft, instance: Instance, want: Want) -> list[Instance] | None:
    """Who sleeps, was used before it and can end so that its weights fit into the host's memory; None if that is not enough."""
    deployment = draft.state.deployments[instance.deployment]
    node = deployment.node
    short = deployment.asleep_ram_mib - instance.ram_mib
    short -= draft.ram_free[node] + draft.ram_pending[node]
    found: list[Instance] = []
    asleep = [
        i
        for i in draft.state.instances.values()
        if i.deployment[0] == node
        and i.phase is Phase.ASLEEP
        and i.last_used < instance.last_used
        and i.ram_mib > 0
        and i.deployment[1] not in draft.lines
        and may_go(draft, i, want)
    ]
    for candidate in sorted(asleep, key=lambda i: (i.last_used, i.id)):
        if short <= 0:
            break
        found.append(candidate)
        short -= candidate.ram_mib
    return found if short <= 0 else None


def _gain(draft: Draft, victim: Pick, card_id: str) -> int:
    """What it gives back on a card."""
    instance = victim.instance
    deployment = draft.state.deployments.get(instance.deployment)
    keeps = deployment.asleep_mib if deployment and not victim.stop else 0
    gain = max(0, instance.charge_mib - keeps)
    if instance.phase is Phase.ASLEEP:
        card = draft.state.cards[card_id]
        remnant = card.remnants.get(instance.id)
        old = remnant is not None and draft.now - remnant.since > (
            draft.state.policy.remnant_timeout_s
        )
        gain += remnant.mib if remnant is not None and old else 0
    return gain


def _cost(draft: Draft, victim: Pick, want: Want) -> float:
    """Weighted seconds: its reload for whoever asks for it next, and for all who wait for it now."""
    instance = victim.instance
    state = draft.state
    if instance.held_for is not None and instance.held_for == want.model:
        return 0.0  # chosen before: choosing another now would have both stand still
    deployment = state.deployments.get(instance.deployment)
    if deployment is None:
        return 0.0
    start, wake = start_s(state, deployment), wake_s(state, deployment)
    if instance.phase is Phase.ASLEEP:
        seconds = max(0.0, start - wake)
    else:
        seconds = start if victim.stop else wake
    cost = seconds * next_use_weight(state, deployment.model, draft.now)
    line = draft.lines.get(deployment.model)
    if line is not None:
        cost += line.weight * (seconds + (_load_s(draft, want)))
    if instance.running:
        cost += work_s(state, deployment)
    return cost


def _load_s(draft: Draft, want: Want) -> float:
    deployments = draft.deployments.get(want.model)
    return reload_s(draft.state, deployments[0].key) if deployments else 0.0


def may_go(draft: Draft, instance: Instance, want: Want | None) -> bool:
    """Whether an instance may be sent away for somebody (None: because nobody needs it)."""
    state, now = draft.state, draft.now
    deployment = state.deployments.get(instance.deployment)
    if instance.phase not in (Phase.READY, Phase.ASLEEP) or instance.id in draft.moved:
        return False
    if not draft.up(instance.deployment[0]):
        return False
    if deployment is None:
        return True
    if draft.pinned(deployment) and instance.phase is Phase.READY:
        return False
    if instance.unclaimed and now < instance.unclaimed_until:
        return False
    busy = draft.busy(instance)
    if want is None:
        return not busy
    if want.model == deployment.model:
        return False
    line = draft.lines.get(deployment.model)
    if line is not None and line.due <= want.due and instance.phase is Phase.READY:
        return False
    if instance.phase is Phase.ASLEEP:
        return line is None or line.due > want.due
    if busy and any(state.requests[r].lease for r in instance.running if r in state.requests):
        return False  # whoever holds it keeps it; nobody else is made to wait for that
    return want.line is None or _worth_keeping_until(draft, instance, deployment, want) <= now


def _worth_keeping_until(
    draft: Draft, instance: Instance, deployment: Deployment, want: Want
) -> float:
    """Until when a resident stays for this class: used at least once, and for as long as its reload is worth."""
    since = instance.resident_since if instance.resident_since is not None else instance.since
    if instance.grants == 0 and deployment.model in draft.lines:
        return since + UNSERVED_S
    kind = want.head.service_class if want.head is not None else None
    factor = draft.state.policy.classes[kind].dwell_factor if kind is not None else 0.0
    return since + factor * max(deployment.min_dwell_s, reload_s(draft.state, instance.deployment))


def pick_for_host(
    draft: Draft, want: Want, deployment: Deployment, ram: int, picks: list[Pick]
) -> Found | None:
    """Who has to end so that a host has room: those asleep for longest first, then what idles."""
    node = deployment.node
    short = ram - draft.ram_free[node]
    if ram <= 0 or short <= 0:
        return (NOW, 0.0, [])
    if short <= draft.ram_pending[node]:
        return (SOON, 0.0, [])
    short -= draft.ram_pending[node]
    known = {p.instance.id: p for p in picks}
    for known_pick in picks:
        if known_pick.stop:
            short -= known_pick.instance.ram_mib
    found: list[Pick] = []
    cost = 0.0
    choice = [
        i
        for i in draft.state.instances.values()
        if i.deployment[0] == node
        and i.deployment != deployment.key
        and i.id not in known
        and may_go(draft, i, want)
    ]
    choice.sort(key=lambda i: (i.phase is not Phase.ASLEEP, i.last_used, i.id))
    for instance in choice:
        if short <= 0:
            break
        gain = instance.ram_mib
        if gain > 0:
            found.append(Pick(instance, True))
            cost += _cost(draft, found[-1], want)
            short -= gain
    return (AFTER, cost, found) if short <= 0 else None
