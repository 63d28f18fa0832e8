"""The first level: answers in this process, bounded in number, size and age. No I/O."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

ENTRIES_MAX = 2048
BYTES_MAX = 8 * 1024 * 1024
# An answer larger than this would push out too many others.
ANSWER_BYTES_MAX = BYTES_MAX // 32
# Longer than any transaction may last: whoever announced a change has committed it by then, or never will.
CHANGE_SECONDS_MAX = 30.0
_OVERHEAD_BYTES = 200


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: bytes
    until: float


class Local:
    """Answers by person and key, the least recently used thrown out first.

    While a person's memories are being changed, from before the commit until the change has come back as an event,
    nothing of theirs is answered from here or put here: a reader beside the writer cannot leave an old answer behind.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._kept: OrderedDict[tuple[UUID, str], _Kept] = OrderedDict()
        self._keys: dict[UUID, set[str]] = {}
        self._bytes = 0
        self._generation: dict[UUID, int] = {}
        self._generations = self._floor = 0
        self._changing: dict[UUID, dict[UUID, float]] = {}

    def stamp(self, subject: UUID) -> int | None:
        """Return what `put` must be given back, taken before the answer is read; None while there is a change."""
        changes = self._changing.get(subject)
        if changes:
            now = self._monotonic()
            for event_id in [each for each, until in changes.items() if until <= now]:
                del changes[event_id]
            if changes:
                return None
            del self._changing[subject]
        return self._generation.get(subject, self._floor)

    def get(self, subject: UUID, key: str) -> bytes | None:
        """Return the answer if it is there, young enough and nothing is changing."""
        kept = self._kept.get((subject, key))
        if kept is None or self.stamp(subject) is None:
            return None
        if kept.until <= self._monotonic():
            self._drop(subject, key)
            return None
        self._kept.move_to_end((subject, key))
        return kept.answer

    def put(self, subject: UUID, key: str, answer: bytes, stamp: int, ttl_seconds: float) -> bool:
        """Keep an answer; False when something changed since `stamp` was taken or it is too large."""
        if self.stamp(subject) != stamp or len(answer) > ANSWER_BYTES_MAX:
            return False
        self._drop(subject, key)
        self._kept[subject, key] = _Kept(answer, self._monotonic() + ttl_seconds)
        self._keys.setdefault(subject, set()).add(key)
        self._bytes += len(answer) + _OVERHEAD_BYTES
        while self._bytes > BYTES_MAX or len(self._kept) > ENTRIES_MAX:
            self._drop(*next(iter(self._kept)))
        return True

    def changing(self, subject: UUID, event_id: UUID) -> None:
        """Note a change that this process is about to commit; `changed` with its event ends it."""
        changes = self._changing.setdefault(subject, {})
        if len(changes) < ENTRIES_MAX:
            changes[event_id] = self._monotonic() + CHANGE_SECONDS_MAX
        self._forget(subject)

    def changed(self, subject: UUID, event_id: UUID) -> None:
        """Throw out what is known of a person: something of theirs has changed."""
        changes = self._changing.get(subject)
        if changes is not None:
            changes.pop(event_id, None)
            if not changes:
                del self._changing[subject]
        self._forget(subject)

    def clear(self) -> None:
        """Throw out everything: changes may have been missed."""
        for subject in list(self._keys):
            self._forget(subject)

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def bytes(self) -> int:
        """What the answers take, about."""
        return self._bytes

    def _forget(self, subject: UUID) -> None:
        # Never the same number twice, also when a person's entry was dropped between two of them.
        self._generations += 1
        if len(self._generation) >= ENTRIES_MAX and subject not in self._generation:
            self._restart()
        self._generation[subject] = self._generations
        for key in list(self._keys.get(subject, ())):
            self._drop(subject, key)

    def _restart(self) -> None:
        # A house has a few people; whoever makes up thousands loses the cache, not the memory.
        self._generation.clear()
        self._floor = self._generations
        self._kept.clear()
        self._keys.clear()
        self._bytes = 0

    def _drop(self, subject: UUID, key: str) -> None:
        kept = self._kept.pop((subject, key), None)
        if kept is None:
            return
        self._bytes -= len(kept.answer) + _OVERHEAD_BYTES
        keys = self._keys[subject]
        keys.discard(key)
        if not keys:
            del self._keys[subject]
