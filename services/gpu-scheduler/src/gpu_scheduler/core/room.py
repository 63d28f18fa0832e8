"""Step 5 of the plan: what is asked for and not resident gets its room, the most urgent first.

What is found for the more urgent is taken out of the draft's ledger, also when it has to wait for memory that is on its
way back; so nobody less urgent takes it, and no two wait for one another.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gpu_scheduler.core.demand import first_byte_s
from gpu_scheduler.core.draft import Draft
from gpu_scheduler.core.grants import preempt_all, preempts
from gpu_scheduler.core.ledger import COMING, GOING, needs, reload_s, start_s, wake_s
from gpu_scheduler.core.letting_go import allows, obstacle
from gpu_scheduler.core.model import Deployment, Instance, Phase, Request
from gpu_scheduler.core.sets import Pick
from gpu_scheduler.core.victims import AFTER, NOW, Found, Victims, Want


@dataclass
class Option:
    """One way to bring a deployment up."""

    deployment: Deployment
    cards: tuple[str, ...]
    mib: int
    delta: int  # on top of what is charged to it asleep
    ram: int
    seconds: float
    asleep: Instance | None = None
    alone: bool = False
    picks: list[Pick] = field(default_factory=list[Pick])
    cost: float = 0.0
    when: int = NOW

    @property
    def rank(self) -> tuple[int, float, float]:
        """The lower, the better."""
        return (self.when, self.cost, self.seconds)


def make_room(draft: Draft) -> None:
    """5. For each model that is waited for and not on its way: start it, wake it, or make room for it."""
    wants = _wants(draft)
    if not wants:
        return
    room = _Room(draft)
    for want in wants:
        if want.request is not None:
            room.for_memory(want, want.request)
        else:
            room.for_model(want)


def _wants(draft: Draft) -> list[Want]:
    wants: list[Want] = []
    for model, line in draft.lines.items():
        if not model:
            wants.extend(
                Want(
                    "",
                    due,
                    line,
                    head=request,
                    request=request,
                    factor=_factor(draft, request),
                    over_s=draft.now - request.pressing_at,
                    drains=_drains(draft, request, 0.0),
                    preempts=preempts(draft, request),
                )
                for due, _, request in line.order
                if request.id not in draft.gone
            )
            continue
        here = draft.by_model.get(model, ())
        if any(i.phase in COMING for i in here) or any(_serves(draft, i) for i in here):
            continue
        head = line.head[2]
        deployment = next(iter(draft.open.get(model, ())), None)
        load = reload_s(draft.state, deployment.key) if deployment is not None else 0.0
        wants.append(
            Want(
                model,
                line.due,
                line,
                head=head,
                factor=_factor(draft, head),
                load_s=load,
                over_s=draft.now - line.pressing_at,
                urgent=draft.state.policy.classes[head.service_class].protect_s > 0,
                drains=any(_drains(draft, request, load) for _, _, request in line.order),
                preempts=preempts(draft, head),
                spare_s=_spare_s(draft, head, load) if preempts(draft, head) else -1.0,
            )
        )
    wants.extend(
        Want(key[1], float("-inf"), None, only=key)
        for key in draft.state.wanted
        if not any(
            i.deployment == key and (i.phase in COMING or i.phase is Phase.READY)
            for i in draft.by_model.get(key[1], ())
        )
    )
    wants.extend(_expected(draft))
    wants.sort(key=lambda want: want.due)
    return wants


def _expected(draft: Draft) -> list[Want]:
    """What will probably be asked for at once by one who cannot wait, as if it were asked for now."""
    state, policy = draft.state, draft.state.policy
    wants: list[Want] = []
    for model, demand in state.demand.items():
        if draft.now >= demand.expected_until or model in draft.lines or model in state.banned:
            continue
        if any(i.phase is not Phase.ASLEEP for i in draft.by_model.get(model, ())):
            continue  # it is there, comes or goes
        draft.open[model] = [
            deployment
            for deployment in state.deployments.values()
            if deployment.model == model
            and draft.up(deployment.node)
            and obstacle(draft, deployment) is None
        ]
        due = (
            draft.now - max(kind.priority for kind in policy.classes.values()) / policy.aging_per_s
        )
        wants.append(Want(model, due, None, expected=True, urgent=True, drains=False))
    return wants


def _factor(draft: Draft, request: Request) -> float:
    return draft.state.policy.classes[request.service_class].dwell_factor


def _spare_s(draft: Draft, request: Request, load_s: float) -> float:
    """How long it may go on waiting until its model is brought up, to be served within its class's time."""
    slo_s = draft.state.policy.classes[request.service_class].slo_s
    waited_s = draft.now - request.arrived
    return slo_s - waited_s - load_s - first_byte_s(draft.state, request)


def _drains(draft: Draft, request: Request, load_s: float) -> bool:
    """Whether it has waited for so long that busy models are to make room: for what loads slowly, the longer."""
    policy = draft.state.policy
    after = policy.classes[request.service_class].drain_after_s
    return draft.now - request.arrived >= max(after, policy.drain_loads * load_s)


def _serves(draft: Draft, instance: Instance) -> bool:
    """Whether it will take more of its queue by itself."""
    return (
        instance.phase is Phase.READY
        and draft.up(instance.deployment[0])
        and instance.ordered is None
        and instance.deployment in draft.state.deployments
    )


class _Room:
    """Finds it, most urgent first."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.victims = Victims(draft)

    def for_model(self, want: Want) -> None:
        options: list[Option] = []
        for deployment in self._deployments(want):
            options.extend(self._options(want, deployment))
        if not options:
            return
        best = min(options, key=lambda option: option.rank)
        if best.when == NOW:
            self._bring_up(want, best)
            return
        if best.when == AFTER:
            worth = want.worth()
            if worth is None and self.victims.unneeded(best.picks):
                worth = "nobody will probably ask for what is there so soon"
            if worth is None:
                return
            for victim in best.picks:
                self._send(want, victim, worth)
        self.draft.claim(best.deployment, best.cards, best.delta, best.ram, best.alone)

    def _deployments(self, want: Want) -> list[Deployment]:
        state = self.draft.state
        if want.only is not None:
            deployment = state.deployments.get(want.only)
            choice = [deployment] if deployment and want.model not in state.banned else []
        else:
            choice = self.draft.open.get(want.model, [])
        result: list[Deployment] = []
        for deployment in choice:
            book = state.books.get(deployment.key)
            if (book is None or self.draft.now >= book.not_before) and self.draft.up(
                deployment.node
            ):
                result.append(deployment)
        return result

    def _options(self, want: Want, deployment: Deployment) -> list[Option]:
        if deployment.key in self.draft.brought:
            return []
        asleep: Instance | None = None
        for instance in self.draft.by_model.get(deployment.model, ()):
            if instance.deployment != deployment.key:
                continue
            if instance.id in self.draft.moved:
                return []
            if instance.phase is Phase.ASLEEP:
                asleep = instance
            elif instance.phase in GOING or instance.phase in (Phase.DRAINING, Phase.READY):
                return []  # it has to be gone before it can come back
        if asleep is None:
            option = self._start(want, deployment)
        elif _stale(asleep, deployment):
            return []
        else:
            option = self._wake(want, deployment, asleep)
            if option is None and want.pressing():
                option = self._elsewhere(want, deployment, asleep)
        return [option] if option is not None else []

    def _elsewhere(self, want: Want, deployment: Deployment, asleep: Instance) -> Option | None:
        """It sleeps on a card that it cannot have: it ends there if there is room on another."""
        option = self._start(want, deployment)
        if option is None or option.when == AFTER or set(option.cards) & set(asleep.cards):
            return None
        option.picks.append(Pick(asleep, True))
        option.when = AFTER
        return option

    def _wake(self, want: Want, deployment: Deployment, asleep: Instance) -> Option | None:
        state = self.draft.state
        if any(card not in self.draft.free for card in asleep.cards):
            return None
        all_needs = [needs(state, deployment, state.cards[c]) for c in asleep.cards]
        alone = any(need.alone for need in all_needs)
        mib = max(need.mib for need in all_needs)
        if alone:  # as at its start
            mib = max(mib, *(self.draft.free[c] + asleep.charge_mib for c in asleep.cards))
        mib = max(mib, asleep.charge_mib)
        option = Option(
            deployment,
            asleep.cards,
            mib,
            mib - asleep.charge_mib,
            max(0, deployment.ram_mib - asleep.ram_mib),
            wake_s(state, deployment),
            asleep,
            alone,
        )
        for card, need in zip(asleep.cards, all_needs, strict=True):
            own = state.cards[card].remnants.get(asleep.id)
            back = own.mib if own is not None else 0
            found = self.victims.pick(
                want,
                deployment,
                card,
                need.mib - asleep.charge_mib - back,
                alone=need.alone,
                own_pending=back,
            )
            if found is None or not _take(option, found):
                return None
        return option if self._host(want, option) else None

    def _start(self, want: Want, deployment: Deployment) -> Option | None:
        state = self.draft.state
        ways: list[tuple[tuple[int, float, int], str, int, Found]] = []
        alone = False
        for card in state.cards.values():
            if card.node != deployment.node or card.id not in self.draft.free:
                continue
            if deployment.cards and card.id not in deployment.cards:
                continue
            if want.head is not None and not allows(want.head, card):
                continue
            need = needs(state, deployment, card)
            # Alone on a card it is charged all of it: nobody knows yet what it takes.
            mib = max(need.mib, self.draft.free[card.id]) if need.alone else need.mib
            found = self.victims.pick(want, deployment, card.id, need.mib, alone=need.alone)
            if found is None:
                continue
            alone = alone or need.alone
            ways.append(((found[0], found[1], self.draft.free[card.id]), card.id, mib, found))
        if len(ways) < deployment.cards_needed:
            return None
        ways.sort(key=lambda way: way[0])
        chosen = ways[: deployment.cards_needed]
        mib = max(way[2] for way in chosen)
        cards = tuple(way[1] for way in chosen)
        seconds = start_s(state, deployment)
        option = Option(deployment, cards, mib, mib, deployment.ram_mib, seconds, alone=alone)
        for way in chosen:
            _take(option, way[3])
        return option if self._host(want, option) else None

    def _host(self, want: Want, option: Option) -> bool:
        """The same for the host's memory."""
        found = self.victims.pick_for_host(want, option.deployment, option.ram, option.picks)
        return found is not None and _take(option, found)

    def _bring_up(self, want: Want, option: Option) -> None:
        model = option.deployment.model
        who = _who(self.draft, want)
        if option.asleep is not None:
            why = f"{who}; {model} sleeps and wakes in about {option.seconds:.1f} s"
            self.draft.wake(option.deployment, option.asleep, option.mib, option.ram, why)
            return
        room = ", ".join(f"{self.draft.free[card]} MiB" for card in option.cards)
        why = f"{who}; {option.mib} of {room} free are charged, and a start takes about {option.seconds:.0f} s"
        self.draft.start(option.deployment, option.cards, option.mib, why)

    def _send(self, want: Want, victim: Pick, worth: str) -> None:
        instance = victim.instance
        model = instance.deployment[1]
        if self.draft.busy(instance):
            why = (
                f"{_who(self.draft, want)}; {worth}; {model} finishes what runs and then makes room"
            )
            self.draft.hold(instance, want.model, why)
            if want.head is not None and want.preempts:
                preempt_all(self.draft, instance, want.head)
            return
        if not victim.stop and not self.draft.can_sleep(instance) and self._stage(want, instance):
            return
        stop = victim.stop or not self.draft.can_sleep(instance)
        how = "ends" if stop else "goes to sleep"
        self.draft.send_away(
            instance, f"{_who(self.draft, want)}; {worth}; {model} {how} for it", stop
        )

    def _stage(self, want: Want, instance: Instance) -> bool:
        """The host has no room for its weights: what was asleep for longer ends, if there is time to wait for that."""
        deployment = self.draft.state.deployments[instance.deployment]
        if want.head is not None:
            slo = self.draft.state.policy.classes[want.head.service_class].slo_s
            if slo < 3 * (deployment.stop_s + deployment.sleep_s):
                return False
        oldest = self.victims.older_asleep(instance, want)
        if oldest is None:
            return False
        why = f"the host has no room for the weights of {deployment.model}, which was used later"
        for asleep in oldest:
            self.draft.send_away(asleep, why, True)
        return True

    def for_memory(self, want: Want, request: Request) -> None:
        """Bare memory for a lease: on the card that has it, else on the one where it costs least."""
        state = self.draft.state
        ways: list[tuple[tuple[int, float, int], str, list[Pick]]] = []
        for card in state.cards.values():
            if card.id not in self.draft.free or not allows(request, card):
                continue
            found = self.victims.pick(want, None, card.id, request.lease_mib)
            if found is not None:
                ways.append(((found[0], found[1], self.draft.free[card.id]), card.id, found[2]))
        if not ways:
            return
        (when, _, free), card_id, picks = min(ways, key=lambda way: way[0])
        if when == NOW:
            why = f"{request.lease_mib} of {free} MiB free on card {state.cards[card_id].index}"
            self.draft.grant_memory(request, state.cards[card_id], why)
            return
        if when == AFTER:
            worth = want.worth()
            if worth is None:
                return
            for victim in picks:
                self._send(want, victim, worth)
        self.draft.claim(None, (card_id,), request.lease_mib, 0, False)


def _stale(instance: Instance, deployment: Deployment) -> bool:
    return bool(instance.fingerprint) and instance.fingerprint != deployment.fingerprint


def _take(option: Option, found: Found) -> bool:
    when, cost, picks = found
    option.when = max(option.when, when)
    option.cost += cost
    known = {p.instance.id for p in option.picks}
    option.picks.extend(p for p in picks if p.instance.id not in known)
    return True


def _who(draft: Draft, want: Want) -> str:
    if want.expected:
        return f"{want.model} is asked for a moment after what has just been asked for"
    if want.head is None:
        return "the owner wants it"
    waiting = len(want.line.order) if want.line else 1
    return (
        f"{waiting} wait{'s' if waiting == 1 else ''} for {want.model or 'memory'}, the first of class "
        f"{want.head.service_class.value} for {draft.now - want.head.arrived:.1f} s"
    )
