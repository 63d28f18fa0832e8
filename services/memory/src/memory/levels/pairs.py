"""Near-duplicates that the way through the levels brings together.

Writing merges what repeats a memory of its own level. A memory that rises meets others that were not its equals when
it was written: those pairs are found here, by the same judgement, and offered to the plan.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from memory.levels.decide import Item, Pair
from memory.levels.store import PLAIN_TIERS, ROLE, LevelStore, item_of

if TYPE_CHECKING:
    from memory.plain import PlainShelf

RISEN_MAX, PAIRS_MAX = 200, 100


async def near_duplicates(
    store: LevelStore, shelf: PlainShelf, subject: UUID, since: datetime
) -> tuple[list[Item], list[Pair]]:
    """Return the pairs among what changed its level since then, and their memories. Raises DataUnavailable."""
    # Only who has something to compare loads what it compares with.
    from memory.writing.duplicates import may_merge

    items: list[Item] = []
    pairs: list[Pair] = []
    for tier in PLAIN_TIERS:
        async with store.plain.own(read_only=True) as conn:
            rows = await conn.fetch(
                store.book("risen_lately"), subject, tier.value, since, RISEN_MAX
            )
        risen = [row["memory_id"] for row in rows]
        if not risen:
            continue
        async with store.plain.as_role(ROLE, subject, read_only=True) as conn:
            same = await conn.fetch(store.text("same_claims", tier), risen, PAIRS_MAX)
            idents = list({row[side] for row in same for side in ("one", "other")})
            if not idents:
                continue
            entries = {entry.id: entry for entry in await shelf.many(conn, tier, idents)}
            found = await conn.fetch(store.text("observe_items", tier), idents)
        items += [item_of(row, tier) for row in found]
        pairs += [
            # The claims are the same word for word: nothing is nearer.
            Pair(row["one"], row["other"], 1.0)
            for row in same
            if row["one"] in entries
            and row["other"] in entries
            and may_merge(entries[row["one"]], entries[row["other"]])
        ]
    return items, pairs
