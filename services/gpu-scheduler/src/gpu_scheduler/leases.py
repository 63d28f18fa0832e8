"""Leases: a model's instance or bare memory, held until released, for as long as the holder says that it lives.

A lease is kept in Postgres before its holder hears of it, so that no restart forgets one. While Postgres is away no
lease is granted; those that are held go on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal
from uuid import uuid4

from contracts.gpunode import INSTANCES_PATH
from contracts.scheduling import Lease, LeaseAsk
from kit import logs
from kit.clock import Clock
from kit.errors import KitError

from gpu_scheduler.core.events import Asked, Done, LeaseRenewed, OriginResumed, Withdrawn
from gpu_scheduler.core.model import Phase, Request, ServiceClass, State
from gpu_scheduler.errors import Disabled, LeasesFull, LeaseUnclear, LeaseUnknown, refusal
from gpu_scheduler.errors import LeaseLost as Lost
from gpu_scheduler.fleet import Fleet
from gpu_scheduler.keeping import Keeper
from gpu_scheduler.loop import Loop, Turn
from gpu_scheduler.placing import Placing
from gpu_scheduler.store import KeptLease, Store

log = logs.get(__name__)

LEASES_MAX = 512
OVER_MAX = 256
KEEP_SECONDS_MAX = 3.0
# A holder who waits asks now and then whether it is its turn; one who has not for so long has gone.
POLL_SECONDS_MIN = 30.0


@dataclass
class Held:
    """One lease, from its ask to its end."""

    id: str
    holder: str
    ask: LeaseAsk
    asked_at: float
    polled_at: float
    state: Literal["queued", "keeping", "held", "revoked", "refused"] = "queued"
    node: str | None = None
    card: str | None = None
    instance_id: str | None = None
    fence: int | None = None
    why: str = ""
    error: KitError | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def key(self) -> str:
        """Its name among the core's requests."""
        return f"lease:{self.id}"


class Leases:
    """All leases that are held and waited for, and the last few that are over."""

    def __init__(
        self,
        loop: Loop,
        store: Store,
        keeper: Keeper,
        fleet: Fleet,
        placing: Placing,
        clock: Clock,
        *,
        disabled: bool,
    ) -> None:
        self._loop = loop
        self._store = store
        self._keeper = keeper
        self._fleet = fleet
        self._placing = placing
        self._clock = clock
        self._disabled = disabled
        self._held: dict[str, Held] = {}
        self._over: OrderedDict[str, Held] = OrderedDict()
        self._keeping: set[asyncio.Task[None]] = set()

    # What is asked for.

    async def ask(self, holder: str, ask: LeaseAsk) -> Lease:
        """Return the lease, held or with its place in the queue. Raises what it is refused with, or DataUnavailable."""
        if (ask.model is None) == (ask.memory_mib is None) or (ask.card and ask.model):
            raise LeaseUnclear()
        if self._disabled:
            raise Disabled()
        if len(self._held) >= LEASES_MAX:
            raise LeasesFull()
        now = self._clock.monotonic()
        held = Held(uuid4().hex, holder, ask, now, now)
        self._held[held.id] = held
        await self._loop.settle(Asked(self._request(held)))
        if held.state in ("queued", "keeping") and (ask.wait_seconds or held.state == "keeping"):
            await self._changed(held, ask.wait_seconds)
        return self._answer(held)

    async def _changed(self, held: Held, seconds: float) -> None:
        """Wait until it is held or refused, or `seconds` are over; one that is being kept is waited for in any case."""
        waiter = asyncio.create_task(held.changed.wait())
        limit = asyncio.create_task(self._clock.sleep(seconds))
        try:
            await asyncio.wait({waiter, limit}, return_when=asyncio.FIRST_COMPLETED)
            if held.state == "keeping":
                await waiter
        finally:
            for task in (waiter, limit):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def look(self, holder: str | None, id: str) -> Lease:
        """Return a lease as it is; a holder who asks lives. Raises LeaseUnknown, or what it was refused with."""
        held = self._find(holder, id)
        if holder is not None:
            held.polled_at = self._clock.monotonic()
        return self._answer(held)

    async def renew(self, holder: str, id: str, fence: int) -> Lease:
        """Renew a lease for its time to live. Raises LeaseUnknown, LeaseLost."""
        held = self._find(holder, id)
        if held.state != "held" or held.fence != fence:
            raise Lost(held.why if held.state == "revoked" else None)
        await self._loop.settle(LeaseRenewed(held.key, fence))
        if held.state != "held" or held.key not in self._loop.state.requests:
            raise Lost(held.why or None)
        self._keeper.renewed(held.id)
        return self._answer(held)

    async def release(self, holder: str | None, id: str) -> None:
        """End a lease, or give up its place. `holder` None is the owner, who may end any. Raises LeaseUnknown."""
        held = self._find(holder, id)
        if held.state == "held" and held.fence is not None:
            await self._loop.settle(Done(held.key, "ok", held.fence))
            self._keeper.ended(held.id)
        elif held.state in ("queued", "keeping"):
            await self._loop.settle(Withdrawn(held.key))
        self._end(held, "revoked", "it was released")

    def _find(self, holder: str | None, id: str) -> Held:
        held = self._held.get(id) or self._over.get(id)
        if held is None or (holder is not None and held.holder != holder):
            raise LeaseUnknown()
        return held

    def of(self, state: State, now: float) -> list[Lease]:
        """Return all leases that are held and waited for."""
        return [self._view(held, state, now) for held in self._held.values()]

    # What was decided.

    def granted(self, request: Request, why: str, state: State) -> None:
        """It is granted: it is kept, and then its holder hears of it."""
        held = self._held.get(_id(request))
        if held is None:
            return
        held.instance_id, held.card, held.fence = (
            request.instance,
            request.lease_card,
            request.fence,
        )
        instance = state.instances.get(request.instance or "")
        card = state.cards.get(request.lease_card or "")
        held.node = instance.deployment[0] if instance else card.node if card else None
        held.state, held.why = "keeping", why
        task = asyncio.create_task(self._keep(held), name="keep-lease")
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def _keep(self, held: Held) -> None:
        try:
            async with asyncio.timeout(KEEP_SECONDS_MAX):
                await self._store.keep_lease(_kept(held))
        except Exception as error:
            if not isinstance(error, KitError):
                log.exception("lease.unkept", error)
            held.error = error if isinstance(error, KitError) else KitError()
            # It may have been written all the same: what a restart finds and nobody renews runs out.
            self._keeper.ended(held.id)
            await self._loop.put(Done(held.key, "failed", held.fence or 0))
            self._end(held, "refused", "it could not be kept")
            return
        if held.state == "keeping":
            held.state = "held"
            held.changed.set()
        else:
            self._keeper.ended(held.id)

    def refused(self, request: Request, code: str, why: str) -> None:
        """It will not be granted."""
        held = self._held.get(_id(request))
        if held is not None:
            held.error = refusal(code)(why)
            held.error.code = code
            self._end(held, "refused", why)

    def revoked(self, request: Request, why: str) -> None:
        """It is over: it ran out, its holder died, or what is behind it has gone."""
        held = self._held.get(_id(request))
        if held is not None:
            log.info("lease.revoked", lease=held.id, purpose_class=held.ask.service_class)
            self._keeper.ended(held.id)
            self._end(held, "revoked", why)

    def _end(self, held: Held, state: Literal["revoked", "refused"], why: str) -> None:
        held.state, held.why = state, why
        held.changed.set()
        self._held.pop(held.id, None)
        self._over[held.id] = held
        while len(self._over) > OVER_MAX:
            self._over.popitem(last=False)

    def turned(self, state: State, turn: Turn) -> float | None:
        """Give up the places of those who do not ask any more."""
        next_look: float | None = None
        for held in list(self._held.values()):
            if held.state != "queued":
                continue
            patience = max(POLL_SECONDS_MIN, held.ask.ttl_seconds, held.ask.wait_seconds + 5.0)
            over = held.polled_at + patience
            if over <= turn.now:
                self._loop.follow(Withdrawn(held.key))
                self._end(held, "revoked", "nobody asked for it any more")
            else:
                next_look = over if next_look is None else min(next_look, over)
        return next_look

    # After a restart.

    def restore(self, kept: list[KeptLease], now: float) -> list[OriginResumed]:
        """Return the events by which the core learns of the leases that are held."""
        events: list[OriginResumed] = []
        for row in kept[:LEASES_MAX]:
            ask = LeaseAsk(
                model=row.model,
                memory_mib=row.memory_mib,
                card=row.card,
                service_class=ServiceClass(row.service_class).value,
                agent=row.agent,
                ttl_seconds=row.ttl_seconds,
                purpose=row.purpose,
            )
            held = Held(row.id, row.holder, ask, now, now, "held")
            held.node, held.card, held.instance_id = row.node, row.card, row.instance_id
            held.fence, held.why = row.fence, "held since before the scheduler's restart"
            self._held[held.id] = held
            request = self._request(held)
            request.instance, request.fence, request.granted_at = row.instance_id, row.fence, now
            # Its holder could not be heard while the scheduler was away.
            request.lease_until = now + row.ttl_seconds
            events.append(OriginResumed(request.origin, (request,)))
        return events

    def _request(self, held: Held) -> Request:
        ask = held.ask
        return Request(
            id=held.key,
            origin=held.key,
            model=ask.model or "",
            service_class=ServiceClass(ask.service_class),
            caller=held.holder,
            arrived=held.asked_at,
            seq=0,
            work_s=ask.ttl_seconds,
            agent=ask.agent,
            lease=True,
            lease_mib=ask.memory_mib or 0,
            lease_card=ask.card,
            lease_ttl_s=ask.ttl_seconds,
        )

    # How it is shown.

    def _answer(self, held: Held) -> Lease:
        if held.state == "refused":
            raise held.error or KitError()
        return self._view(held, self._loop.state, self._clock.monotonic())

    def _view(self, held: Held, state: State, now: float) -> Lease:
        request = state.requests.get(held.key)
        is_held = held.state == "held"
        node = self._fleet.node(held.node or "") if is_held else None
        until = request.lease_until if request is not None and is_held else None
        place = self._placing.last(held.key) if held.state == "queued" else None
        instance = state.instances.get(held.instance_id or "")
        why = held.why
        if is_held and instance is not None and instance.phase is Phase.DRAINING:
            why = "the model is to be drained: finish, and release the lease"
        return Lease(
            lease_id=held.id,
            state="queued" if held.state == "keeping" else held.state,  # type: ignore[arg-type]
            model=held.ask.model,
            memory_mib=held.ask.memory_mib,
            node=held.node if is_held else None,
            card=held.card if is_held else held.ask.card,
            node_url=node.url if node else None,
            tls_name=node.tls_name if node else None,
            path=f"{INSTANCES_PATH}/{held.instance_id}" if is_held and held.instance_id else None,
            fence=held.fence if is_held else None,
            holder=held.holder,
            agent=held.ask.agent,
            purpose=held.ask.purpose,
            expires_at=None
            if until is None
            else self._clock.now() + timedelta(seconds=until - now),
            position=place.position if place else None,
            expected_start_seconds=place.expected_start_seconds if place else None,
            why=(place.why if place else why)[:500],
        )


def _id(request: Request) -> str:
    return request.id.partition(":")[2]


def _kept(held: Held) -> KeptLease:
    return KeptLease(
        id=held.id,
        holder=held.holder,
        agent=held.ask.agent,
        purpose=held.ask.purpose,
        service_class=held.ask.service_class,
        model=held.ask.model,
        memory_mib=held.ask.memory_mib,
        node=held.node or "unknown",
        card=held.card,
        instance_id=held.instance_id if held.ask.model else None,
        fence=held.fence or 0,
        ttl_seconds=held.ask.ttl_seconds,
    )
