"""What a model is charged, and what a card and a host have left.

    charge  = max(predicted, measured peak) + margin
    foreign = used - sum(ours)                       what others use of the card, as it was read
    free    = total - reserve - max(booked + foreign, used + charges of what is starting and not yet in ours)

A charge is booked before a start or a wake is sent. It stays until the card has been read after the stop or the sleep
(a remnant); what is on the card then and in no known process is foreign by the second line.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from gpu_scheduler.core.model import Card, Deployment, DeploymentKey, Instance, Phase, Policy, State

COMING = frozenset({Phase.STARTING, Phase.WAKING})
RESIDENT = frozenset({Phase.STARTING, Phase.READY, Phase.DRAINING, Phase.WAKING})
GOING = frozenset({Phase.SLEEPING, Phase.STOPPING})


@dataclass(frozen=True)
class Need:
    """What one start takes of each card. `alone`: there is no room for its margin beside others, or it ran out there."""

    mib: int
    alone: bool
    why: str


@dataclass(frozen=True)
class CardSum:
    """One card's arithmetic at this moment."""

    total: int
    reserve: int
    booked: int
    foreign: int
    free: int
    pending: int  # what will be free when that which is going has gone
    leased: int  # of what is booked: bare memory


def measured_charge(peak_mib: int, policy: Policy) -> int:
    """What a known peak is charged."""
    return ceil(peak_mib * (1 + policy.margin_measured)) + policy.margin_measured_mib


def need_of(deployment: Deployment, policy: Policy) -> Need:
    """What a deployment is charged on each of its cards, beside others."""
    peak = deployment.peak_mib
    base = max(deployment.predicted_mib, peak or 0)
    if peak is not None:
        mib = measured_charge(base, policy)
        what = f"peak {peak} MiB measured" if peak == base else f"predicted {base} MiB"
        return Need(
            mib, False, f"{what} + {policy.margin_measured:.0%} + {policy.margin_measured_mib}"
        )
    mib = ceil(base * (1 + policy.margin_unmeasured)) + policy.margin_unmeasured_mib
    why = f"predicted {base} MiB + {policy.margin_unmeasured:.0%} + {policy.margin_unmeasured_mib}"
    return Need(mib, False, why)


def need_alone(deployment: Deployment, policy: Policy) -> Need:
    """What a deployment needs at least when it has its cards to itself: if it takes more, nobody else is harmed."""
    base = max(deployment.predicted_mib, deployment.peak_mib or 0)
    if deployment.peak_mib is not None:
        mib = base + policy.margin_measured_mib
        return Need(mib, True, f"{base} MiB + {policy.margin_measured_mib}, alone on the card")
    mib = ceil(base * (1 + policy.margin_alone)) + policy.margin_unmeasured_mib
    why = f"predicted {base} MiB + {policy.margin_alone:.0%} + {policy.margin_unmeasured_mib}"
    return Need(mib, True, f"{why}, alone on the card")


def needs(state: State, deployment: Deployment, card: Card) -> Need:
    """What it needs on this card: beside others if that is possible at all, else the card to itself."""
    policy = state.policy
    book = state.books.get(deployment.key)
    beside = need_of(deployment, policy)
    if book is not None and book.alone:
        return need_alone(deployment, policy)
    if beside.mib > usable(card, policy):
        return need_alone(deployment, policy)
    return beside


def usable(card: Card, policy: Policy) -> int:
    """What a card has for models if nothing of ours were on it: foreign use that lasts is not counted in."""
    return card.total_mib - policy.reserve_mib - min(card.foreign_low)


def foreign_mib(card: Card) -> int:
    """What others use, by the last reading."""
    return max(0, card.used_mib - sum(card.ours_mib.values()))


def leased_mib(state: State, card: Card) -> int:
    """Bare memory that is leased on a card.

    What its holders use is foreign on top of it, unless the node names their processes by the lease: memory that grows
    meanwhile may be anybody's, and to take it for theirs would give it away twice.
    """
    return sum(
        request.lease_mib
        for request in state.granted.values()
        if not request.model and request.lease_card == card.id
    )


def card_sum(
    state: State, card: Card, instances: list[Instance], bare: bool, now: float
) -> CardSum:
    """The arithmetic of one card, given the instances on it; `bare`: bare memory is leased somewhere."""
    booked = pending = coming = 0
    for instance in instances:
        booked += instance.charge_mib
        if instance.phase in COMING:
            coming += max(0, instance.charge_mib - card.ours_mib.get(instance.id, 0))
        elif instance.phase is Phase.STOPPING:
            pending += instance.charge_mib
        elif instance.phase is Phase.SLEEPING:
            deployment = state.deployments.get(instance.deployment)
            left = deployment.asleep_mib if deployment else 0
            pending += max(0, instance.charge_mib - left)
    for remnant in card.remnants.values():
        booked += remnant.mib
        # What has not come back by then is not waited for: it may never come.
        if now - remnant.since <= state.policy.remnant_timeout_s:
            pending += remnant.mib
    foreign = foreign_mib(card)
    leased = leased_mib(state, card) if bare else 0
    booked += leased
    reserve = state.policy.reserve_mib
    taken = max(booked + foreign, card.used_mib + coming)
    free = card.total_mib - reserve - taken
    return CardSum(card.total_mib, reserve, booked, foreign, free, pending, leased)


def by_card(state: State) -> dict[str, list[Instance]]:
    """The instances on each card."""
    result: dict[str, list[Instance]] = {card: [] for card in state.cards}
    for instance in state.instances.values():
        for card in instance.cards:
            if card in result:
                result[card].append(instance)
    return result


def books_new(state: State, card: Card, now: float) -> bool:
    """Whether anything new may be booked on a card: its node is up and not draining, its reading fresh."""
    node = state.nodes.get(card.node)
    return (
        node is not None
        and node.up
        and not node.draining
        and card.error is None
        and now - card.read_at <= state.policy.reading_age_max_s
    )


def ram_sums(state: State) -> dict[str, tuple[int, int]]:
    """By node: host memory that is left of its budget, and what will be free when that which stops has stopped."""
    free = {n.name: n.ram_budget_mib - n.ram_foreign_mib for n in state.nodes.values()}
    pending = dict.fromkeys(free, 0)
    for instance in state.instances.values():
        node = instance.deployment[0]
        if node not in free:
            continue
        free[node] -= instance.ram_mib
        if instance.phase is Phase.STOPPING:
            pending[node] += instance.ram_mib
    return {name: (free[name], pending[name]) for name in free}


def reload_s(state: State, key: DeploymentKey) -> float:
    """How long it takes to bring a deployment back once it has been sent away, as measured or declared."""
    deployment = state.deployments.get(key)
    if deployment is None:
        return 0.0
    return wake_s(state, deployment) if sleeps(state, deployment) else start_s(state, deployment)


def bring_up_s(state: State, model: str) -> float:
    """How long it takes to bring a model back, where that is quickest; 0 where nobody declares it."""
    keys = [key for key in state.deployments if key[1] == model]
    return min((reload_s(state, key) for key in keys), default=0.0)


def start_s(state: State, deployment: Deployment) -> float:
    """How long a start takes."""
    book = state.books.get(deployment.key)
    return book.start_s if book and book.start_s is not None else deployment.start_s


def wake_s(state: State, deployment: Deployment) -> float:
    """How long a wake takes."""
    book = state.books.get(deployment.key)
    return book.wake_s if book and book.wake_s is not None else deployment.wake_s


def work_s(state: State, deployment: Deployment | None) -> float:
    """How long a request to it takes, as measured; 2 s if none has ended yet."""
    book = state.books.get(deployment.key) if deployment else None
    return book.work_s if book and book.work_s is not None else 2.0


def sleeps(state: State, deployment: Deployment) -> bool:
    """Whether it can sleep, and has shown that it gives its memory back."""
    book = state.books.get(deployment.key)
    return deployment.can_sleep and (book is None or book.sleep_failures < 2)
