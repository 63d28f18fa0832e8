"""The registry of agents: who holds leases and places, and lives as long as its heartbeats come."""

from __future__ import annotations

import re
from datetime import timedelta

from contracts.scheduling import AgentView
from kit.clock import Clock
from kit.errors import InvalidRequest

from gpu_scheduler.core.events import AgentGone, AgentSeen
from gpu_scheduler.core.model import Agent, State
from gpu_scheduler.errors import AgentsFull, AgentTaken, AgentUnknown
from gpu_scheduler.loop import Loop, Turn

AGENTS_MAX = 1000
_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$")


class Agents:
    """All agents that are registered. Their leases and places go with them."""

    def __init__(self, loop: Loop, clock: Clock) -> None:
        self._loop = loop
        self._clock = clock

    async def beat(self, caller: str, id: str, ttl_seconds: float) -> AgentView:
        """Register an agent, or note that it lives. Raises AgentTaken, AgentsFull."""
        if not _ID.match(id):
            raise InvalidRequest("An agent's name is of letters, digits and . _ : - and short.")
        known = self._loop.state.agents.get(id)
        if known is not None and known.caller != caller:
            raise AgentTaken()
        if known is None and len(self._loop.state.agents) >= AGENTS_MAX:
            raise AgentsFull()
        await self._loop.settle(AgentSeen(id, caller, ttl_seconds))
        return self.look(id)

    async def leave(self, caller: str | None, id: str) -> None:
        """An agent says goodbye; `caller` None is the owner. Raises AgentUnknown."""
        known = self._loop.state.agents.get(id)
        if known is None or (caller is not None and known.caller != caller):
            raise AgentUnknown()
        await self._loop.settle(AgentGone(id))

    def look(self, id: str) -> AgentView:
        """Return one agent. Raises AgentUnknown."""
        agent = self._loop.state.agents.get(id)
        if agent is None:
            raise AgentUnknown()
        return self._views([agent])[0]

    def all(self) -> list[AgentView]:
        """Return all agents, by name."""
        return self._views(sorted(self._loop.state.agents.values(), key=lambda agent: agent.id))

    def _views(self, agents: list[Agent]) -> list[AgentView]:
        counts = {agent.id: [0, 0, 0] for agent in agents}
        for request in self._loop.state.requests.values():
            if (count := counts.get(request.agent or "")) is not None:
                count[1 if request.queued else 0 if request.lease else 2] += 1
        now, wall = self._clock.monotonic(), self._clock.now()
        return [
            AgentView(
                id=agent.id,
                caller=agent.caller,
                seen_at=wall - timedelta(seconds=max(0.0, now - agent.seen_at)),
                ttl_seconds=agent.ttl_s,
                leases=counts[agent.id][0],
                queued=counts[agent.id][1],
                running=counts[agent.id][2],
            )
            for agent in agents
        ]

    def turned(self, state: State, turn: Turn) -> float | None:
        """Let agents go that have been silent for longer than they may."""
        next_look: float | None = None
        for agent in state.agents.values():
            until = agent.seen_at + agent.ttl_s
            if until <= turn.now:
                self._loop.follow(AgentGone(agent.id))
            else:
                next_look = until if next_look is None else min(next_look, until)
        return next_look
