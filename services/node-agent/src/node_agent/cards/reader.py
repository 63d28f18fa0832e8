"""Reads the cards without ever hanging the agent: one thread asks the driver, and whoever waits gives up in time.

A driver that hangs cannot be interrupted, its thread can only be left alone. Until it comes back the cards are told
with an error and their last numbers, so that nothing new is started on them; no second thread is started meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from contracts.gpunode import CardReading
from kit import logs

from node_agent.cards.resident import Resident
from node_agent.cards.seen import CardReader
from node_agent.cards.sharing import Sharing

log = logs.get(__name__)


@dataclass(frozen=True)
class _Look:
    residents: tuple[Resident, ...]
    answer: Future[tuple[CardReading, ...]]


class Cards:
    """All cards of the node. `read` never raises and never takes longer than `seconds_max`."""

    def __init__(self, reader: CardReader, *, seconds_max: float = 2.0) -> None:
        self._reader, self._seconds_max = reader, seconds_max
        self._sharing = Sharing(reader.owners)
        self._last: tuple[CardReading, ...] = ()
        self._pending: Future[tuple[CardReading, ...]] | None = None
        self._looks: queue.SimpleQueue[_Look | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._complained = ""

    async def read(self, residents: Sequence[Resident] = ()) -> tuple[CardReading, ...]:
        """Return every card as it is now; one that could not be read carries an error and its last numbers.

        The reading begins within this call: an answer that an earlier call gave up waiting for is thrown away.
        """
        if self._pending is not None:
            if not self._pending.done():
                return self._failed("The driver has not answered since an earlier reading.")
            self._pending = None
        look = _Look(tuple(residents), Future())
        self._start().put(look)
        try:
            async with asyncio.timeout(self._seconds_max):
                read = await asyncio.wrap_future(look.answer)
        except TimeoutError:
            # wrap_future cancels what it waits for, unless the thread has begun with it.
            self._pending = None if look.answer.cancelled() else look.answer
            return self._failed(f"The driver did not answer within {self._seconds_max:g} s.")
        except (
            Exception
        ) as error:  # whatever a driver's library raises is the card's error, not the agent's
            return self._failed(f"The cards cannot be read: {error}"[:500])
        return self._good(read)

    def _start(self) -> queue.SimpleQueue[_Look | None]:
        if self._thread is None:
            # A daemon: a driver that hangs for good must not keep the agent from ending.
            self._thread = threading.Thread(target=self._work, name="cards", daemon=True)
            self._thread.start()
        return self._looks

    def _work(self) -> None:
        while (look := self._looks.get()) is not None:
            if not look.answer.set_running_or_notify_cancel():
                continue
            try:
                seen = self._reader.look(look.residents)
                look.answer.set_result(
                    tuple(self._sharing.reading(card, look.residents) for card in seen)
                )
            except Exception as error:  # told to whoever waits
                look.answer.set_exception(error)
        with contextlib.suppress(Exception):  # the driver may be the reason for the end
            self._reader.close()

    def _good(self, read: tuple[CardReading, ...]) -> tuple[CardReading, ...]:
        # A card that has fallen off the bus is not listed any more: the scheduler must hear that, not miss it.
        listed = {card.id for card in read}
        gone = tuple(
            card.model_copy(update={"error": "The driver lists this card no more."})
            for card in self._last
            if card.id not in listed
        )
        self._last = read + gone
        self._complain("; ".join(f"{card.id}: {card.error}" for card in self._last if card.error))
        return self._last

    def _failed(self, why: str) -> tuple[CardReading, ...]:
        self._complain(why)
        return tuple(card.model_copy(update={"error": why}) for card in self._last)

    def _complain(self, why: str) -> None:
        if why != self._complained:
            self._complained = why
            if why:
                log.warning("cards.unreadable", why=why)
            else:
                log.info("cards.readable")

    async def close(self) -> None:
        """End the thread, unless the driver holds it."""
        if self._thread is not None:
            self._looks.put(None)
            await asyncio.to_thread(self._thread.join, self._seconds_max)
            self._thread = None
