"""All GPU nodes that have joined: a link to each, and which there are, read again when it changes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from contracts.gpunode import NodeAction, NodeState
from kit import logs
from kit.clock import Clock
from kit.errors import KitError
from pydantic import ValidationError

from gpu_scheduler.core.codes import NODE_AWAY
from gpu_scheduler.core.events import ActionFailed, NodeLeft, NodeSeen
from gpu_scheduler.core.model import State
from gpu_scheduler.errors import NodeRefused
from gpu_scheduler.join_store import JoinStore, MemberNode
from gpu_scheduler.keeping import Keeper
from gpu_scheduler.loop import Loop, Turn
from gpu_scheduler.node_http import Unreachable, Way
from gpu_scheduler.node_link import NodeLink
from gpu_scheduler.numbers import Numbers
from gpu_scheduler.seeing import LONG_AGO, node_seen, word_of

log = logs.get(__name__)

LOOK_SECONDS = 10.0
ASK_SECONDS_MAX = 5.0
# A packet is sent again: the first may be lost, or meet a node that is still on its way to sleep.
WAKE_AGAIN_SECONDS = 10.0
Waker = Callable[[str], Awaitable[None]]


class Fleet:
    """The links to all nodes, by the nodes' names."""

    def __init__(
        self,
        members: JoinStore,
        loop: Loop,
        clock: Clock,
        numbers: Numbers,
        *,
        silence_s: float,
        keeper: Keeper,
        waker: Waker | None = None,
    ) -> None:
        self._members = members
        self._loop = loop
        self._clock = clock
        self._numbers = numbers
        self._silence_s = silence_s
        self._keeper = keeper
        self._waker = waker
        self._words: dict[str, NodeState] = {}
        self._way: Way | None = None
        self._links: dict[str, tuple[NodeLink, asyncio.Task[None]]] = {}
        self._changing = asyncio.Lock()
        self._small: set[asyncio.Task[None]] = set()
        self._waking: set[str] = set()

    def node(self, name: str) -> MemberNode | None:
        """Return a node that has joined."""
        found = self._links.get(name)
        return found[0].node if found else None

    def said(self) -> dict[str, NodeState]:
        """Return what each node has said last, also of those that are away."""
        links = (link for link, _ in self._links.values())
        return {link.node.name: link.state for link in links if link.state is not None}

    def names(self) -> list[str]:
        """Return the nodes that have joined."""
        return list(self._links)

    def is_up(self, name: str) -> bool:
        """Whether a node answers."""
        found = self._links.get(name)
        return found is not None and found[0].up

    def send(self, name: str, action: NodeAction) -> None:
        """Tell a node to do something; returns at once. What fails comes back as ActionFailed."""
        found = self._links.get(name)
        if found is not None:
            found[0].send(action)
        elif action.instance_id is not None:
            failed = ActionFailed(action.instance_id, action.fence, NODE_AWAY)
            self._soon(self._loop.put(failed))

    def wake(self, name: str) -> None:
        """Have a node woken that is off, again and again until it is heard or nobody waits; returns at once."""
        if self._waker is not None and name not in self._waking:
            self._waking.add(name)
            self._soon(self._woken(name, self._waker))

    async def _woken(self, name: str, waker: Waker) -> None:
        until = self._clock.monotonic() + self._loop.state.policy.node_wake_s
        try:
            while self._may_wake(name) and self._clock.monotonic() < until:
                await waker(name)
                log.info("node.woken", node=name)
                await self._clock.sleep(WAKE_AGAIN_SECONDS)
        except Exception as error:
            log.exception("node.unwakeable", error, node=name)
        finally:
            self._waking.discard(name)

    def _may_wake(self, name: str) -> bool:
        node = self.node(name)
        off = self._loop.state.paused  # the off switch may be moved while it is being woken
        return node is not None and node.wakeable and not self.is_up(name) and not off

    def remember(self, words: Mapping[str, Any], nodes: Iterable[MemberNode]) -> list[NodeSeen]:
        """Return the events for nodes that can be woken, as they said last: known, and away until they are heard."""
        events: list[NodeSeen] = []
        for node in nodes:
            if not node.wakeable or node.name not in words:
                continue
            try:
                word = NodeState.model_validate_json(json.dumps(words[node.name]))
            except ValidationError:
                log.warning("node.word_invalid", node=node.name)  # of another version
                continue
            self._words[node.name] = word
            events.append(node_seen(word, LONG_AGO, wakeable=True))
        return events

    def turned(self, state: State, turn: Turn) -> float | None:
        """Keep what nodes that can be woken say of themselves, when it is news."""
        if turn.events:
            for link, _ in self._links.values():
                if link.node.wakeable and link.up and link.state is not None:
                    self._note(link.node.name, link.state)
        return None

    def _note(self, name: str, said: NodeState) -> None:
        before = self._words.get(name)
        if before is not None and before.models == said.models and _cards(before) == _cards(said):
            return
        word = self._words[name] = word_of(said)
        self._keeper.word(name, word.model_dump(mode="json"))

    def _soon(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            await work

        task = asyncio.create_task(run())
        self._small.add(task)
        task.add_done_callback(self._small.discard)

    async def refresh(self) -> None:
        """Look which nodes there are now: call it after one has joined or left. Raises DataUnavailable."""
        async with self._changing:
            before = set(self._links)
            await self._follow({node.name: node for node in await self._members.present()})
            if set(self._links) != before:
                self._loop.nudge()

    async def _follow(self, nodes: dict[str, MemberNode]) -> None:
        way = self._way
        if way is None:
            return
        for name, (link, task) in list(self._links.items()):
            if name not in nodes or _way_to(nodes[name]) != _way_to(link.node):
                del self._links[name]
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                self._numbers.node_up.remove(name)
            if name not in nodes:
                self._words.pop(name, None)
                await self._loop.put(NodeLeft(name))
        for name, node in nodes.items():
            if name not in self._links:
                link = NodeLink(
                    node,
                    way,
                    self._loop,
                    self._clock,
                    self._numbers,
                    self._silence_s,
                    self._words.get(name),
                    self._claimed,
                )
                self._links[name] = (link, asyncio.create_task(link.run(), name=f"link-{name}"))

    def _claimed(self, name: str, said: NodeState) -> str | None:
        """Return why a node's cards cannot be told from those of another that is up; None when they can."""
        ids = {card.id for card in said.cards}
        for other, (link, _) in self._links.items():
            if other == name or not link.up or link.state is None:
                continue
            if both := sorted(ids & {card.id for card in link.state.cards}):
                return f"The card {both[0]} is one of {other} already: each needs an id of its own."
        return None

    async def ask(self, node: MemberNode, method: str, path: str, body: bytes | None) -> bytes:
        """Return a node's whole answer to one call. Raises NodeRefused."""
        if self._way is None:
            raise NodeRefused(f"{node.name} is not reached yet.")
        try:
            status, answer = await self._way.call(node, method, path, body, ASK_SECONDS_MAX)
        except Unreachable:
            raise NodeRefused(f"{node.name} does not answer.") from None
        if status >= 300:
            raise NodeRefused(f"{node.name} answered with {status}.")
        return answer

    async def run(self, way: Way) -> None:
        """Follow all nodes until cancelled."""
        self._way = way
        try:
            while True:
                try:
                    await self.refresh()
                except KitError as error:
                    log.warning("fleet.unread", code=error.code)
                except Exception as error:
                    log.exception("fleet.failed", error)
                await self._clock.sleep(LOOK_SECONDS)
        finally:
            tasks = [*(task for _, task in self._links.values()), *self._small]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _way_to(node: MemberNode) -> tuple[str, int, str, bool]:
    # A renewed certificate is the same node by the same way.
    return node.address, node.port, node.tls_name, node.wakeable


def _cards(said: NodeState) -> list[tuple[str, int]]:
    return [(card.id, card.total_mib) for card in said.cards]
