"""Memories as they were read for the decision, kept while there is room: the same ones are near again and again.

Reading a memory costs half a millisecond, and a new one is compared with a hundred. Of a turn of talk nine in ten say
nothing that could replace or be replaced; of those only a hash of their words is kept.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from datetime import datetime

from memory.supersede.plan import bears
from memory.supersede.reading import Reading, read

# Five kilobytes each, and a tenth of one.
READINGS_MAX, QUIET_MAX = 512, 8192
# What is longer is read again: a few of those would fill the room of all.
CHARS_MAX = 2000

Key = tuple[str, str | None, datetime]


class Readings:
    """What was read last. Bounded."""

    def __init__(self) -> None:
        self._read: OrderedDict[Key, Reading] = OrderedDict()
        self._quiet: OrderedDict[bytes, None] = OrderedDict()

    def of(
        self, text: str, speaker: str | None, said_at: datetime, *, turn: bool
    ) -> Reading | None:
        """Return the reading; None of a memory that neither replaces nor is replaced. See `bears` for `turn`."""
        reading = self._known(text, speaker, said_at)
        if reading is not None:
            return reading if bears(reading, turn) else None
        name = _name(text, speaker, turn)
        if name in self._quiet:
            self._quiet.move_to_end(name)
            return None
        reading = read(text, speaker, said_at)
        if not bears(reading, turn):
            self._quiet[name] = None
            if len(self._quiet) > QUIET_MAX:
                self._quiet.popitem(last=False)
            return None
        self._keep(text, speaker, said_at, reading)
        return reading

    def whole(self, text: str, speaker: str | None, said_at: datetime) -> Reading:
        """Return the reading, whatever the memory bears."""
        reading = self._known(text, speaker, said_at)
        return reading if reading is not None else read(text, speaker, said_at)

    def _known(self, text: str, speaker: str | None, said_at: datetime) -> Reading | None:
        key = (text, speaker, said_at)
        if key in self._read:
            self._read.move_to_end(key)
        return self._read.get(key)

    def _keep(self, text: str, speaker: str | None, said_at: datetime, reading: Reading) -> None:
        if len(text) > CHARS_MAX:
            return
        self._read[text, speaker, said_at] = reading
        if len(self._read) > READINGS_MAX:
            self._read.popitem(last=False)


def _name(text: str, speaker: str | None, turn: bool) -> bytes:
    """Return a hash of the words and who said them: when does not change whether anything is stated."""
    said = f"{turn:d}{speaker or ''}\x1f{text}".encode()
    return hashlib.blake2b(said, digest_size=16).digest()
