"""Says on the bus that something has changed: ids and numbers, at most once a second, the last word alone."""

from __future__ import annotations

import asyncio

from contracts.gpustatus import CardBrief, StateChanged
from contracts.scheduling import STATE_TOPIC
from kit import logs
from kit.bus import Bus
from kit.clock import Clock
from kit.errors import KitError

from gpu_scheduler.core.ledger import by_card, card_sum
from gpu_scheduler.core.model import Phase, State
from gpu_scheduler.loop import Turn

log = logs.get(__name__)

SECONDS_MIN = 1.0
CARDS_MAX = 16
RESIDENT_MAX = 16
# Readings waver by a little at all times: less than this of a card is no news.
NEWS_MIB = 16


class Announcer:
    """What was announced last, and what is to be."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._changed = False
        self._looked_at = float("-inf")
        self._last: StateChanged | None = None
        self._next: StateChanged | None = None
        self._woken = asyncio.Event()

    def turned(self, state: State, turn: Turn) -> float | None:
        """Look whether there is news, at most once a second."""
        self._changed = self._changed or bool(turn.events or turn.actions)
        if not self._changed:
            return None
        if turn.now - self._looked_at < SECONDS_MIN:
            return self._looked_at + SECONDS_MIN
        self._looked_at, self._changed = turn.now, False
        brief = brief_of(state, turn.now)
        if self._last is None or _is_news(self._last, brief):
            self._next = brief
            self._woken.set()
        return None

    async def run(self) -> None:
        """Publish until cancelled. What Valkey did not take is said with the next change."""
        away = False
        while True:
            await self._woken.wait()
            self._woken.clear()
            brief, self._next = self._next, None
            if brief is None:
                continue
            try:
                await self._bus.publish(STATE_TOPIC, brief)
                self._last, away = brief, False
            except KitError as error:
                if not away:
                    log.warning("state.unannounced", code=error.code)
                away = True
            await self._clock.sleep(SECONDS_MIN)


def brief_of(state: State, now: float) -> StateChanged:
    """Return the state in numbers."""
    on = by_card(state)
    bare = any(not request.model for request in state.granted.values())
    cards: list[CardBrief] = []
    for card in sorted(state.cards.values(), key=lambda card: (card.node, card.index))[:CARDS_MAX]:
        sums = card_sum(state, card, on[card.id], bare, now)
        cards.append(
            CardBrief(
                id=card.id,
                total_mib=card.total_mib,
                used_mib=card.used_mib,
                booked_mib=max(0, sums.booked),
                foreign_mib=max(0, sums.foreign),
                free_mib=max(0, sums.free),
            )
        )
    resident = {
        instance.deployment[1]
        for instance in state.instances.values()
        if instance.phase is Phase.READY
    }
    leases = sum(1 for request in state.granted.values() if request.lease)
    return StateChanged(
        epoch=state.epoch,
        paused=state.paused,
        nodes_up=sum(node.up for node in state.nodes.values()),
        queued=state.queued_by_class.total(),
        running=len(state.granted) - leases,
        leases=leases,
        cards=tuple(cards),
        resident=tuple(sorted(resident)[:RESIDENT_MAX]),
    )


def _is_news(before: StateChanged, now: StateChanged) -> bool:
    if before.model_copy(update={"cards": ()}) != now.model_copy(update={"cards": ()}):
        return True
    if [card.id for card in before.cards] != [card.id for card in now.cards]:
        return True
    return any(
        abs(getattr(was, name) - getattr(is_, name)) >= NEWS_MIB
        for was, is_ in zip(before.cards, now.cards, strict=True)
        for name in ("total_mib", "used_mib", "booked_mib", "foreign_mib", "free_mib")
    )
