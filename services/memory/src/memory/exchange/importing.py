"""Import: every row is read, decided and counted once; nothing is written before its batch is understood.

Ids. An id is kept when this house gave it out to this person (its seal says so); any other becomes a new one that is
made from the person and the old id. So importing again finds what the first time made, two people can import the same
file, and nobody can claim an id that is another's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from contracts.tiers import Tier
from kit.pool import PERSON

from memory.domain import READING_ROLES, allowed_tiers
from memory.errors import PersonNeeded
from memory.exchange import jsonl, markdown, names, topics
from memory.exchange.batch import Batch, Row, Run
from memory.exchange.decide import PROBLEMS_MAX, Tally
from memory.exchange.errors import ExchangeBusy, ImportTooLarge, ImportUnreadable
from memory.exchange.record import (
    check_level,
    check_namespace,
    check_tier,
    from_plain,
    placed,
)
from memory.exchange.store import ExchangeStore
from memory.exchange.values import BadRecord
from memory.library import now

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kit.pool import CallerLike

    from memory.exchange.archive import Member
    from memory.library import Library
    from memory.writing.move import Move

ROWS_MAX = 200_000
BATCH_ROWS = 100


@dataclass(frozen=True)
class Options:
    """How an import goes about it. Only counting is the default; taking away and bringing back must be asked for."""

    dry_run: bool = True
    delete: bool = False
    resurrect: bool = False
    problems_max: int = PROBLEMS_MAX


@dataclass
class Result:
    """What came of an import."""

    tally: Tally
    namespaces_added: list[str] = field(default_factory=list)


class Import:
    """`POST /v1/import`, and what takes hand edits out of the nightly files."""

    def __init__(
        self,
        library: Library,
        move: Move,
        forget: Callable[[CallerLike, UUID], Awaitable[object]] | None,
        wake: Callable[[Tier], None],
    ) -> None:
        self._library = library
        self._forget = forget
        self._store = ExchangeStore(library)
        self._batch = Batch(library, move, wake)
        self._running = asyncio.Semaphore(1)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Be the only import. Raises ExchangeBusy."""
        if self._running.locked():
            raise ExchangeBusy(Retry_After="30")
        async with self._running:
            yield

    async def lines(
        self, caller: CallerLike, chunks: AsyncIterable[bytes], options: Options
    ) -> Result:
        """Take JSON Lines as they arrive. Raises ReadOnly, PersonNeeded, ImportTooLarge, DataUnavailable."""
        run = await self._run(caller, options)
        run.tally.files = 1
        pending: list[Row] = []
        async for number, raw in jsonl.lines(chunks):
            if raw is None:
                run.tally.refuse("line_too_long", "", number)
            elif raw.strip():
                self._line(run, number, raw, pending)
            pending = await self._flush(run, pending, BATCH_ROWS)
        return await self._finish(run, pending)

    async def files(
        self, caller: CallerLike, members: Iterable[Member], options: Options
    ) -> Result:
        """Take Markdown files. Raises ReadOnly, PersonNeeded, ImportTooLarge, ImportUnreadable, ImportUnsafe."""
        run = await self._run(caller, options)
        pending: list[Row] = []
        for member in members:
            run.tally.files += 1
            reader = markdown.Reader()
            try:
                for drafted in reader.entries(markdown.split(member.content)):
                    self._drafted(run, member.path, reader.page.head, drafted, pending)
                    pending = await self._flush(run, pending, BATCH_ROWS)
            except BadRecord as bad:
                # The rest of this file cannot be told apart; what was read of it stands.
                run.tally.refuse(bad.reason, member.path, 0)
                reader.page.ids = None
            run.shared |= topics.shared_namespaces(reader.page.head)
            if reader.page.head.get("lares") != "entities":
                run.tally.notes += len(reader.page.notes)
            run.listed |= reader.page.ids or frozenset()
        if not run.tally.files:
            raise ImportUnreadable("There is no Markdown file in it.")
        return await self._finish(run, pending)

    async def _run(self, caller: CallerLike, options: Options) -> Run:
        if caller.read_only or caller.db_role in READING_ROLES:
            from kit.auth import ReadOnly

            raise ReadOnly()
        if (options.delete or options.resurrect) and caller.kind != PERSON:
            raise PersonNeeded()
        return Run(
            caller,
            await self._store.seal(caller.subject),
            options.dry_run,
            options.resurrect,
            options.delete,
            Tally(problems_max=options.problems_max),
        )

    def _line(self, run: Run, number: int, raw: bytes, pending: list[Row]) -> None:
        try:
            plain = jsonl.parse(raw)
            if plain.get("lares") == "memories":
                run.shared |= _shared(plain.get("namespaces"))
                return
            if "entity" in plain:
                self._named(run, plain)
                return
            incoming = from_plain(plain, run.caller.subject, run.seal, now())
        except BadRecord as bad:
            run.tally.refuse(bad.reason, "", number)
            return
        pending.append(Row("", number, incoming))

    def _named(self, run: Run, plain: dict[str, Any]) -> None:
        """Note an entity that the caller may write. Raises BadRecord."""
        named, ours = names.from_plain(plain, run.seal, now())
        if named.tier in allowed_tiers(run.caller.db_role):
            run.arriving.declare(named.resolved(lambda ident: run.resolved(ident, ours)))

    def _drafted(
        self,
        run: Run,
        path: str,
        head: dict[str, str],
        drafted: markdown.Drafted,
        pending: list[Row],
    ) -> None:
        """Turn an entry of a file into a row. What MEMORY.md says of other files is no entry."""
        if head.get("lares") == "index" and topics.is_index_entry(drafted.text):
            return
        if drafted.problem is not None:
            run.tally.refuse(drafted.problem, path, drafted.first)
            return
        place = topics.place_of(path, head)
        try:
            if head.get("lares") == "entities":
                if drafted.plain is not None:
                    self._named(run, names.taken(drafted.plain))
                return
            plain: dict[str, Any] = drafted.plain or {**place, "text": drafted.text.strip()}
            incoming = from_plain(plain, run.caller.subject, run.seal, now())
            if drafted.plain is not None:
                entry = incoming.record.entry
                incoming = placed(
                    incoming,
                    check_tier(place.get("tier", entry.tier.value)),
                    check_namespace(place.get("namespace", entry.namespace)),
                    check_level(place.get("level", entry.level.value)),
                )
        except BadRecord as bad:
            run.tally.refuse(bad.reason, path, drafted.first)
            return
        pending.append(Row(path, drafted.first, incoming))

    async def _flush(self, run: Run, pending: list[Row], least: int) -> list[Row]:
        if len(pending) < least:
            return pending
        if run.tally.rows + len(pending) > ROWS_MAX:
            raise ImportTooLarge(f"An import takes at most {ROWS_MAX} rows.")
        await self._batch(run, pending)
        return []

    async def _finish(self, run: Run, pending: list[Row]) -> Result:
        if pending:
            await self._flush(run, pending, 1)
        await self._batch.tie(run)
        run.tally.entities = (
            len(run.arriving.declared)
            if run.dry_run
            else await run.arriving.join(self._library, run.caller)
        )
        missing = await self._batch.missing(run)
        run.tally.missing = len(missing)
        if run.delete and not run.dry_run and self._forget is not None:
            for ident in missing:
                await self._forget(run.caller, ident)
                run.tally.forgotten += 1
        return Result(run.tally, sorted(run.namespaces_added))


def _shared(raw: Any) -> dict[str, bool]:
    if not isinstance(raw, dict) or len(raw) > 1000:
        return {}
    return {name: shared is True for name, shared in raw.items() if isinstance(name, str)}
