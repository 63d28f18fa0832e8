"""Who makes room, and whether it is worth it.

Who idles and will probably not be asked for soon goes at once; another idle model when the patience of whoever wants the
room is over: those who come meanwhile are served by the same switch. A busy one goes only for somebody who has waited for
very long (while it finishes, the card stands idle), or at once where all that runs on it may be taken back and that makes a
voice be in time. Until a resident has been worth its own loading it stays, and one that a voice has just used a little longer.
"""

from __future__ import annotations

from dataclasses import dataclass

from gpu_scheduler.core.demand import protected, soonness
from gpu_scheduler.core.draft import Draft
from gpu_scheduler.core.grants import all_preemptible
from gpu_scheduler.core.ledger import GOING, RESIDENT, reload_s, start_s, wake_s, work_s
from gpu_scheduler.core.model import Deployment, DeploymentKey, Instance, Phase, Request
from gpu_scheduler.core.sets import Pick, Priced, cheapest
from gpu_scheduler.core.waiting import Line

# what was loaded for somebody stays until it has been used, if that takes no longer
UNSERVED_S = 10.0
NOW, SOON, AFTER = 0, 1, 2  # the room is there; it is on its way; somebody has to go for it


@dataclass(slots=True)
class Candidate:
    """An instance that could go, and what is the same about it whoever wants its room."""

    instance: Instance
    deployment: Deployment | None
    knows_sleep: bool
    seconds: float  # to bring it back (asleep: what a start takes longer than a wake)
    seconds_stopped: float
    soonness: float  # of its being asked for again, 1/s
    price: float  # by that
    line: Line | None
    stays_s: float  # how long it is to have been resident, times the class's factor
    busy_s: float  # how long what runs probably takes
    busy: bool = False
    protected: bool = False
    yields: bool = False  # all that runs on it may be taken back
    leaves_s: float = 0.0

    def gain(self, stop: bool, old_remnant_mib: int) -> int:
        """What it gives back on each of its cards."""
        if self.instance.phase is Phase.ASLEEP:
            return self.instance.charge_mib + old_remnant_mib
        keeps = self.deployment.asleep_mib if self.deployment and not stop else 0
        return max(0, self.instance.charge_mib - keeps)

    def cost(self, stop: bool, want: Want) -> float:
        """What its going costs: how soon it is asked for again, and, busy, those who run and wait on it."""
        if self.instance.held_for is not None and self.instance.held_for == want.model:
            return 0.0  # chosen before: choosing another now would have both stand still
        seconds = self.seconds_stopped if stop else self.seconds
        cost = self.price + self.busy_s
        if self.line is not None:
            cost += self.line.weight * (seconds + want.load_s)
        return cost


@dataclass
class Want:
    """A model (or bare memory) that is to be brought in. `factor` is its class's `dwell_factor`."""

    model: str
    due: float
    line: Line | None
    head: Request | None = None
    request: Request | None = None  # bare memory
    only: DeploymentKey | None = None  # the owner's order
    factor: float = 0.0
    load_s: float = 0.0
    over_s: float = 0.0  # how long its patience has been over; negative: for how long it lasts
    urgent: bool = False  # it is of a class that cannot wait, whose models are protected themselves
    drains: bool = True  # it has waited for so long that busy models make room for it
    expected: bool = False  # nobody waits yet
    preempts: bool = False  # its class may take places back, and it has waited for that
    spare_s: float = (
        -1.0
    )  # another whose running work is taken back has so long to go, if it is to be in time

    @property
    def ordered(self) -> bool:
        """Whether the owner wants it."""
        return self.line is None and not self.expected

    def pressing(self) -> bool:
        """Whether somebody's patience is over."""
        return self.line is None or self.over_s >= 0

    def worth(self) -> str | None:
        """Why somebody is to go for it, or None if nobody is yet."""
        if self.expected:
            return "whoever asks for it cannot wait"
        if self.line is None:
            return "by order"
        return "that is as long as its class is to wait" if self.pressing() else None


Found = tuple[int, float, list[Pick]]  # NOW, SOON or AFTER; what it costs; who goes


class Victims:
    """Chooses who goes. Made once per plan, when all places have been granted."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self._known: dict[str, Candidate | None] = {}
        self._on_card: dict[str, list[Candidate]] = {}

    def pick(
        self,
        want: Want,
        deployment: Deployment | None,
        card_id: str,
        mib: int,
        *,
        alone: bool = False,
        own_pending: int = 0,
    ) -> Found | None:
        """Who has to go so that `mib` are free on a card; None when nobody's going would do."""
        draft = self.draft
        group = _group(draft, deployment)
        if group is None:
            return None
        members, group_going = group
        if alone:
            members = members + [
                i
                for i in draft.on_card[card_id]
                if (i.charge_mib > 0 or i.phase in RESIDENT)
                and (deployment is None or i.deployment != deployment.key)
                and i.phase not in GOING
            ]
        must = {i.id: i for i in members if i.id not in draft.moved}
        comes = draft.free[card_id] + draft.pending[card_id] - own_pending
        comes -= draft.claims.get(card_id, 0)
        if not must and mib <= comes:
            waiting = group_going or (alone and _others_going(draft, card_id))
            return (SOON if waiting or mib > draft.free[card_id] else NOW, 0.0, [])
        forced: list[Candidate] = []
        for instance in must.values():
            candidate = self.candidate(instance)
            if candidate is None or not self.may_go(candidate, want):
                return None
            forced.append(candidate)
        ends = want.over_s >= draft.state.policy.end_over_s or want.ordered
        choice = [
            c
            for c in self._candidates(card_id)
            if c.instance.id not in must
            and (ends or c.instance.phase is not Phase.ASLEEP)
            and self.may_go(c, want)
        ]
        short = mib - comes
        for stop in (False, True) if ends else (False,):
            found = self._enough(want, card_id, short, forced, choice, stop, alone)
            if found is not None:
                return found
        return None

    def _enough(
        self,
        want: Want,
        card_id: str,
        short: int,
        forced: list[Candidate],
        choice: list[Candidate],
        stop: bool,
        alone: bool,
    ) -> Found | None:
        """The cheapest that give back enough: those that must go, then by cost, and none that is not needed."""
        picks: list[Pick] = []
        total = 0.0
        for candidate in forced:
            how = stop or not self.may_sleep(candidate, want)
            if alone and candidate.deployment is not None:
                how = how or candidate.deployment.asleep_mib > 0  # what sleep leaves is in the way
            picks.append(Pick(candidate.instance, how))
            if card_id in candidate.instance.cards:
                short -= candidate.gain(how, 0)
            total += candidate.cost(how, want)
        priced: Priced = []
        for candidate in choice:
            instance = candidate.instance
            asleep = instance.phase is Phase.ASLEEP
            how = stop or asleep or not self.may_sleep(candidate, want)
            gain = candidate.gain(how, self._old_remnant(instance, card_id) if asleep else 0)
            if gain > 0:
                price = candidate.cost(how and not asleep, want)
                priced.append((price, instance.last_used, instance.id, gain, Pick(instance, how)))
        if short > sum(entry[3] for entry in priced):
            return None
        priced.sort(key=lambda entry: entry[:3])
        chosen = cheapest(priced, short)
        picks.extend(entry[4] for entry in chosen)
        return (AFTER, total + sum(entry[0] for entry in chosen), picks)

    def _old_remnant(self, instance: Instance, card_id: str) -> int:
        """What it has kept for so long, though it sleeps, that only its end gives it back."""
        remnant = self.draft.state.cards[card_id].remnants.get(instance.id)
        if remnant is None:
            return 0
        old = self.draft.now - remnant.since > self.draft.state.policy.remnant_timeout_s
        return remnant.mib if old else 0

    def _candidates(self, card_id: str) -> list[Candidate]:
        known = self._on_card.get(card_id)
        if known is None:
            made = (self.candidate(i) for i in self.draft.on_card.get(card_id, ()))
            known = self._on_card[card_id] = [c for c in made if c is not None]
        return known

    def candidate(self, instance: Instance) -> Candidate | None:
        """What an instance would cost; None if it goes for nobody."""
        if instance.id not in self._known:
            self._known[instance.id] = _candidate(self.draft, instance)
        return self._known[instance.id]

    def may_go(self, candidate: Candidate, want: Want) -> bool:
        """Whether it goes for this one: it is less urgent, and has been worth its loading."""
        instance, now = candidate.instance, self.draft.now
        if instance.id in self.draft.moved or instance.deployment[1] == want.model:
            return False
        if candidate.line is not None and candidate.line.due <= want.due:
            return False
        if instance.phase is Phase.ASLEEP or want.ordered or candidate.deployment is None:
            return True
        works = candidate.busy or candidate.line is not None
        emptied = not candidate.busy and instance.held_for == want.model
        yields = candidate.yields and want.spare_s >= candidate.leaves_s
        if works and not (want.drains or yields or emptied):
            return False
        policy = self.draft.state.policy
        if candidate.protected and not want.urgent and want.over_s < policy.protect_over_s:
            return False
        since = instance.resident_since
        since = instance.since if since is None else since
        if instance.grants == 0 and candidate.line is not None:
            return now >= since + UNSERVED_S
        return now >= since + want.factor * candidate.stays_s

    def unneeded(self, picks: list[Pick]) -> bool:
        """Whether all of them are idle and will probably not be asked for so soon: no patience is due to them."""
        policy = self.draft.state.policy
        found = [self.candidate(pick.instance) for pick in picks]
        return all(
            one is not None
            and not (one.busy or one.protected or one.line is not None)
            and one.soonness < policy.unneeded_below
            for one in found
        )

    def may_sleep(self, candidate: Candidate, want: Want) -> bool:
        """Whether it can sleep, at once or once others that are asleep have ended."""
        if not candidate.knows_sleep:
            return False
        instance = candidate.instance
        return self.draft.can_sleep(instance) or self.older_asleep(instance, want) is not None

    def older_asleep(self, instance: Instance, want: Want) -> list[Instance] | None:
        """Who sleeps, was used before it and can end so that its weights fit the host; None if that is not enough."""
        draft = self.draft
        deployment = draft.state.deployments[instance.deployment]
        node = deployment.node
        short = deployment.asleep_ram_mib - instance.ram_mib
        short -= draft.ram_free[node] + draft.ram_pending[node]
        asleep = [
            i
            for i in draft.state.instances.values()
            if i.phase is Phase.ASLEEP
            and i.deployment[0] == node
            and i.last_used < instance.last_used
            and i.ram_mib > 0
            and i.deployment[1] not in draft.lines
            and (c := self.candidate(i)) is not None
            and self.may_go(c, want)
        ]
        found: list[Instance] = []
        for sleeper in sorted(asleep, key=lambda i: (i.last_used, i.id)):
            if short <= 0:
                break
            found.append(sleeper)
            short -= sleeper.ram_mib
        return found if short <= 0 else None

    def pick_for_host(
        self, want: Want, deployment: Deployment, ram: int, picks: list[Pick]
    ) -> Found | None:
        """Who has to end so that a host has room: those asleep for longest first, then what idles."""
        draft, node = self.draft, deployment.node
        short = ram - draft.ram_free[node]
        if ram <= 0 or short <= 0:
            return (NOW, 0.0, [])
        short -= draft.ram_pending[node]
        if short <= 0:
            return (SOON, 0.0, [])
        known = {p.instance.id for p in picks}
        short -= sum(p.instance.ram_mib for p in picks if p.stop)
        choice = [
            c
            for i in draft.state.instances.values()
            if i.deployment[0] == node
            and i.deployment != deployment.key
            and i.id not in known
            and (c := self.candidate(i)) is not None
            and self.may_go(c, want)
        ]
        choice.sort(
            key=lambda c: (
                c.instance.phase is not Phase.ASLEEP,
                c.instance.last_used,
                c.instance.id,
            )
        )
        found: list[Pick] = []
        cost = 0.0
        for candidate in choice:
            if short <= 0:
                break
            if candidate.instance.ram_mib > 0:
                found.append(Pick(candidate.instance, True))
                cost += candidate.cost(candidate.instance.phase is not Phase.ASLEEP, want)
                short -= candidate.instance.ram_mib
        return (AFTER, cost, found) if short <= 0 else None


def _others_going(draft: Draft, card_id: str) -> bool:
    return any(i.phase in GOING for i in draft.on_card.get(card_id, ()))


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


def _candidate(draft: Draft, instance: Instance) -> Candidate | None:
    state = draft.state
    deployment = state.deployments.get(instance.deployment)
    if instance.phase not in (Phase.READY, Phase.ASLEEP) or not draft.up(instance.deployment[0]):
        return None
    if deployment is None:
        return Candidate(instance, None, False, 0.0, 0.0, 0.0, 0.0, None, 0.0, 0.0)
    asleep = instance.phase is Phase.ASLEEP
    if not asleep:
        if draft.pinned(deployment) or (
            instance.unclaimed and draft.now < instance.unclaimed_until
        ):
            return None
        if any(state.requests[r].lease for r in instance.running if r in state.requests):
            return None  # whoever holds it keeps it; nobody is made to wait for that
    start, wake = start_s(state, deployment), wake_s(state, deployment)
    knows = not asleep and draft.knows_sleep(instance)
    return Candidate(
        instance,
        deployment,
        knows,
        max(0.0, start - wake) if asleep else wake if knows else start,
        start,
        soon := soonness(state, deployment.model, draft.now),
        soon + (0 if asleep else state.policy.switch_cost),
        draft.lines.get(deployment.model),
        max(deployment.min_dwell_s, reload_s(state, instance.deployment)),
        work_s(state, deployment) if draft.busy(instance) else 0.0,
        draft.busy(instance) > 0,
        protected(state, deployment.model, draft.now),
        all_preemptible(draft, instance),
        deployment.sleep_s if knows else deployment.stop_s,
    )


def idles(draft: Draft, instance: Instance) -> bool:
    """Whether nothing runs on it and nothing is done with it, so that it may be sent away though nobody needs its room."""
    if instance.phase not in (Phase.READY, Phase.ASLEEP) or instance.id in draft.moved:
        return False
    if instance.running or draft.taken.get(instance.id):
        return False
    if instance.unclaimed and draft.now < instance.unclaimed_until:
        return False
    return draft.up(instance.deployment[0])
