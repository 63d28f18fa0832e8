"""What GPU nodes offer: which models a gateway may ask for now, for text of which tier, and what a request draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from contracts.gpunode import DeclaredModel
from contracts.scheduling import Drawn, Offered, OfferedModel

from gpu_scheduler.core.ledger import start_s, wake_s, work_s
from gpu_scheduler.core.model import Deployment, Phase, State
from gpu_scheduler.fleet import Fleet

Tier = Literal["convenience", "sensitive", "sacred"]
TIERS: tuple[Tier, ...] = ("convenience", "sensitive", "sacred")
OFFER_SECONDS = 1.0
MODELS_MAX = 512


@dataclass(frozen=True, slots=True)
class _Judged:
    model: str
    available: bool
    resident: bool
    why: str
    shown: list[DeclaredModel]


class Offers:
    """What is offered, compared with what was offered last."""

    def __init__(self, fleet: Fleet, *, disabled: bool) -> None:
        self._fleet = fleet
        self._disabled = disabled
        self._last: Offered | None = None
        self._last_key: object = None
        self._looked_at = float("-inf")

    def nodes_for(self, model: str, tier: Tier) -> frozenset[str] | None:
        """Return the nodes where a model may be shown text of this tier; None when that is no limit."""
        declared = [
            (name, one.max_tier)
            for name, state in self._fleet.said().items()
            for one in state.models
            if one.model == model
        ]
        allowed = [name for name, most in declared if TIERS.index(most) >= TIERS.index(tier)]
        return None if len(allowed) == len(declared) else frozenset(allowed)

    def changed(self, state: State, now: float) -> Offered | None:
        """Return what is offered if that is news: at once when something comes or goes, else once a second."""
        judged = self._judged(state, now)
        key = tuple((one.model, one.available, one.resident, one.why) for one in judged)
        soon = key != self._last_key
        if not soon and now - self._looked_at < OFFER_SECONDS:
            return None
        self._looked_at, self._last_key = now, key
        offered = _offered(judged, state, now)
        if not soon and not _differs(self._last, offered):
            return None
        self._last = offered
        return offered

    def message(self, state: State, now: float) -> Offered:
        """Return what is offered, for one who has just come."""
        return _offered(self._judged(state, now), state, now)

    def _judged(self, state: State, now: float) -> list[_Judged]:
        if self._disabled:
            return []
        by_model: dict[str, list[tuple[str, DeclaredModel]]] = {}
        for name, said in self._fleet.said().items():
            for declared in said.models:
                by_model.setdefault(declared.model, []).append((name, declared))
        resident = {
            instance.deployment[1]
            for instance in state.instances.values()
            if instance.phase is Phase.READY and self._fleet.is_up(instance.deployment[0])
        }
        judged: list[_Judged] = []
        for model, found in sorted(by_model.items())[:MODELS_MAX]:
            why = [self._why_not(state, node, declared, now) for node, declared in found]
            open_ = [declared for (_, declared), no in zip(found, why, strict=True) if not no]
            shown = open_ or [declared for _, declared in found]
            judged.append(
                _Judged(
                    model,
                    bool(open_),
                    bool(open_) and model in resident,
                    "" if open_ else why[0][:500],
                    shown,
                )
            )
        return judged

    def _why_not(self, state: State, name: str, declared: DeclaredModel, now: float) -> str:
        """Return why an ask would be refused at once; empty when it would be queued."""
        node = state.nodes.get(name)
        deployment = state.deployments.get((name, declared.model))
        if state.paused:
            return "the owner has paused GPU scheduling"
        if declared.model in state.banned:
            return "the owner has banned the model"
        if node is None or deployment is None:
            return f"{name} is not read yet"
        if not node.up and not node.wakeable:
            return f"{name} is away"
        if not node.up and _would_not_wake(state, node.wake_tried_at, now):
            return f"{name} was woken, and does not answer"
        if node.draining:
            return f"{name} is being drained"
        if not deployment.enabled:
            return declared.error or "the model cannot be started"
        return _failing(state, deployment, now)

    def drawn(self, state: State) -> Iterator[tuple[str, Drawn]]:
        """What one running request draws of its cards, for each gateway that runs any, where the cards tell."""
        watts = {
            card.id: card.watts
            for said in self._fleet.said().values()
            for card in said.cards
            if card.watts is not None
        }
        if not watts:
            return
        sharing: dict[str, int] = {}
        for instance in state.instances.values():
            for card in instance.cards:
                sharing[card] = sharing.get(card, 0) + len(instance.running)
        shares = {
            instance.id: sum(
                watts[card] / sharing[card] for card in instance.cards if card in watts
            )
            for instance in state.instances.values()
            if instance.running and any(card in watts for card in instance.cards)
        }
        of: dict[str, dict[str, float]] = {}
        for request in state.granted.values():
            if request.instance in shares and not request.lease:
                gateway = request.id.partition(":")[0]
                of.setdefault(gateway, {})[request.instance] = round(shares[request.instance], 1)
        for gateway, share in of.items():
            yield gateway, Drawn(watts=dict(list(share.items())[:256]))


def _would_not_wake(state: State, tried_at: float | None, now: float) -> bool:
    """Whether it has been waited for in vain: until it is tried again, an ask is refused."""
    policy = state.policy
    return tried_at is not None and policy.node_wake_s <= now - tried_at < policy.node_wake_retry_s


def _failing(state: State, deployment: Deployment, now: float) -> str:
    book = state.books.get(deployment.key)
    if book is not None and book.refused_why and now < book.not_before:
        return book.refused_why
    return ""


def _offered(judged: list[_Judged], state: State, now: float) -> Offered:
    return Offered(
        models=tuple(
            OfferedModel(
                model=one.model,
                kind=one.shown[0].kind,
                available=one.available,
                resident=one.resident,
                max_tier=_most_private(one.shown),
                context_tokens=min(
                    (d.context_tokens for d in one.shown if d.context_tokens is not None),
                    default=None,
                ),
                expected_wait_seconds=expected_wait(state, one.model, now)
                if one.available
                else None,
                why=one.why,
            )
            for one in judged
        )
    )


def _most_private(shown: list[DeclaredModel]) -> Tier:
    return TIERS[max(TIERS.index(one.max_tier) for one in shown)]


def _differs(before: Offered | None, now: Offered) -> bool:
    if before is None or len(before.models) != len(now.models):
        return True
    for was, is_ in zip(before.models, now.models, strict=True):
        left, right = was.expected_wait_seconds, is_.expected_wait_seconds
        if (was.kind, was.max_tier, was.context_tokens) != (
            is_.kind,
            is_.max_tier,
            is_.context_tokens,
        ) or (left is None) != (right is None):
            return True
        if left is not None and right is not None and abs(left - right) > max(1.0, 0.25 * left):
            return True
    return False


def expected_wait(state: State, model: str, now: float) -> float | None:
    """Return about how long one who asks now would wait, were nothing else in the way; None when nobody can say."""
    deployments = [one for one in state.deployments.values() if one.model == model]
    if not deployments:
        return None
    first = deployments[0]
    queued = len(state.queue.get(model, ()))
    here = [one for one in state.instances.values() if one.deployment[1] == model]
    ready = [one for one in here if one.phase is Phase.READY]
    places = first.slots * max(1, len(ready))
    ahead = queued + sum(len(one.running) for one in ready)
    busy = max(0, ahead + 1 - places) * work_s(state, first) / places
    if ready:
        return round(busy, 1)
    for one in here:
        left = now - one.since
        if one.phase is Phase.WAKING:
            return round(busy + max(0.0, wake_s(state, first) - left), 1)
        if one.phase is Phase.STARTING:
            return round(busy + max(0.0, start_s(state, first) - left), 1)
    asleep = any(one.phase is Phase.ASLEEP for one in here)
    return round(busy + (wake_s(state, first) if asleep else start_s(state, first)), 1)
