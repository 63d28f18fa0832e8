"""Export: everything a caller may read, as files or as lines, a batch at a time and never more than that in memory.

The ids are read first, in one short transaction; the memories follow in batches with a transaction each. So a slow
reader holds no connection and no snapshot, what is forgotten meanwhile is not written, and nothing is written twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from contracts.tiers import Level, Tier
from kit.pool import PERSON

from memory.domain import chosen_tiers, parse_namespace
from memory.errors import PersonNeeded
from memory.exchange import jsonl, markdown, names, topics
from memory.exchange.archive import ZipWriter
from memory.exchange.errors import ExchangeBusy
from memory.exchange.naming import leaving
from memory.exchange.record import Record, Seal, to_plain
from memory.exchange.store import BATCH, ExchangeStore, Plan, batches
from memory.exchange.topics import ENTRIES_PER_FILE, Filed, Topic

if TYPE_CHECKING:
    from kit.pool import CallerLike

    from memory.exchange.names import Named
    from memory.library import Library

AT_ONCE = 2
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Owner:
    """A person for whom the house works by itself: the nightly files are theirs, nobody asks."""

    subject: UUID
    kind: str = PERSON
    session_id: str = PERSON
    db_role: str = "lares_app"
    read_only: bool = False


class Ledger(Protocol):
    """Is told which memories are about to be read, and which of them were not there any more."""

    async def reading(self, ids: Sequence[UUID]) -> None: ...
    async def missed(self, ids: Sequence[UUID]) -> None: ...


@dataclass(frozen=True)
class Scope:
    """What is exported: tiers that were judged already, and namespaces or all that the caller sees."""

    tiers: tuple[Tier, ...]
    namespaces: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Piece:
    """A piece of one file. Pieces of a file follow each other; the last one says so."""

    path: str
    content: bytes
    last: bool = False


def read_scope(
    caller: CallerLike, tiers: Sequence[str] | None, namespaces: Sequence[str] | None
) -> Scope:
    """Return what the caller asks to export. Raises TierUnknown, TierDenied, PersonNeeded, NamespaceInvalid."""
    chosen = chosen_tiers(caller.db_role, tiers)
    if Tier.SACRED in chosen and caller.kind != PERSON:
        raise PersonNeeded()
    spaces = tuple(parse_namespace(name) for name in namespaces) if namespaces is not None else None
    return Scope(chosen, spaces)


class Export:
    """`GET /v1/export`, and what the nightly files are made with."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._store = ExchangeStore(library)
        self._running = asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Be one of the few that export at once. Raises ExchangeBusy."""
        if self._running.locked():
            raise ExchangeBusy(Retry_After="30")
        async with self._running:
            yield

    async def zip(self, caller: CallerLike, scope: Scope) -> AsyncGenerator[bytes]:
        """Yield the Markdown files as one archive. Raises DataUnavailable, SacredUnreadable."""
        archive = ZipWriter()
        path = ""
        try:
            async for piece in self._all_files(caller, scope):
                if piece.path != path:
                    path = piece.path
                    archive.begin(path)
                if ready := archive.write(piece.content):
                    yield ready
                if piece.last and (ready := archive.end()):
                    yield ready
            yield archive.close()
        finally:
            # Whose reader has gone is ended too: collected amid a file it would complain.
            archive.close()

    async def _all_files(self, caller: CallerLike, scope: Scope) -> AsyncIterator[Piece]:
        """Yield the entities' file, if there is one, and the topics'."""
        seal = await self._store.seal(caller.subject)
        begun = False
        async for named in self._named(caller, scope):
            lines = names.file_lines(named, seal)
            lines = lines if begun else [*names.file_head(), *lines]
            begun = True
            yield Piece(names.FILE, "".join(f"{line}\n" for line in lines).encode())
        if begun:
            yield Piece(names.FILE, b"", last=True)
        async for piece in self.files(caller, scope):
            yield piece

    def _named(self, caller: CallerLike, scope: Scope) -> AsyncIterator[Named]:
        # The nightly files are written without: their names could not be cut out with one memory.
        return leaving(self._library, caller, scope.tiers, scope.namespaces)

    async def files(
        self, caller: CallerLike, scope: Scope, ledger: Ledger | None = None
    ) -> AsyncIterator[Piece]:
        """Yield every topic file in pieces, then the index over them; the ledger learns of each memory beforehand.

        Raises DataUnavailable, SacredUnreadable.
        """
        filed: list[Filed] = []
        seal = await self._store.seal(caller.subject)
        plans: list[tuple[Tier, Plan]] = []
        for tier in scope.tiers:
            async with self._library.shelf(tier).pool.as_caller(caller) as conn:
                plans.append((tier, await self._store.plan_topics(conn, tier, scope.namespaces)))
        for tier, plan in plans:
            start = 0
            for (topic, count), written in zip(plan.topics, topics.paths(plan.topics), strict=True):
                for part, path in enumerate(written, 1):
                    stop = min(start + ENTRIES_PER_FILE, start + count)
                    writer = _TopicWriter(topic, part, path, seal)
                    stretch = _Stretch(tier, plan, start, stop)
                    async for piece in self._file(caller, stretch, writer, ledger):
                        yield piece
                    filed += [writer.filed] if writer.filed is not None else []
                    start, count = stop, count - (stop - start)
        shared = await self._shared(caller, {each.topic.namespace for each in filed})
        index = "\n".join(topics.index_lines(filed, shared))
        yield Piece(topics.INDEX, index.encode(), last=True)

    async def lines(self, caller: CallerLike, scope: Scope) -> AsyncGenerator[bytes]:
        """Yield JSON Lines: a first line that says what follows, then the entities that a person made, an entity a line,
        then a memory a line, oldest first in each tier.
        """
        seal = await self._store.seal(caller.subject)
        plans: list[tuple[Tier, Plan]] = []
        for tier in scope.tiers:
            async with self._library.shelf(tier).pool.as_caller(caller) as conn:
                plans.append(
                    (tier, await self._store.plan_oldest_first(conn, tier, scope.namespaces))
                )
        shared = await self._shared(caller, None)
        head = {"lares": "memories", "version": FORMAT_VERSION, "namespaces": shared}
        yield jsonl.line(head)
        async for named in self._named(caller, scope):
            yield jsonl.line(names.to_plain(named, seal))
        for tier, plan in plans:
            async for ids in batches(plan):
                records = await self._records(caller, tier, ids)
                yield b"".join(jsonl.line(to_plain(record, seal)) for record in records)

    async def _file(
        self, caller: CallerLike, stretch: _Stretch, writer: _TopicWriter, ledger: Ledger | None
    ) -> AsyncIterator[Piece]:
        for at in range(stretch.start, stretch.stop, BATCH):
            end = min(at + BATCH, stretch.stop)
            ids = stretch.plan.ids(at, end)
            if ledger is not None:
                await ledger.reading(ids)
            records = await self._records(caller, stretch.tier, ids)
            if ledger is not None and len(records) < len(ids):
                await ledger.missed(list(set(ids) - {record.entry.id for record in records}))
            piece = writer.piece(records, last=end == stretch.stop)
            if piece is not None:
                yield piece

    async def _records(self, caller: CallerLike, tier: Tier, ids: Sequence[UUID]) -> list[Record]:
        async with self._library.shelf(tier).pool.as_caller(caller) as conn:
            records = await self._store.records(conn, tier, ids)
        # Let others run: opening, writing and packing a batch is work of this thread.
        await asyncio.sleep(0)
        return records

    async def _shared(self, caller: CallerLike, only: set[str] | None) -> dict[str, bool]:
        """Return for the namespaces that leave whether they are shared, so that another house keeps them apart."""
        from kit.pool import client_of

        async with self._library.plain.pool.own(read_only=True) as conn:
            spaces = await self._library.plain.namespaces(conn, caller.subject)
        seen = [space for space in spaces if space.seen_by(client_of(caller), PERSON)]
        return {space.name: space.shared for space in seen if only is None or space.name in only}


@dataclass(frozen=True)
class _Stretch:
    """Which of a plan's memories stand in one file."""

    tier: Tier
    plan: Plan
    start: int
    stop: int


class _TopicWriter:
    """Writes one topic's file from its memories, and knows what the index says of it."""

    def __init__(self, topic: Topic, part: int, path: str, seal: Seal) -> None:
        self._topic = topic
        self._part = part
        self._path = path
        self._seal = seal
        self._ids: list[UUID] = []
        self._day = ""
        self.filed: Filed | None = None

    def piece(self, records: Sequence[Record], *, last: bool) -> Piece | None:
        """Return the next piece; None when there is nothing in the file at all."""
        lines = topics.topic_head(self._topic, self._part) if self.filed is None else []
        for record in records:
            lines += self._heading(record)
            lines += markdown.entry_lines(to_plain(record, self._seal))
            self._ids.append(record.entry.id)
            newest = record.entry.happened_at
            if self.filed is None or self.filed.newest is None:
                self.filed = Filed(self._path, self._topic, self._part, 1, newest)
            else:
                self.filed = replace(
                    self.filed,
                    count=self.filed.count + 1,
                    newest=max(newest, self.filed.newest),
                )
        if self.filed is None:
            return None
        if last:
            lines += markdown.ids_lines(self._ids)[:-1]
        # Every stretch ends with a blank line, so that pieces make one file; the last has none.
        return Piece(self._path, "".join(f"{line}\n" for line in lines).encode(), last)

    def _heading(self, record: Record) -> list[str]:
        if not topics.is_month(self._topic.name) or self._topic.level is Level.IDENTITY:
            return []
        day = topics.day_heading(record.entry.happened_at)
        if day == self._day:
            return []
        self._day = day
        return [day, ""]
