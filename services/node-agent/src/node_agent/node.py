"""All of this node: its models, cards and instances, what it is told and what it says of itself.

It decides nothing. An action is taken down once, in the order in which it came; how it goes is seen in the state.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Sequence
from typing import Protocol

import aiohttp
from contracts.gpunode import ActionTaken, CardReading, NodeAction, NodeState
from kit import logs
from kit.clock import Clock

from node_agent import containers, errors, leaving, machine, phases, servers
from node_agent.cards import Resident
from node_agent.cards.owners import Owners
from node_agent.catalogue import Model
from node_agent.containers import Labels
from node_agent.engine import Engine
from node_agent.hub import Hub
from node_agent.instance import Instance
from node_agent.means import Means
from node_agent.numbers import Numbers
from node_agent.once import Once
from node_agent.settings import Settings
from node_agent.shelf import Offer, Shelf, Vendor
from node_agent.talk import Talk

log = logs.get(__name__)

EPOCH = 1_000_000_000
INSTANCES_MAX = 64
ENDED_MAX = 64
ENDED_SECONDS = 60.0
ACTIONS_MAX, ACTIONS_SECONDS = 4096, 600.0
REQUESTS_MAX, REQUESTS_SECONDS = 16_384, 120.0
REQUEST_ID = re.compile(r"^[A-Za-z0-9_-]{1,64}$")
RAM_SHARE = 0.75
RESUME_SECONDS_MAX = 60.0


class Reads(Protocol):
    """Reads the cards; never raises, never hangs."""

    async def read(self, residents: Sequence[Resident]) -> tuple[CardReading, ...]: ...
    async def close(self) -> None: ...


class Node:
    """One GPU node, as the scheduler and the gateway know it."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        cards: Reads,
        clock: Clock,
        numbers: Numbers,
        session: aiohttp.ClientSession,
    ) -> None:
        self.settings = settings
        self.engine = engine
        self.clock = clock
        self.numbers = numbers
        self.session = session
        self.boot = secrets.token_hex(8)
        self.instances: dict[str, Instance] = {}
        self.hub = Hub(self._line, clock)
        self.shelf = Shelf(
            settings.catalogue_path,
            settings.weights_path,
            settings.version,
            engine,
            vendor=lambda: self.vendor,
            changed=self.hub.changed,
        )
        self.readings: tuple[CardReading, ...] = ()
        self.vendor: Vendor = "nvidia"
        self.leaving = False
        self.adopted = asyncio.Event()  # until then nothing is said: silence is not "nothing runs"
        self.engine_error: str | None = None
        self.fence = 0
        self._seq = 0
        self._cards = cards
        self._owners = Owners(settings.proc_path, settings.cgroup_path)
        self._actions = Once(ACTIONS_MAX, ACTIONS_SECONDS)
        self._requests = Once(REQUESTS_MAX, REQUESTS_SECONDS)
        self._running: set[tuple[int, str]] = set()
        self._suspending: asyncio.Task[None] | None = None
        self.means = Means(
            engine=engine,
            clock=clock,
            changed=self.hub.changed,
            finished=numbers.finished,
            own_container=settings.own_container,
            models_net=settings.models_net,
            weights_host=settings.weights_host_path or str(settings.weights_path),
            card_groups=settings.card_groups,
        )

    # What it is told.

    def act(self, action: NodeAction) -> ActionTaken:
        """Take an action down and begin it. Repeating one by its id changes nothing. Raises what speaks against it."""
        if self.settings.disabled:
            raise errors.NodeDisabled()
        if not self.readings:
            raise errors.EngineUnavailable("The agent does not know yet what runs here.")
        if action.action_id in self._actions:
            return ActionTaken(action_id=action.action_id, repeated=True)
        if action.fence // EPOCH < self.fence // EPOCH:
            raise errors.FenceStale("A later scheduler has spoken to this node since.")
        if action.verb == "suspend":
            self._suspend()
        elif action.verb == "start":
            self._start(action)
        else:
            self._order(action, action.verb)
        if not self._actions.take(action.action_id, self.clock.monotonic()):
            log.warning("node.actions_forgotten")
        self.fence = max(self.fence, action.fence)
        self.numbers.actions.labels(action.verb).inc()
        log.info("action.taken", verb=action.verb, instance=action.instance_id, model=action.model)
        self.hub.changed()
        return ActionTaken(action_id=action.action_id)

    def _start(self, action: NodeAction) -> None:
        if self.leaving:
            raise errors.NodeLeaving()
        if action.instance_id is None or action.model is None:
            raise errors.ActionUnfit("A start names an instance and a model.")
        if action.instance_id in self.instances:
            raise errors.InstanceExists()
        if action.fence <= self.fence:
            # Actions of one scheduler come in order: this one was given up, and what it would take may be given away.
            raise errors.FenceStale()
        offer = self.shelf.offers.get(action.model)
        if offer is None:
            raise errors.ModelUnknown()
        if offer.declared.error is not None:
            raise errors.ModelUnfit(offer.declared.error)
        running = [one for one in self.instances.values() if one.phase in phases.RUNNING]
        if len(running) >= INSTANCES_MAX:
            raise errors.NodeBusy(f"{INSTANCES_MAX} instances run already.")
        cards = self._cards_of(action, offer)
        labels = Labels(
            instance_id=action.instance_id,
            model=action.model,
            node=self.settings.node,
            fingerprint=offer.declared.fingerprint,
            fence=action.fence,
            cards=action.cards,
            net=self._free_net(),
            entry=offer.model.model_dump_json(exclude_defaults=True),
        )
        instance = self.instance(labels, offer.model, offer.cache_mib)
        instance.action_id = action.action_id
        self.instances[labels.instance_id] = instance
        instance.begin(cards)

    def _order(self, action: NodeAction, verb: phases.Verb) -> None:
        instance = self.instances.get(action.instance_id or "")
        if instance is None:
            raise errors.InstanceUnknown()
        if action.fence < instance.fence:
            raise errors.FenceStale()
        if verb == "wake" and self.leaving:
            raise errors.NodeLeaving()
        if verb == "sleep" and instance.model.sleep.method == "none":
            raise errors.ActionUnfit("This model cannot sleep.")
        try:
            instance.told(verb)
        except ValueError as error:
            raise errors.ActionUnfit(f"That cannot be done: {error}.") from None
        instance.fence = action.fence
        instance.action_id = action.action_id

    def _suspend(self) -> None:
        if not self.settings.suspend:
            raise errors.SuspendRefused()
        if self._suspending is None or self._suspending.done():
            self._suspending = asyncio.create_task(self._leave_for_a_while(), name="suspend")

    async def _leave_for_a_while(self) -> None:
        """Say that the node goes, let requests end, ask the host; back when the machine has slept, or does not."""
        self.leaving = True
        await self.hub.publish()
        await self.drained(self.settings.stop_seconds)
        try:
            leaving.suspend(self.settings.suspend_path)
            gap = self.clock.now().timestamp() - self.clock.monotonic()
            for _ in range(int(RESUME_SECONDS_MAX)):
                await self.clock.sleep(1.0)
                # The monotonic clock stands still while the machine sleeps and the wall clock does not.
                if self.clock.now().timestamp() - self.clock.monotonic() - gap > 2.0:
                    break
        except leaving.SuspendFailed as error:
            log.error("node.suspend_failed", code=error.code, why=error.reason)
        finally:
            self.leaving = False
            self.hub.changed()

    # Requests.

    def admit(self, instance_id: str, fence: int, request_id: str) -> Instance:
        """Return the instance that a request may be passed on to, and take the request down. Raises what speaks against it."""
        if self.settings.disabled:
            raise errors.NodeDisabled()
        if self.leaving:
            raise errors.NodeLeaving()
        instance = self.instances.get(instance_id)
        if instance is None:
            raise errors.InstanceUnknown()
        if fence < instance.fence:
            raise errors.FenceStale()
        if (fence, request_id) in self._requests or (fence, request_id) in self._running:
            raise errors.RequestRepeated()
        if instance.phase != "ready":
            raise errors.InstanceNotReady(f"The instance is {instance.phase}: nothing was sent.")
        if self.in_flight >= self.settings.connections_max:
            raise errors.NodeBusy("As many requests run as the node takes.", Retry_After="1")
        if not self._requests.take((fence, request_id), self.clock.monotonic()):
            raise errors.NodeBusy("More requests came in two minutes than are remembered.")
        self._running.add((fence, request_id))
        return instance

    def over(self, fence: int, request_id: str) -> None:
        """A request that was admitted has ended; a repetition of it may come for a while still."""
        self._running.discard((fence, request_id))
        self._requests.renew((fence, request_id), self.clock.monotonic())

    @property
    def in_flight(self) -> int:
        """How many requests are being passed on."""
        return sum(len(instance.requests) for instance in self.instances.values())

    async def drained(self, seconds: float) -> bool:
        """Wait until no request runs, at most `seconds`; say whether that was reached."""
        until = self.clock.monotonic() + seconds
        while self.in_flight and self.clock.monotonic() < until:
            await self.clock.sleep(0.1)
        return not self.in_flight

    # What it says.

    async def _line(self) -> bytes:
        state = await self.state()
        return state.model_dump_json(exclude_none=True).encode() + b"\n"

    async def state(self) -> NodeState:
        """Return all of the node. The cards are read first and the phases taken after; `at` is when the reading began."""
        await self.adopted.wait()
        at = self.clock.now()
        host, used_mib = await asyncio.to_thread(self._host)
        self.readings = await self._cards.read(self._residents(used_mib))
        uses: dict[str, dict[str, int]] = {}
        for card in self.readings:
            for use in card.ours:
                uses.setdefault(use.instance_id, {})[card.id] = use.used_mib
        for instance in self.instances.values():
            instance.seen(uses.get(instance.id, {}), used_mib.get(instance.id))
        self._forget_ended()
        self._seq += 1
        budget = self.settings.ram_budget_mib or int(host.total_mib * RAM_SHARE)
        offers = {} if self.settings.disabled else self.shelf.offers
        instances = tuple(instance.state() for instance in self.instances.values())
        self.numbers.show(self.readings, instances)
        return NodeState(
            node=self.settings.node,
            boot=self.boot,
            seq=self._seq,
            at=at,
            fence=self.fence,
            ram_total_mib=host.total_mib,
            ram_used_mib=host.used_mib,
            ram_budget_mib=budget,
            wake_mac=self.settings.wake_mac,
            leaving=self.leaving,
            error=self.engine_error or self.shelf.error,
            cards=self.readings,
            models=tuple(offer.declared for offer in offers.values()),
            instances=instances,
        )

    async def look_at_cards(self) -> Vendor:
        """Return whose cards they are; a node whose cards cannot be read is taken for one that needs most."""
        read = await self._cards.read(())
        return read[0].vendor if read else "nvidia"

    def _host(self) -> tuple[machine.Ram, dict[str, int]]:
        used: dict[str, int] = {}
        for instance in tuple(self.instances.values()):
            if instance.container_id is not None and instance.phase in phases.RUNNING:
                mib = self._owners.memory_mib(instance.container_id)
                if mib is not None:
                    used[instance.id] = mib
        return machine.ram(), used

    def _residents(self, used_mib: dict[str, int]) -> list[Resident]:
        return [
            Resident(
                instance_id=instance.id,
                container_id=instance.container_id or "",
                cards=instance.labels.cards,
                phase=instance.phase,
                footprint_mib=self._footprint_mib(instance),
                asleep_mib=instance.model.asleep_mib,
                ram_mib=instance.model.ram_mib or 0,
            )
            for instance in self.instances.values()
            if instance.phase in phases.RUNNING
        ]

    def _footprint_mib(self, instance: Instance) -> int:
        offer = self.shelf.offers.get(instance.labels.model)
        if offer is not None and offer.declared.footprint is not None:
            return offer.declared.footprint.total_mib
        return instance.model.vram_mib or 0

    # Parts.

    def instance(self, labels: Labels, model: Model, cache_mib: int | None = None) -> Instance:
        """Return a new instance of a model; nothing is begun."""
        address = containers.address(self.settings.models_net, labels.net)
        server = servers.server(
            labels.model,
            model,
            address=address,
            version=self.settings.version,
            cache_mib=cache_mib,
        )
        base = f"http://{address}:{server.port}"
        talk = Talk(self.session, base, server.ready_path, model.sleep)
        return Instance(labels, model, server, talk, self.means, fence=labels.fence)

    def _cards_of(self, action: NodeAction, offer: Offer) -> list[CardReading]:
        here = {card.id: card for card in self.readings}
        allowed = set(offer.model.cards or here)
        chosen = set(action.cards)
        if len(chosen) != len(action.cards) or len(chosen) != offer.model.cards_needed:
            raise errors.CardUnknown(f"The model needs {offer.model.cards_needed} different cards.")
        if not chosen <= here.keys() & allowed:
            raise errors.CardUnknown()
        return [here[card] for card in action.cards]

    def _free_net(self) -> int:
        taken = {instance.labels.net for instance in self.instances.values()}
        return next(net for net in range(containers.NETWORKS_MAX) if net not in taken)

    def _forget_ended(self) -> None:
        now = self.clock.monotonic()
        ended = [
            one for one in self.instances.values() if one.phase in phases.ENDED and one.at_rest
        ]
        ended.sort(key=lambda one: one.ended_at or now)
        for place, instance in enumerate(ended):
            old = now - (instance.ended_at or now) > ENDED_SECONDS
            if old or len(ended) - place > ENDED_MAX:
                del self.instances[instance.id]
