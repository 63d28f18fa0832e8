"""What forward-auth remembers for a few seconds, and how it forgets at once.

Nothing is remembered unless revocations are being heard: `heard` is set by the listener while its connection lives.
A decision that was being looked up while a revocation came in is not remembered either (`generation`).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

ENTRIES_MAX = 2048
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Allowed:
    """An allowed read: whose, until when, and the caller's token to hand on."""

    subject: UUID
    token: str
    until: float


class Memory:
    """Allowed reads by (session hash, host, policy class). Never refusals, never writes."""

    def __init__(self, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self._entries: OrderedDict[Key, Allowed] = OrderedDict()
        self.heard = False
        self.generation = 0

    def recall(self, key: Key, now: float) -> str | None:
        """Return the caller's token of a remembered, still valid decision."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now >= entry.until or not self.heard:
            del self._entries[key]
            return None
        return entry.token

    def remember(self, key: Key, subject: UUID, token: str, now: float, generation: int) -> None:
        """Keep an allowed read, unless something changed since `generation` or nobody would tell us."""
        if not self.heard or generation != self.generation or self._ttl_s <= 0:
            return
        self._entries[key] = Allowed(subject, token, now + self._ttl_s)
        self._entries.move_to_end(key)
        if len(self._entries) > ENTRIES_MAX:
            self._entries.popitem(last=False)

    def forget(self, kind: str, value: str) -> None:
        """Drop what a notification is about."""
        self.generation += 1
        if kind == "person":
            gone = [key for key, entry in self._entries.items() if str(entry.subject) == value]
        else:
            gone = [key for key in self._entries if key[0] == value]
        for key in gone:
            del self._entries[key]

    def deafen(self) -> None:
        """Nobody tells us any more: forget everything and remember nothing."""
        self.heard = False
        self.generation += 1
        self._entries.clear()

    def listen(self) -> None:
        """Revocations are heard from now on."""
        self.generation += 1
        self._entries.clear()
        self.heard = True

    def __len__(self) -> int:
        return len(self._entries)
