"""Forgetting cascades: when a memory is erased or made sacred, the words that repeat it leave the conversations."""

import asyncio

from contracts.memory import MemoryChanged
from kit import logs
from kit.bus import Bus, Message

from orchestrator.normalize import FORGOTTEN_PLACEHOLDER, MADE_SACRED_PLACEHOLDER
from orchestrator.numbers import Numbers
from orchestrator.store import Store

log = logs.get(__name__)

TOPIC = "memory.changed.v1"
GROUP = "orchestrator"


class Redactor:
    """Consumer of `memory.changed.v1`. What is delivered again is known by its id and passed over."""

    def __init__(self, store: Store, numbers: Numbers) -> None:
        self._store = store
        self._numbers = numbers

    async def handle(self, message: Message) -> None:
        """Redact what repeats the memory, if it is gone or sacred now."""
        event = MemoryChanged.model_validate(message.payload)
        words = placeholder(event)
        if words is None:
            return
        changed = await self._store.redact(
            event.subject_id, event.memory_id, words, event_id=message.event_id
        )
        if changed:
            self._numbers.redacted(changed)
            log.info("turns.redacted", turns=changed, memory_id=str(event.memory_id))

    async def run(self, bus: Bus) -> None:
        """Consume until cancelled; whatever else happens is logged and begun again."""
        while True:
            try:
                await bus.consume(TOPIC, GROUP, "orchestrator-1", self.handle)
            except Exception as error:
                # A refused command or a protocol change must not end the cascade until the next restart.
                log.exception("redactor.broke", error)
                await asyncio.sleep(5.0)


def placeholder(event: MemoryChanged) -> str | None:
    """Return what takes the place of a memory's words in conversations, None while they may stay."""
    if event.change == "forgotten":
        return FORGOTTEN_PLACEHOLDER
    if event.tier == "sacred" and event.change == "moved":
        return MADE_SACRED_PLACEHOLDER
    return None
