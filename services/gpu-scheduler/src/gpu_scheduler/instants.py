"""When the passing of time alone may change the decision. The loop wakes then, and sleeps otherwise."""

from __future__ import annotations

from gpu_scheduler.core.model import State

# Patience, dwelling and places that free up are looked at this often, while anybody waits or is to be moved.
LOOK_SECONDS = 0.25


def next_instant(state: State, now: float) -> float | None:
    """Return the next instant at which `plan` may decide otherwise though nothing has happened; None: not before an event.

    A node that is up speaks every second, so that idle times and readings that grow old need no instant of their own.
    """
    if state.queue or state.doomed or state.wanted:
        return now + LOOK_SECONDS
    ends = [
        request.lease_until
        for request in state.granted.values()
        if request.lease and request.lease_until is not None
    ]
    return min(ends, default=None)
