"""What was decided and why, in sentences: the last few in memory for the status, all but grants kept for a week."""

from __future__ import annotations

from collections import deque

from contracts.scheduling import Decision
from kit.clock import Clock

from gpu_scheduler.core.actions import Action, Grant
from gpu_scheduler.core.model import Request, State
from gpu_scheduler.keeping import Keeper
from gpu_scheduler.store import Decided

SHOWN_MAX = 200
_VERBS = {"WakeNode": "wake_node"}


class Journal:
    """Notes every action. Grants are too many to keep, and each says why to its own caller."""

    def __init__(self, clock: Clock, keeper: Keeper) -> None:
        self._clock = clock
        self._keeper = keeper
        self._shown: deque[Decision] = deque(maxlen=SHOWN_MAX)

    def note(self, action: Action, request: Request | None, state: State) -> None:
        """Note one action."""
        name = type(action).__name__
        verb = _VERBS.get(name, name.lower())
        subject = _subject(action, request, state)
        why = action.why[:500]
        at = self._clock.now()
        self._shown.append(Decision(at=at, verb=verb, on=subject, why=why))
        if not isinstance(action, Grant):
            self._keeper.decided(Decided(at, verb, subject, why))

    def shown(self) -> tuple[Decision, ...]:
        """Return the last decisions, newest first."""
        return tuple(reversed(self._shown))


def _subject(action: Action, request: Request | None, state: State) -> str:
    """Name what it was decided about: a model on a node, a model that was asked for, a node. Never who asked."""
    instance = state.instances.get(getattr(action, "instance_id", ""))
    if instance is not None:
        return f"{instance.deployment[1]} on {instance.deployment[0]}"[:300]
    if request is not None:
        return (request.model or f"{request.lease_mib} MiB")[:300]
    return str(getattr(action, "node", getattr(action, "instance_id", "")))[:300]
