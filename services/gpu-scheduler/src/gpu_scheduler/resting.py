"""Lets a GPU node sleep that nobody has used for long: only where the owner set a time, the node agrees, and it can be woken."""

from __future__ import annotations

from contracts.gpunode import NodeAction

from gpu_scheduler.core.model import State
from gpu_scheduler.fleet import Fleet
from gpu_scheduler.loop import Turn

# A node that was asked and is still there has its reasons: somebody is logged in, or its host has no unit for it.
AGAIN_SECONDS = 600.0


class Resting:
    """Looks how long each node has been idle."""

    def __init__(self, fleet: Fleet, idle_s: float) -> None:
        self._fleet = fleet
        self._idle_s = idle_s
        self._busy_at: dict[str, float] = {}
        self._asked_at: dict[str, float] = {}

    def turned(self, state: State, turn: Turn) -> float | None:
        """Ask idle nodes to suspend. A node that is up speaks every second, so this needs no instant of its own."""
        if self._idle_s <= 0:
            return None
        # After a pause a node has the whole time before it, as after it came up.
        busy = set(state.nodes) if state.paused else busy_nodes(state)
        said = self._fleet.said()
        for node in state.nodes.values():
            if not node.up or node.name in busy:
                # What has just come up, or comes back, has the whole time before it.
                self._busy_at[node.name] = turn.now
                continue
            idle = turn.now - self._busy_at.setdefault(node.name, turn.now)
            asked = turn.now - self._asked_at.get(node.name, float("-inf"))
            word = said.get(node.name)
            may = node.wakeable and word is not None and word.wake_mac is not None
            if may and idle >= self._idle_s and asked >= AGAIN_SECONDS:
                self._asked_at[node.name] = turn.now
                self._fleet.send(
                    node.name,
                    NodeAction(
                        action_id=f"{state.epoch}-suspend-{turn.now:.3f}",
                        fence=state.fence,
                        verb="suspend",
                    ),
                )
        return None


def busy_nodes(state: State) -> set[str]:
    """Return the nodes that anybody uses or waits for."""
    busy = {
        instance.deployment[0]
        for instance in state.instances.values()
        if instance.running or instance.phase.value not in ("ready", "asleep")
    }
    for request in state.granted.values():
        if (card := state.cards.get(request.lease_card or "")) is not None:
            busy.add(card.node)
    for key in (*state.deployments, *state.wanted):
        if key[1] in state.queue or key in state.wanted:
            busy.add(key[0])
    if "" in state.queue:
        busy |= set(state.nodes)
    return busy
