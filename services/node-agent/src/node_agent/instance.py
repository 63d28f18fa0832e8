"""One model's container and its life. What it is told comes from outside; what it does, it does one thing at a time.

A wish (`wake`, `sleep`, `drain`, `stop`) changes the phase at once and the work follows in a task. A stop, and the death
of the container's process, end whatever is under way at its next safe point: making a container is never left half done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from contracts.gpunode import CardReading, InstancePhase, InstanceState
from kit import logs

from node_agent import containers, phases
from node_agent.catalogue import Model
from node_agent.containers import Labels
from node_agent.errors import EngineRefused, EngineUnavailable
from node_agent.means import Halted, Means, diagnosis, unless
from node_agent.servers import Server
from node_agent.talk import Silent, Talk

log = logs.get(__name__)

CUT = "cut by the agent"  # tells a request's end by us from its client's
PROBE_SECONDS = 0.1
RETRY_SECONDS = 1.0
LOOK_SECONDS = 5.0
LOOKS_MISSED_MAX = 12
# Beyond what the catalogue says it leaves on a card: measuring is coarse.
ASLEEP_SLACK_MIB = 256
ASLEEP_SETTLES_SECONDS = 3.0
SENTENCE_CHARS_MAX = 480


@dataclass
class Instance:
    """One container of a model."""

    labels: Labels
    model: Model
    server: Server
    talk: Talk
    means: Means
    phase: InstancePhase = "starting"
    fence: int = 0
    action_id: str | None = None
    container_id: str | None = None
    since: datetime = field(init=False)
    ended_at: float | None = None
    took_seconds: float | None = None
    error: str | None = None
    out_of_memory: bool = False
    peak_mib: dict[str, int] = field(default_factory=dict[str, int])
    ram_mib: int | None = None
    requests: set[asyncio.Task[Any]] = field(default_factory=set[asyncio.Task[Any]])
    _halt: asyncio.Event = field(default_factory=asyncio.Event)
    _idle: asyncio.Event = field(default_factory=asyncio.Event)
    _died: bool = False
    _work: asyncio.Task[None] | None = None
    _works: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _care: asyncio.Task[None] | None = None
    _asleep_since: float | None = None

    def __post_init__(self) -> None:
        self.since = self.means.clock.now()
        self._idle.set()

    @property
    def id(self) -> str:
        """Its id, as the scheduler named it."""
        return self.labels.instance_id

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way."""
        return self._work is None or self._work.done()

    @property
    def network(self) -> str:
        """The network that it is alone on, with the agent."""
        return containers.network_name(self.labels.node, self.labels.net)

    # What it is told.

    def begin(self, cards: Sequence[CardReading]) -> None:
        """Make and start the container. Once, on a new instance."""
        self._then(self._start(cards))

    def resume(self, container_id: str) -> None:
        """Take over a container that runs already, as it is. Once, on a new instance."""
        self.container_id = container_id
        self._then(self._take_over())

    def told(self, verb: phases.Verb) -> bool:
        """Carry a verb out, and say whether anything follows. Raises ValueError where it makes no sense."""
        answer, after = phases.answer(self.phase, verb)
        if answer == "refuse":
            raise ValueError(f"{verb} in phase {self.phase}")
        if answer == "nothing":
            return False
        self._to(after)
        if verb == "stop" and after == "stopping":
            self._halt.set()
            self._then(self._stop())
        elif verb == "sleep":
            self._then(self._sleep())
        elif verb == "wake" and after == "waking":
            self._then(self._wake())
        return True

    def died(self) -> None:
        """The container's process has ended, by whatever cause."""
        if self._died or self.phase in phases.ENDED:
            return
        self._died = True
        self._halt.set()
        if self.phase != "stopping":
            self._then(self._after_death())

    def enter(self, task: asyncio.Task[Any]) -> None:
        """A request is passed on, by this task."""
        self.requests.add(task)
        self._idle.clear()

    def leave(self, task: asyncio.Task[Any]) -> None:
        """The request has ended."""
        self.requests.discard(task)
        if not self.requests:
            self._idle.set()

    def seen(self, used_mib: dict[str, int], ram_mib: int | None) -> None:
        """A reading: what it holds on each card, and of host memory."""
        self.ram_mib = ram_mib
        for card, mib in used_mib.items():
            if self.phase not in ("asleep", "stopping") and mib > self.peak_mib.get(card, 0):
                self.peak_mib[card] = mib
        if self.phase == "asleep" and self._asleep_since is not None:
            self.error = self._still_holds(used_mib)

    def state(self) -> InstanceState:
        """Return what is told of it."""
        return InstanceState(
            instance_id=self.id,
            model=self.labels.model,
            fingerprint=self.labels.fingerprint,
            cards=self.labels.cards,
            phase=self.phase,
            since=self.since,
            fence=self.fence,
            peak_mib=dict(self.peak_mib),
            ram_mib=self.ram_mib,
            in_flight=len(self.requests),
            action_id=self.action_id,
            took_seconds=self.took_seconds,
            error=self.error,
            out_of_memory=self.out_of_memory,
        )

    async def settled(self) -> None:
        """Return when nothing is under way. For the agent's own end, and for tests."""
        while self._work is not None and not self._work.done():
            await asyncio.wait({self._work})

    async def abandon(self) -> None:
        """Let go of it; the container stays as it is. What is being made is made first."""
        self._halt.set()
        tasks = [*self._works, *([self._care] if self._care is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # What it does.

    async def _start(self, cards: Sequence[CardReading]) -> None:
        begun = self.means.clock.monotonic()
        try:
            await self._make(cards)
            await unless(self._halt, self._until_ready(self.model.start_seconds_max))
        except Halted:
            return
        except (EngineRefused, EngineUnavailable) as error:
            # The engine has said what is wrong: the container, which never ran, knows no better.
            await self._give_up(error.reason, look=False)
        except TimeoutError:
            await self._give_up(f"It was not ready after {self.model.start_seconds_max:g} s.")
        else:
            self._reached("ready", "start", begun)

    async def _make(self, cards: Sequence[CardReading]) -> None:
        means, labels = self.means, self.labels
        prefix = means.models_net
        await means.engine.make_network(
            containers.network_body(labels.node, labels.net, prefix, bool(means.own_container))
        )
        if means.own_container:
            await means.engine.join(self.network, means.own_container)
        body = containers.container_body(
            labels,
            self.model,
            self.server,
            address=containers.address(prefix, labels.net),
            cards=cards,
            weights_host=means.weights_host,
            card_groups=means.card_groups,
        )
        self.container_id = await means.engine.create(containers.container_name(self.id), body)
        await means.engine.start(self.container_id)

    async def _take_over(self) -> None:
        """Continue where an agent before this one left off; the server says itself whether it sleeps."""
        begun = self.means.clock.monotonic()
        try:
            if self.means.own_container:
                await self.means.engine.join(self.network, self.means.own_container)
            await unless(self._halt, self._until_ready(self.model.start_seconds_max))
            asleep = await unless(self._halt, self.talk.asleep())
        except Halted:
            return
        except (EngineRefused, EngineUnavailable) as error:
            await self._give_up(error.reason)
        except (TimeoutError, Silent):
            await self._give_up("It was found running and does not answer.")
        else:
            self._reached("asleep" if asleep else "ready", "adopt", begun)

    async def _sleep(self) -> None:
        begun = self.means.clock.monotonic()
        try:
            await unless(self._halt, self._drained())
            await unless(self._halt, self.talk.fall_asleep(self.model.sleep_seconds_max))
        except Halted:
            return
        except (TimeoutError, Silent) as error:
            # The scheduler counts on the memory: what cannot sleep is ended.
            await self._give_up(f"It did not fall asleep: {error or 'it took too long'}.")
        else:
            self._reached("asleep", "sleep", begun)

    async def _wake(self) -> None:
        begun = self.means.clock.monotonic()
        try:
            await unless(self._halt, self.talk.wake(self.model.wake_seconds_max))
        except Halted:
            return
        except (TimeoutError, Silent) as error:
            await self._give_up(f"It did not wake: {error or 'it took too long'}.")
        else:
            self._reached("ready", "wake", begun)

    async def _stop(self) -> None:
        begun = self.means.clock.monotonic()
        await self._drained()
        await self._gone(self.model.stop_seconds_max)
        self._reached("stopped", "stop", begun)

    async def _give_up(self, why: str, *, look: bool = True) -> None:
        """End a container that does not do what it must: seen as `stopping` until it is gone, then as `failed`."""
        if self.phase == "stopping" or self.phase in phases.ENDED:
            return  # a stop was told meanwhile and follows
        container = self.container_id if look else None
        trouble = await diagnosis(self.means.engine, container, why)
        self.error, self.out_of_memory = trouble.sentence, trouble.out_of_memory
        self._to("stopping")
        await self._gone(1)
        self._failed()

    async def _after_death(self) -> None:
        trouble = await diagnosis(self.means.engine, self.container_id, "It has vanished.")
        self._cut()
        self.error, self.out_of_memory = trouble.sentence, trouble.out_of_memory
        # Its memory went with its process: what is left to do is housekeeping.
        if self.phase != "stopping":
            self._failed()
        await self._gone(0)

    async def _gone(self, seconds: int) -> None:
        """Stop and remove the container and its network. An engine that is silent is asked again until it answers."""
        name = self.container_id or containers.container_name(self.id)
        while True:
            try:
                if seconds:
                    await self.means.engine.stop(name, seconds)
                await self.means.engine.remove(name)
                await self.means.engine.remove_network(self.network, self.means.own_container)
                return
            except (EngineRefused, EngineUnavailable) as error:
                log.warning("instance.not_yet_gone", instance=self.id, code=error.code)
                await self.means.clock.sleep(RETRY_SECONDS)

    async def _drained(self) -> None:
        """Return when no request runs; after the model's limit the rest are cut."""
        try:
            async with asyncio.timeout(self.model.drain_seconds_max):
                await self._idle.wait()
        except TimeoutError:
            log.warning("instance.requests_cut", instance=self.id, count=len(self.requests))
            self._cut()

    def _cut(self) -> None:
        for task in tuple(self.requests):
            task.cancel(CUT)

    async def _until_ready(self, seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while not await self.talk.ready():
                await self.means.clock.sleep(PROBE_SECONDS)

    async def _look_after(self) -> None:
        """Keep it awake while it is meant to be, and notice when it hangs."""
        every = self.talk.touch_seconds or LOOK_SECONDS
        missed = 0.0
        while missed < LOOKS_MISSED_MAX * LOOK_SECONDS:
            await self.means.clock.sleep(every)
            if self.phase not in ("ready", "draining"):
                return
            try:
                await self.talk.touch()
                well = await self.talk.ready()
            except Silent:
                well = False
            missed = 0.0 if well else missed + every
        log.error("instance.hangs", instance=self.id)
        self._then(self._give_up(f"It has not answered for {missed:g} s."))

    # Its phase.

    def _reached(self, phase: InstancePhase, verb: str, begun: float) -> None:
        seconds = self.means.clock.monotonic() - begun
        self.took_seconds = round(min(seconds, 86_400.0), 3)
        self._to(phase)
        self.means.finished(verb, "ok", seconds)
        log.info("instance.reached", instance=self.id, phase=phase, seconds=self.took_seconds)
        if phase == "ready":
            self._watch()

    def _failed(self) -> None:
        self.error = (self.error or "It failed.")[:SENTENCE_CHARS_MAX]
        self._to("failed")
        self.means.finished("run", "out_of_memory" if self.out_of_memory else "failed", 0.0)
        log.error("instance.failed", instance=self.id, model=self.labels.model, why=self.error)

    def _to(self, phase: InstancePhase) -> None:
        if not phases.may_follow(self.phase, phase):
            raise AssertionError(f"{self.id}: {self.phase} -> {phase}")
        self.phase, self.since = phase, self.means.clock.now()
        now = self.means.clock.monotonic()
        self._asleep_since = now if phase == "asleep" else None
        if phase in phases.ENDED and self.ended_at is None:
            self.ended_at = now
        if phase in ("ready", "waking"):
            self.error = None
        self.means.changed()

    def _still_holds(self, used_mib: dict[str, int]) -> str | None:
        waited = self.means.clock.monotonic() - (self._asleep_since or 0.0)
        most = max(used_mib.values(), default=0)
        if waited < ASLEEP_SETTLES_SECONDS or most <= self.model.asleep_mib + ASLEEP_SLACK_MIB:
            return None
        return f"It says that it sleeps and still holds {most} MiB of a card; {self.model.asleep_mib} were expected."

    def _watch(self) -> None:
        if self._care is None or self._care.done():
            self._care = asyncio.create_task(self._look_after(), name=f"care-{self.id}")

    def _then(self, work: Coroutine[Any, Any, None]) -> None:
        before = self._work

        async def after() -> None:
            try:
                if before is not None and not before.done():
                    await asyncio.wait({before})
                await work
            finally:
                work.close()  # nothing, unless it was never begun

        self._work = asyncio.create_task(after(), name=f"instance-{self.id}")
        self._works.add(self._work)
        self._work.add_done_callback(self._surprised)

    def _surprised(self, task: asyncio.Task[None]) -> None:
        self._works.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        log.exception("instance.broke", error, instance=self.id)
        # A fault of the agent's own must not leave a container that nobody minds.
        self._then(self._give_up("The agent failed at it; its log says where."))
