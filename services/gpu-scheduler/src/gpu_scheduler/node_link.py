"""One GPU node: what it says is handed to the loop line by line, what it is told is sent in order and repeated by its id.

Over mutual TLS through the egress proxy. A node that is silent for too long is away; the connection is tried again with
growing pauses. Nothing in here decides anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import deque
from collections.abc import AsyncIterator, Callable

from contracts.gpunode import ACTIONS_PATH, EVENTS_PATH, NodeAction, NodeState
from kit import logs
from kit.clock import Clock
from pydantic import ValidationError

from gpu_scheduler.core.codes import NODE_AWAY
from gpu_scheduler.core.events import ActionFailed, NodeLost
from gpu_scheduler.errors import NodeRefused
from gpu_scheduler.join_store import MemberNode
from gpu_scheduler.loop import Loop
from gpu_scheduler.node_http import Unreachable, Way
from gpu_scheduler.numbers import Numbers
from gpu_scheduler.seeing import NodeClock, node_seen

log = logs.get(__name__)

LINE_BYTES_MAX = 4 * 1024 * 1024
ACTION_SECONDS_MAX = 2.0
ACTION_TRIES = 4
ACTION_PAUSE_SECONDS = 0.1
# The core takes an action of which it has heard nothing for ten seconds for one that never arrived.
DELIVER_SECONDS_MAX = 8.5
STALL_SECONDS = 0.5
PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 0.2, 5.0


class NodeLink:
    """The connection to one node."""

    def __init__(
        self,
        node: MemberNode,
        way: Way,
        loop: Loop,
        clock: Clock,
        numbers: Numbers,
        silence_s: float,
        remembered: NodeState | None = None,
        claimed: Callable[[str, NodeState], str | None] = lambda _, __: None,
    ) -> None:
        self.node = node
        self._way = way
        self._loop = loop
        self._clock = clock
        self._numbers = numbers
        self._silence_s = silence_s
        self._claimed = claimed
        self._node_clock = NodeClock()
        self._up = asyncio.Event()
        self._heard_at = float("-inf")
        self._last_said: tuple[str, int] | None = None
        self._actions: deque[tuple[NodeAction, float]] = deque()
        self._to_do = asyncio.Event()
        self.state = remembered

    @property
    def up(self) -> bool:
        """Whether the node was heard within the time it may be silent."""
        return self._up.is_set()

    def send(self, action: NodeAction) -> None:
        """Tell the node to do something, in the order of the calls. What fails comes back as ActionFailed."""
        self._actions.append((action, self._clock.monotonic()))
        self._to_do.set()

    async def run(self) -> None:
        """Follow the node and send it actions, until cancelled."""
        self._numbers.node_up.labels(self.node.name).set(0)
        tasks = [
            asyncio.create_task(work, name=f"node-{self.node.name}")
            for work in (self._follow(), self._watch_silence(), self._act())
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._away()

    # What it says.

    async def _follow(self) -> None:
        pause, told = PAUSE_SECONDS_MIN, ""
        while True:
            heard_before = self._heard_at
            try:
                async for line in self._lines():
                    await self._take(line)
                error = "the stream ended"
            except Exception as failed:
                error = _name_of(failed)
            if self._heard_at != heard_before:
                pause, told = PAUSE_SECONDS_MIN, ""
            if error != told:
                # Said once, not at every try: a node may be off for days.
                log.warning("node.unreachable", node=self.node.name, error=error)
                told = error
            await self._clock.sleep(pause * (0.5 + random.random()))
            pause = min(pause * 2, PAUSE_SECONDS_MAX)

    async def _lines(self) -> AsyncIterator[bytes]:
        held = bytearray()
        async with self._way.follow(self.node, EVENTS_PATH) as pieces:
            while True:
                try:
                    # A little longer than the node may be silent, so that it is away before it is called again.
                    async with asyncio.timeout(self._silence_s + STALL_SECONDS):
                        piece = await anext(pieces)
                except StopAsyncIteration:
                    return
                held += piece
                *lines, held = held.split(b"\n")
                for line in lines:
                    yield bytes(line)
                if len(held) > LINE_BYTES_MAX:
                    raise NodeRefused(f"{self.node.name} sent a line that does not end.")

    async def _take(self, line: bytes) -> None:
        arrived = self._clock.monotonic()
        try:
            state = NodeState.model_validate_json(line)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            log.warning("node.line_invalid", node=self.node.name, kind=first["type"])
            raise NodeRefused() from None
        if state.node != self.node.name:
            raise NodeRefused(f"{self.node.name} calls itself by another name.")
        if self._last_said is not None:
            boot, seq = self._last_said
            if state.boot == boot and state.seq <= seq:
                return
        if (why := self._claimed(self.node.name, state)) is not None:
            # Two nodes' memory in one ledger would be given away twice.
            self.state = state.model_copy(update={"cards": (), "models": (), "error": why})
            log.error("node.card_taken", node=self.node.name, why=why)
            raise NodeRefused(why)
        self._last_said = (state.boot, state.seq)
        self.state, self._heard_at = state, arrived
        if state.leaving:
            await self._away()
            return
        if not self.up:
            log.info("node.up", node=self.node.name, boot=state.boot)
            self._numbers.node_up.labels(self.node.name).set(1)
            self._up.set()
        read_at = self._node_clock.read_at(state.boot, state.at, arrived)
        await self._loop.put(node_seen(state, read_at, self.node.wakeable))

    async def _watch_silence(self) -> None:
        while True:
            await self._up.wait()
            left = self._heard_at + self._silence_s - self._clock.monotonic()
            if left > 0:
                due = self._clock.monotonic() + left
                await self._clock.sleep(left)
                now = self._clock.monotonic()
                if now - due > STALL_SECONDS:
                    # It was we who stood still: there is time to hear the node before it is called silent.
                    self._heard_at = max(self._heard_at, now - self._silence_s / 2)
                continue
            await self._away()

    async def _away(self) -> None:
        if not self.up:
            return
        self._up.clear()
        self._numbers.node_up.labels(self.node.name).set(0)
        log.warning("node.away", node=self.node.name)
        await self._loop.put(NodeLost(self.node.name))

    # What it is told.

    async def _act(self) -> None:
        while True:
            while not self._actions:
                self._to_do.clear()
                await self._to_do.wait()
            action, decided_at = self._actions.popleft()
            code = await self._deliver(action, decided_at + DELIVER_SECONDS_MAX)
            if code is None:
                continue
            self._numbers.action_failed.labels(code).inc()
            log.warning(
                "node.action_failed", node=self.node.name, verb=action.verb, code=code,
                instance_id=action.instance_id,
            )  # fmt: skip
            if action.instance_id is not None:
                await self._loop.put(ActionFailed(action.instance_id, action.fence, code))

    async def _deliver(self, action: NodeAction, until: float) -> str | None:
        """Return None once the node has taken it down, else the code of why not.

        `inference.node_away` says that it may have arrived all the same; any other code that the node did not take it.
        What has not arrived by `until` is not sent any more: the core gives up waiting for it soon after.
        """
        code = NODE_AWAY
        for attempt in range(ACTION_TRIES):
            if attempt:
                await self._clock.sleep(ACTION_PAUSE_SECONDS * 2**attempt)
            left = until - self._clock.monotonic()
            if left <= 0 or not self.up:
                return NODE_AWAY
            status, code = await self._post(action, min(left, ACTION_SECONDS_MAX))
            if status is not None and status < 500:
                return None if status < 300 else code
        return code

    async def _post(self, action: NodeAction, seconds: float) -> tuple[int | None, str]:
        body = action.model_dump_json().encode()
        try:
            status, answer = await self._way.call(self.node, "POST", ACTIONS_PATH, body, seconds)
        except (Unreachable, NodeRefused) as error:
            log.info("node.action_repeated", node=self.node.name, error=_name_of(error))
            return None, NODE_AWAY
        # A node that stumbled over it does not know itself how far it came.
        return status, NODE_AWAY if status == 500 else _code(answer)


def _name_of(error: Exception) -> str:
    if isinstance(error, NodeRefused):
        return error.code
    return str(error) if isinstance(error, Unreachable) else type(error).__name__


def _code(body: bytes) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        code = json.loads(body)["error"]["code"]
        if isinstance(code, str) and len(code) <= 64:
            return code
    return NodeRefused.code
