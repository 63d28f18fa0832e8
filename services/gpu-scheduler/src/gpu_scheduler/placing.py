"""Where those who wait stand: positions and expected starts, as the core estimates them, ready to be sent."""

from __future__ import annotations

from contracts.scheduling import Queued

from gpu_scheduler.core.estimate import estimates
from gpu_scheduler.core.model import State


class Placing:
    """Remembers what was estimated last, and what each has been told."""

    def __init__(self) -> None:
        self._last: dict[str, Queued] = {}
        self._told: dict[str, Queued] = {}

    def places(self, state: State, now: float) -> dict[str, Queued]:
        """Return the place of everybody who waits, by the core's ids."""
        self._last = {
            name: Queued(
                request_id=name.partition(":")[2],
                position=place.position,
                expected_start_seconds=place.seconds,
                why=place.why[:500],
            )
            for name, place in estimates(state, now).items()
        }
        self._told = {name: told for name, told in self._told.items() if name in self._last}
        return self._last

    def last(self, id: str) -> Queued | None:
        """Return what was estimated last for one."""
        return self._last.get(id)

    def is_news(self, id: str, queued: Queued) -> bool:
        """Whether one has not been told this yet; from now on it has."""
        before = self._told.get(id)
        self._told[id] = queued
        return before is None or _differs(before, queued)

    def forget(self, prefix: str) -> None:
        """Whoever asked for these is back, and has to be told anew."""
        for name in [name for name in self._told if name.startswith(prefix)]:
            del self._told[name]


def _differs(before: Queued, now: Queued) -> bool:
    if (before.position, before.why) != (now.position, now.why):
        return True
    was, is_ = before.expected_start_seconds, now.expected_start_seconds
    if was is None or is_ is None:
        return was is not is_
    # A start that comes nearer by the second is no news; one that moves is.
    return abs(was - is_) > max(1.0, 0.2 * was)
