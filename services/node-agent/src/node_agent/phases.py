"""Which verb an instance may be told in which phase, and what follows. Pure: no engine, no clock.

start ->  starting -> ready <-> draining
                        |           |
                        +-> sleeping -> asleep -> waking -> ready
          any of them -> stopping -> stopped;   any of them -> failed
"""

from __future__ import annotations

from typing import Literal

from contracts.gpunode import InstancePhase

Verb = Literal["wake", "sleep", "drain", "stop"]
Answer = Literal["go", "nothing", "refuse"]

RUNNING: frozenset[InstancePhase] = frozenset(
    {"starting", "ready", "draining", "sleeping", "asleep", "waking", "stopping"}
)
ENDED: frozenset[InstancePhase] = frozenset({"stopped", "failed"})
# A container runs, and the card may hold its memory.
HOLDING = RUNNING

# Where a verb leads at once; what is not here is refused.
_LEADS: dict[Verb, dict[InstancePhase, InstancePhase]] = {
    "wake": {"asleep": "waking", "draining": "ready"},
    "sleep": {"ready": "sleeping", "draining": "sleeping"},
    "drain": {"ready": "draining"},
    "stop": {
        "starting": "stopping",
        "ready": "stopping",
        "draining": "stopping",
        "sleeping": "stopping",
        "asleep": "stopping",
        "waking": "stopping",
        "failed": "stopped",  # its container is gone already
    },
}
# Done, or on its way there: repeating the wish changes nothing.
_CONTENT: dict[Verb, frozenset[InstancePhase]] = {
    "wake": frozenset({"ready", "waking", "starting"}),
    "sleep": frozenset({"asleep", "sleeping"}),
    "drain": frozenset({"draining", "sleeping", "asleep"}),
    "stop": frozenset({"stopping", "stopped"}),
}


def answer(phase: InstancePhase, verb: Verb) -> tuple[Answer, InstancePhase]:
    """Return whether a verb is carried out, changes nothing or is refused, and the phase that follows at once."""
    if phase in _CONTENT[verb]:
        return "nothing", phase
    led = _LEADS[verb].get(phase)
    return ("refuse", phase) if led is None else ("go", led)


def may_follow(before: InstancePhase, after: InstancePhase) -> bool:
    """Whether an instance may go from one phase to the other at all."""
    return after in _FOLLOWS[before]


_FOLLOWS: dict[InstancePhase, frozenset[InstancePhase]] = {
    "starting": frozenset({"ready", "asleep", "stopping", "failed"}),
    "ready": frozenset({"draining", "sleeping", "stopping", "failed"}),
    "draining": frozenset({"ready", "sleeping", "stopping", "failed"}),
    "sleeping": frozenset({"asleep", "stopping", "failed"}),
    "asleep": frozenset({"waking", "stopping", "failed"}),
    "waking": frozenset({"ready", "stopping", "failed"}),
    "stopping": frozenset({"stopped", "failed"}),
    "stopped": frozenset(),
    "failed": frozenset({"stopped"}),
}
