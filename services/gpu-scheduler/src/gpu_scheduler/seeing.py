"""What a node says of itself, turned into what the core is told. Pure, but for the clock's offset that it learns.

The core believes a reading only for so long, and only what is read after a node said "stopped" shows what that freed.
So it must know when a reading began, on our clock: the node's own time, moved by the least delay that was seen.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime

from contracts.gpunode import DeclaredModel, InstanceState, NodeState

from gpu_scheduler.core.events import CardSeen, InstanceSeen, NodeSeen
from gpu_scheduler.core.model import Deployment, Phase

# A node whose clock was set back is believed again after this many lines: until then its readings count as old.
LINES_REMEMBERED = 60
TICK_SECONDS = 1e-6
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Of what is remembered nothing was read in this life: it books nothing.
LONG_AGO = -1e9


class NodeClock:
    """Maps instants of one node's clock to our monotonic one."""

    def __init__(self) -> None:
        self._boot: str | None = None
        self._offsets: deque[float] = deque(maxlen=LINES_REMEMBERED)
        self._last = float("-inf")

    def read_at(self, boot: str, at: datetime, arrived: float) -> float:
        """Return when a line's reading began, on our clock: later than the line before, never later than `arrived`."""
        if boot != self._boot:
            self._boot = boot
            self._offsets.clear()
        told = at.timestamp()
        self._offsets.append(arrived - told)
        # A smaller delay than any before moves the mapping, and must not move a reading before the last.
        self._last = min(arrived, max(told + min(self._offsets), self._last + TICK_SECONDS))
        return self._last


def word_of(state: NodeState) -> NodeState:
    """Return what is to be remembered of a node that can be woken: what it has, and nothing of what it is doing."""
    return state.model_copy(
        update={
            "instances": (),
            "seq": 0,
            "at": EPOCH,
            "ram_used_mib": 0,
            "error": None,
            "leaving": False,
            "cards": tuple(
                card.model_copy(
                    update={
                        "used_mib": 0,
                        "ours": (),
                        "utilisation_percent": None,
                        "watts": None,
                        "temperature_c": None,
                        "error": None,
                    }
                )
                for card in state.cards
            ),
        }
    )


def node_seen(state: NodeState, read_at: float, wakeable: bool) -> NodeSeen:
    """Return the event for a line of a node."""
    ours = sum(_ram_mib(instance, state.models) for instance in state.instances if _alive(instance))
    return NodeSeen(
        node=state.node,
        boot=state.boot,
        read_at=read_at,
        cards=tuple(
            CardSeen(
                card.id,
                card.index,
                card.total_mib,
                card.used_mib,
                {use.instance_id: use.used_mib for use in card.ours},
                card.error,
            )
            for card in state.cards
        ),
        deployments=tuple(_deployment(state.node, model) for model in state.models),
        instances=tuple(_instance(instance) for instance in state.instances),
        ram_budget_mib=state.ram_budget_mib,
        ram_foreign_mib=max(0, state.ram_used_mib - ours),
        wakeable=wakeable,
    )


def _alive(instance: InstanceState) -> bool:
    return instance.phase not in ("stopped", "failed")


def _ram_mib(instance: InstanceState, models: tuple[DeclaredModel, ...]) -> int:
    if instance.ram_mib is not None:
        return instance.ram_mib
    declared = next((model for model in models if model.model == instance.model), None)
    if declared is None:
        return 0
    return declared.asleep_ram_mib if instance.phase == "asleep" else declared.ram_mib


def _deployment(node: str, declared: DeclaredModel) -> Deployment:
    return Deployment(
        node=node,
        model=declared.model,
        kind=declared.kind,
        fingerprint=declared.fingerprint,
        predicted_mib=declared.footprint.total_mib if declared.footprint else 0,
        asleep_mib=declared.asleep_mib,
        ram_mib=declared.ram_mib,
        asleep_ram_mib=declared.asleep_ram_mib,
        can_sleep=declared.can_sleep,
        cards=declared.cards,
        cards_needed=declared.cards_needed,
        slots=declared.slots,
        start_s=declared.start_seconds,
        wake_s=declared.wake_seconds,
        sleep_s=declared.sleep_seconds,
        stop_s=declared.stop_seconds,
        group=declared.group,
        pinned=declared.pinned,
        min_dwell_s=declared.min_dwell_seconds,
        idle_sleep_s=declared.idle_sleep_seconds,
        idle_stop_s=declared.idle_stop_seconds,
        # Without a footprint nothing can be booked, and what cannot be booked is not started.
        enabled=declared.error is None and declared.footprint is not None,
    )


def _instance(instance: InstanceState) -> InstanceSeen:
    return InstanceSeen(
        id=instance.instance_id,
        model=instance.model,
        cards=instance.cards,
        phase=Phase(instance.phase),
        fence=instance.fence,
        peak_mib=dict(instance.peak_mib),
        error=instance.error,
        oom=instance.out_of_memory,
        took_s=instance.took_seconds,
        in_flight=instance.in_flight,
        fingerprint=instance.fingerprint,
    )
