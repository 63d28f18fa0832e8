"""The session and working levels in this process: what was said a moment ago is found without Postgres searching for it.

Held are ids, numbers and coarse vectors, never a text: whatever is found here is read from Postgres as the caller, who
therefore sees no more than any search would show. Changes arrive as events; where one may have been missed, or a change
is under way, nothing is answered from here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from contracts.tiers import Level, Tier

from memory.index import statements

if TYPE_CHECKING:
    import numpy as np
    from kit.pool import Pool
    from numpy.typing import NDArray

LEVELS = frozenset((Level.SESSION, Level.WORKING))
TIERS = (Tier.CONVENIENCE, Tier.SENSITIVE)
ROLE = "lares_app"
# Of all people together: 3.8 MB of vectors of 384 numbers.
ITEMS_MAX = 10_000
# With more changes than this it is cheaper to read everything again.
CHANGES_MAX = 256
_HEAD = 4
_TIERS = {tier.value: tier for tier in TIERS}


@dataclass
class _Shelf:
    """One person's: row `place` of the matrix is the memory `keys[place]`."""

    model: int
    keys: list[tuple[Tier, int]] = field(default_factory=list[tuple[Tier, int]])
    places: dict[UUID, int] = field(default_factory=dict[UUID, int])
    ids: list[UUID] = field(default_factory=list[UUID])
    matrix: NDArray[np.int8] | None = None
    changed: set[UUID] = field(default_factory=set[UUID])
    loaded: bool = False


class Working:
    """What is on everyone's mind just now; the person who was asked about longest ago is thrown out first."""

    def __init__(self, pool: Pool, sure: Callable[[UUID], bool]) -> None:
        self._pool = pool
        self._sure = sure
        self._shelves: OrderedDict[UUID, _Shelf] = OrderedDict()

    async def search(
        self, subject: UUID, vector: Sequence[float], model: int, limit: int
    ) -> list[tuple[Tier, int, float]] | None:
        """Return tier, seq and nearness of a person's nearest, best first, whoever may see them.

        None where this process does not know them all: it missed a change, or there are too many.
        """
        if not self._sure(subject):
            return None
        shelf = self._shelves.get(subject)
        if shelf is None or shelf.model != model or len(shelf.changed) > CHANGES_MAX:
            shelf = self._shelves[subject] = _Shelf(model)
        self._shelves.move_to_end(subject)
        if not await self._refresh(subject, shelf) or not self._sure(subject):
            return None
        return _nearest(shelf, vector, limit)

    def changed(self, subject: UUID, memory_id: UUID | None) -> None:
        """Note that a person's memory is another now; without its id, that anything may be."""
        if memory_id is None:
            self._shelves.pop(subject, None)
        elif (shelf := self._shelves.get(subject)) is not None:
            shelf.changed.add(memory_id)

    def clear(self) -> None:
        """Throw out everything: changes may have been missed."""
        self._shelves.clear()

    def __len__(self) -> int:
        return sum(len(shelf.ids) for shelf in self._shelves.values())

    async def _refresh(self, subject: UUID, shelf: _Shelf) -> bool:
        """Bring a shelf up to date; False when it cannot hold everything."""
        if shelf.loaded and not shelf.changed:
            return True
        # Taken before the rows are read: what changes meanwhile comes again.
        taken, shelf.changed = (shelf.changed if shelf.loaded else None), set()
        rows = await self._read(subject, shelf.model, taken)
        if self._shelves.get(subject) is not shelf:
            return False
        for ident in taken or ():
            _remove(shelf, ident)
        if len(shelf.ids) + len(rows) > ITEMS_MAX:
            del self._shelves[subject]
            return False
        _add(shelf, rows)
        shelf.loaded = True
        while len(self) > ITEMS_MAX:
            self._shelves.popitem(last=False)
        return True

    async def _read(self, subject: UUID, model: int, ids: Iterable[UUID] | None) -> list[Any]:
        asked = None if ids is None else list(ids)
        async with self._pool.as_role(ROLE, subject, read_only=True) as conn:
            return await conn.fetch(
                statements.joined("at_hand", TIERS), model, asked, ITEMS_MAX + 1
            )


def _add(shelf: _Shelf, rows: Sequence[Any]) -> None:
    import numpy as np

    rows = [row for row in rows if row["id"] not in shelf.places]
    if not rows:
        return
    packed = b"".join(row["vector"][_HEAD:] for row in rows)
    vectors = np.frombuffer(packed, dtype=">f2").astype(np.float32).reshape(len(rows), -1)
    coarse = _coarse(vectors)
    shelf.matrix = coarse if shelf.matrix is None else np.concatenate((shelf.matrix, coarse))
    for row in rows:
        shelf.places[row["id"]] = len(shelf.ids)
        shelf.ids.append(row["id"])
        shelf.keys.append((_TIERS[row["tier"]], row["seq"]))


def _remove(shelf: _Shelf, ident: UUID) -> None:
    place = shelf.places.pop(ident, None)
    if place is None or shelf.matrix is None:
        return
    last = len(shelf.ids) - 1
    if place != last:
        # The last one moves into the gap.
        shelf.matrix[place] = shelf.matrix[last]
        shelf.ids[place], shelf.keys[place] = shelf.ids[last], shelf.keys[last]
        shelf.places[shelf.ids[place]] = place
    shelf.ids.pop()
    shelf.keys.pop()
    shelf.matrix = shelf.matrix[:last]


def _nearest(shelf: _Shelf, vector: Sequence[float], limit: int) -> list[tuple[Tier, int, float]]:
    import numpy as np
    import simsimd

    if shelf.matrix is None or not shelf.ids or shelf.matrix.shape[1] != len(vector):
        return []
    wanted = _coarse(np.asarray([vector], dtype=np.float32))
    # Bytes and not floats: a quarter of the memory, and a small processor compares them in a fraction of the time.
    distances = np.asarray(simsimd.cdist(wanted, shelf.matrix, metric="cosine"))[0]
    best = (
        np.argpartition(distances, limit)[:limit]
        if limit < len(distances)
        else np.arange(len(distances))
    )
    best = best[np.argsort(distances[best], kind="stable")]
    return [(*shelf.keys[place], 1.0 - float(distances[place])) for place in best.tolist()]


def _coarse(vectors: NDArray[np.float32]) -> NDArray[np.int8]:
    """Return each vector's direction in bytes: its greatest part is 127."""
    import numpy as np

    greatest = np.abs(vectors).max(axis=1, keepdims=True)
    return np.rint(vectors * (127 / np.maximum(greatest, 1e-9))).astype(np.int8)
