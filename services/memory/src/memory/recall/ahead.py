"""What a recall does before it is known to be needed: nobody waits for it, and nothing but the time depends on it."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from memory.finding import Candidate, Corpus
from memory.recall.answer import Asking, found_as
from memory.recall.evidence import Manner, manner_of
from memory.recall.question import folded
from memory.recall.rank import rank
from memory.supersede.reading import Reading
from memory.supersede.settle import chosen, reading_of

if TYPE_CHECKING:
    from memory.writing.embedder import QueryVector

PEOPLE_MAX = 256
# Of what is found by words alone: of these, most are still among the best when all is found.
RANKED, READ_MAX = 40, 8
_WORD = re.compile(r"\w+")


class Guess:
    """Whether a question names anybody who speaks, guessed by who spoke when the person asked before.

    Only then has a question to wait for the database before it is embedded. Kept are hashes of the parts of names, which
    say nothing without the names.
    """

    def __init__(self) -> None:
        self._parts: OrderedDict[UUID, frozenset[int]] = OrderedDict()

    def nobody(self, subject: UUID, query: str) -> bool:
        """Say whether, by all that is known, no word of the question is a part of a speaker's name."""
        parts = self._parts.get(subject)
        return parts is not None and parts.isdisjoint(_hashes([query]))

    def learn(self, subject: UUID, speakers: Iterable[str]) -> None:
        """Note who speaks now."""
        self._parts[subject] = frozenset(_hashes(speakers))
        self._parts.move_to_end(subject)
        if len(self._parts) > PEOPLE_MAX:
            self._parts.popitem(last=False)


class Asked:
    """The vector of one question, asked for as soon as anybody can say what is to be embedded."""

    def __init__(self, ask: Callable[[str], Coroutine[Any, Any, QueryVector | None]]) -> None:
        self._ask = ask
        self._text = ""
        self._task: asyncio.Task[QueryVector | None] | None = None

    def begin(self, text: str) -> None:
        """Ask for the vector of `text`, if it is not the one that was asked for already."""
        if self._task is None or text != self._text:
            self.cancel()
            self._text, self._task = text, asyncio.create_task(self._ask(text))

    async def vector(self) -> QueryVector | None:
        """Return the vector of what was asked for last."""
        return await self._task if self._task is not None else None

    def cancel(self) -> None:
        """Ask for nothing any more."""
        if self._task is not None:
            self._task.cancel()


class Ahead:
    """Texts that were found by words, read while Postgres looks for those that are near."""

    def __init__(self, asking: Asking, named: Mapping[UUID, float]) -> None:
        self.manners: dict[UUID, Manner] = {}
        self.readings: dict[UUID, Reading] = {}
        self._asking = asking
        self._named = named

    def read(self, candidates: Sequence[Candidate], corpus: Corpus) -> None:
        """Read how each text speaks, and all that the best of them say."""
        asking = self._asking
        self.manners = {each.id: manner_of(each.text) for each in candidates}
        best = rank(
            *(asking.question, candidates, corpus, asking.asked_at, self._named),
            most=RANKED,
            manners=self.manners,
        )
        for each in chosen([found_as(one, set()) for one in best])[:READ_MAX]:
            self.readings[each.id] = reading_of(each)


def _hashes(texts: Iterable[str]) -> set[int]:
    return {hash(part) for text in texts for part in _WORD.findall(folded(text))}
