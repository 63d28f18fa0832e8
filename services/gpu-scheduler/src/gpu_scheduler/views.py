"""The state as it is shown: `GET /v1/status`. Reads only; looking never causes a switch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from contracts.gpunode import CardReading, DeclaredModel, NodeState
from contracts.scheduling import (
    CardView,
    InstanceView,
    ModelView,
    NodeView,
    Part,
    Queued,
    WaitingView,
)

from gpu_scheduler.core.ledger import by_card, card_sum, need_of
from gpu_scheduler.core.model import Card, Deployment, Instance, Phase, State

QUEUE_SHOWN_MAX = 200
_ORDER = (
    *(Phase.READY, Phase.DRAINING, Phase.WAKING, Phase.STARTING),
    *(Phase.SLEEPING, Phase.ASLEEP, Phase.STOPPING),
)


class Views:
    """One look at the state, at one instant."""

    def __init__(
        self, state: State, said: Mapping[str, NodeState], now: float, wall: datetime
    ) -> None:
        self._state = state
        self._said = said
        self._now = now
        self._wall = wall
        self._declared: dict[tuple[str, str], DeclaredModel] = {
            (node.node, model.model): model for node in said.values() for model in node.models
        }
        self._read: dict[str, CardReading] = {
            card.id: card for node in said.values() for card in node.cards
        }
        self._bare = any(not request.model for request in state.granted.values())

    def instant(self, at: float) -> datetime | None:
        """Return a time of the monotonic clock as an instant; None for never."""
        if at == float("-inf"):
            return None
        return self._wall - timedelta(seconds=self._now - at)

    def nodes(self, joined: list[str]) -> tuple[NodeView, ...]:
        """Every node that has joined, heard or not."""
        return tuple(self._node(name) for name in sorted(joined))

    def _node(self, name: str) -> NodeView:
        node, said = self._state.nodes.get(name), self._said.get(name)
        if node is None:
            return NodeView(
                name=name,
                state="away",
                last_seen=None,
                ram_budget_mib=0,
                ram_used_mib=0,
                error=said.error if said else None,
            )
        tried = node.wake_tried_at
        waking = tried is not None and self._now - tried < self._state.policy.node_wake_s
        return NodeView(
            name=name,
            state=("waking" if waking else "away")
            if not node.up
            else "draining"
            if node.draining
            else "up",
            last_seen=self.instant(node.last_seen),
            ram_budget_mib=max(0, node.ram_budget_mib),
            ram_used_mib=said.ram_used_mib if said else 0,
            error=said.error if said else None,
        )

    def cards(self) -> tuple[CardView, ...]:
        """Every card, booked and read, part by part."""
        on = by_card(self._state)
        cards = sorted(self._state.cards.values(), key=lambda card: (card.node, card.index))
        return tuple(self._card(card, on[card.id]) for card in cards)

    def _card(self, card: Card, instances: list[Instance]) -> CardView:
        sums = card_sum(self._state, card, instances, self._bare, self._now)
        read = self._read.get(card.id)
        age = self._now - card.read_at
        stale = card.error is not None or age > self._state.policy.reading_age_max_s
        return CardView(
            id=card.id,
            node=card.node,
            index=card.index,
            name=read.name if read else card.id,
            total_mib=card.total_mib,
            used_mib=card.used_mib,
            booked_mib=max(0, sums.booked),
            foreign_mib=max(0, sums.foreign),
            free_mib=max(0, sums.free),
            parts=self._parts(card, instances, max(0, sums.foreign), max(0, sums.free)),
            utilisation_percent=read.utilisation_percent if read else None,
            watts=read.watts if read else None,
            temperature_c=read.temperature_c if read else None,
            read_at=self.instant(card.read_at),
            stale=stale,
        )

    def _parts(
        self, card: Card, instances: list[Instance], foreign: int, free: int
    ) -> tuple[Part, ...]:
        parts: list[Part] = []
        for instance in sorted(instances, key=lambda instance: instance.id):
            parts += self._of_instance(instance)
        for request in self._state.granted.values():
            if not request.model and request.lease_card == card.id:
                parts.append(Part(what="lease", mib=request.lease_mib))
        gone = sum(remnant.mib for remnant in card.remnants.values())
        reserve = min(self._state.policy.reserve_mib, card.total_mib)
        parts.append(Part(what="remnant", mib=max(0, gone)))
        parts.append(Part(what="foreign", mib=foreign))
        parts.append(Part(what="reserve", mib=reserve))
        parts.append(Part(what="free", mib=free))
        # What was read beyond all that is booked: a start that uses its memory sooner than its process is known.
        unknown = card.total_mib - sum(part.mib for part in parts)
        if unknown > 0:
            parts.append(Part(what="other", mib=unknown))
        return tuple(part for part in parts if part.mib > 0 or part.what == "free")

    def _of_instance(self, instance: Instance) -> list[Part]:
        model, left = instance.deployment[1], max(0, instance.charge_mib)
        declared = self._declared.get(instance.deployment)
        print_ = declared.footprint if declared else None
        if print_ is None or instance.phase is Phase.ASLEEP:
            return [Part(what="other", model=model, mib=left)]
        weights = min(left, print_.weights_mib)
        cache = min(left - weights, print_.cache_mib)
        return [
            Part(what="weights", model=model, mib=weights),
            Part(what="cache", model=model, mib=cache),
            Part(what="other", model=model, mib=left - weights - cache),
        ]

    def instances(self) -> tuple[InstanceView, ...]:
        """Every container."""
        return tuple(
            InstanceView(
                id=instance.id,
                model=instance.deployment[1],
                node=instance.deployment[0],
                cards=instance.cards,
                phase=instance.phase.value,
                since=self.instant(instance.since) or self._wall,
                charge_mib=max(0, instance.charge_mib),
                running=len(instance.running),
                error=instance.error,
            )
            for instance in sorted(self._state.instances.values(), key=lambda one: one.id)
        )

    def models(self) -> tuple[ModelView, ...]:
        """Every model of every node's catalogue, and how it fares."""
        queued = Counter(
            request.model for request in self._state.requests.values() if request.queued
        )
        instances: dict[tuple[str, str], list[Instance]] = {}
        for instance in self._state.instances.values():
            instances.setdefault(instance.deployment, []).append(instance)
        return tuple(
            self._model(deployment, instances.get(key, []), queued[deployment.model])
            for key, deployment in sorted(self._state.deployments.items())
        )

    def _model(self, deployment: Deployment, instances: list[Instance], queued: int) -> ModelView:
        state = self._state
        declared, book = self._declared.get(deployment.key), state.books.get(deployment.key)
        phases = {instance.phase for instance in instances}
        phase = next((one.value for one in _ORDER if one in phases), "stopped")
        problem = (book.refused_why or book.error) if book else None
        note = (declared.error if declared else None) or problem or ""
        return ModelView(
            model=deployment.model,
            node=deployment.node,
            kind=declared.kind if declared else "other",
            phase=phase,
            predicted_mib=deployment.predicted_mib,
            peak_mib=deployment.peak_mib,
            charge_mib=need_of(deployment, state.policy).mib if deployment.enabled else 0,
            slots=deployment.slots,
            pinned=state.pins.get(deployment.model, deployment.pinned),
            banned=deployment.model in state.banned,
            can_sleep=deployment.can_sleep,
            queued=queued,
            running=sum(len(instance.running) for instance in instances),
            note=note[:500],
        )

    def queue(self, places: Mapping[str, Queued]) -> tuple[WaitingView, ...]:
        """The head of the queue, in its order."""
        waiting: list[tuple[float, WaitingView]] = []
        for name, place in places.items():
            request = self._state.requests.get(name)
            if request is None or not request.queued:
                continue
            view = WaitingView(
                request_id=place.request_id,
                model=request.model or None,
                service_class=request.service_class.value,
                caller=request.caller[:200],
                agent=request.agent,
                lease=request.lease,
                position=place.position,
                waited_seconds=max(0.0, self._now - request.arrived),
                expected_start_seconds=place.expected_start_seconds,
                why=place.why,
            )
            waiting.append((request.due, view))
        waiting.sort(key=lambda pair: pair[0])
        return tuple(view for _, view in waiting[:QUEUE_SHOWN_MAX])
