"""Memories as they were read for the decision, kept for a moment: the same ones are near again and again.

Reading a memory costs a quarter of a millisecond, and a new one is compared with a hundred. Of a turn of talk nine in ten
say nothing that could replace or be replaced; of those only a hash of their words is kept. Whatever was not used for half
a minute goes: a memory that is forgotten must not live on here.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

from memory.supersede.plan import bears
from memory.supersede.reading import Reading, read

# Three kilobytes each, and a quarter of one.
READINGS_MAX, QUIET_MAX = 512, 4096
# What is longer is read again: a few of those would fill the room of all.
CHARS_MAX = 2000
KEPT_SECONDS = 30.0

Key = tuple[str, str | None, datetime]


class Readings:
    """What was read last. Bounded, and in the order of use."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._read: OrderedDict[Key, tuple[Reading, float]] = OrderedDict()
        self._quiet: OrderedDict[bytes, float] = OrderedDict()

    def of(
        self, text: str, speaker: str | None, said_at: datetime, *, turn: bool
    ) -> Reading | None:
        """Return the reading; None of a memory that neither replaces nor is replaced. See `bears` for `turn`."""
        reading = self._known(text, speaker, said_at)
        if reading is not None:
            return reading if bears(reading, turn) else None
        name = _name(text, speaker, turn)
        if name not in self._quiet:
            reading = read(text, speaker, said_at)
            if bears(reading, turn):
                self._keep((text, speaker, said_at), reading)
                return reading
        self._quiet[name] = self._monotonic()
        self._quiet.move_to_end(name)
        if len(self._quiet) > QUIET_MAX:
            self._quiet.popitem(last=False)
        return None

    def whole(self, text: str, speaker: str | None, said_at: datetime) -> Reading:
        """Return the reading, whatever the memory bears."""
        reading = self._known(text, speaker, said_at)
        return reading if reading is not None else read(text, speaker, said_at)

    def forget(self) -> None:
        """Drop what was not used for a while."""
        before = self._monotonic() - KEPT_SECONDS
        while self._read and next(iter(self._read.values()))[1] <= before:
            self._read.popitem(last=False)
        while self._quiet and next(iter(self._quiet.values())) <= before:
            self._quiet.popitem(last=False)

    def _known(self, text: str, speaker: str | None, said_at: datetime) -> Reading | None:
        key = (text, speaker, said_at)
        kept = self._read.get(key)
        if kept is None:
            return None
        self._keep(key, kept[0])
        return kept[0]

    def _keep(self, key: Key, reading: Reading) -> None:
        if len(key[0]) > CHARS_MAX:
            return
        self._read[key] = (reading, self._monotonic())
        self._read.move_to_end(key)
        if len(self._read) > READINGS_MAX:
            self._read.popitem(last=False)


def _name(text: str, speaker: str | None, turn: bool) -> bytes:
    """Return a hash of the words and who said them: when does not change whether anything is stated."""
    said = f"{turn:d}{speaker or ''}\x1f{text}".encode()
    return hashlib.blake2b(said, digest_size=16).digest()
