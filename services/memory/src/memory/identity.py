"""The level that is always in context: what it says as one text, and that it stays small enough to be there."""

from __future__ import annotations

from collections.abc import Iterable

from contracts.identity import Caller
from contracts.memory import Identity, Memory
from contracts.tiers import IDENTITY_TOKENS_MAX, Level, Tier
from kit.pool import Connection

from memory.domain import Entry, allowed_tiers
from memory.errors import IdentityFull
from memory.levels.plan import tokens_of
from memory.library import Library
from memory.plain import PlainShelf
from memory.presenting import to_memory
from memory.store import Shelf

# One short line each would still be within the tokens; the limit only bounds what is read.
ROWS_MAX = 1000
_PLAIN = (Tier.CONVENIENCE, Tier.SENSITIVE)


def tokens(texts: Iterable[str]) -> int:
    """Return about how many tokens the texts have as lines of a prompt, rather too many than too few."""
    return sum(tokens_of(len(text)) for text in texts)


async def check_room(conn: Connection, shelf: Shelf, before: Entry | None, after: Entry) -> None:
    """Return if `after`, in place of `before`, fits among what is always in context. Raises IdentityFull.

    A sacred memory cannot be there: what is in every prompt is not only for whoever names it.
    """
    if after.level is not Level.IDENTITY:
        return
    if not isinstance(shelf, PlainShelf):
        raise IdentityFull("A sacred memory cannot be always in context.")
    kept = await shelf.identity(conn, after.tier, ROWS_MAX)
    others = [entry.text for entry in kept if before is None or entry.id != before.id]
    if len(others) >= ROWS_MAX or tokens((*others, after.text)) > IDENTITY_TOKENS_MAX:
        raise IdentityFull()


class IdentityContext:
    """`GET /v1/identity`."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def __call__(self, caller: Caller) -> Identity:
        """Return what is always in context, of the tiers that the caller may read, within the limit of tokens.

        The least private tier comes first, so that what a narrower client sees is a beginning of the whole.
        """
        shelf = self._library.plain
        entries: list[Entry] = []
        async with shelf.pool.as_caller(caller) as conn:
            for tier in _PLAIN:
                if tier in allowed_tiers(caller.db_role):
                    entries += await shelf.identity(conn, tier, ROWS_MAX)
        shown: list[Memory] = []
        used = 0
        for entry in entries:
            # Each tier has the limit to itself; together they may be more than a prompt should hold.
            cost = tokens([entry.text])
            if used + cost > IDENTITY_TOKENS_MAX:
                break
            used += cost
            shown.append(to_memory(entry))
        text = "\n".join(f"- {memory.text}" for memory in shown)
        return Identity(text=text, tokens=used, memories=shown)
