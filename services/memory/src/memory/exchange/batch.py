"""A batch of an import: what stands in the house for each row, the decision, and what the decision asks to be done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, cast
from uuid import UUID, uuid4, uuid5

from contracts.tiers import Level, Tier
from kit import logs
from kit.errors import KitError
from kit.pool import PERSON, DataUnavailable

from memory.domain import HOME, PRIVACY, Entry, allowed_tiers, expiry
from memory.exchange.decide import Found, Outcome, Standing, Tally, Verdict, decide
from memory.exchange.naming import Arriving
from memory.exchange.record import Incoming, Record, Seal, Tie, text_digest
from memory.exchange.store import BATCH, ExchangeStore
from memory.library import now
from memory.writing.store import pipeline

if TYPE_CHECKING:
    from contracts.identity import Caller
    from kit.pool import CallerLike, Connection

    from memory.library import Library
    from memory.store import Shelf
    from memory.writing.move import Move

log = logs.get(__name__)
TIES_MAX = 50_000
MISSING_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an import and where it stands."""

    file: str
    line: int
    incoming: Incoming


@dataclass
class Run:
    """One import while it runs: who, how, and what was seen so far."""

    caller: CallerLike
    seal: Seal
    dry_run: bool
    resurrect: bool
    delete: bool
    tally: Tally = field(default_factory=Tally)
    shared: dict[str, bool] = field(default_factory=dict)
    namespaces_added: set[str] = field(default_factory=set)
    arriving: Arriving = field(init=False)
    listed: frozenset[UUID] = frozenset()
    seen: set[bytes] = field(default_factory=set)
    said: set[tuple[Tier, str, str]] = field(default_factory=set)
    ties: list[tuple[Tier, UUID, Tie]] = field(default_factory=list)
    namespaces: set[str] | None = None
    sacred_said: set[tuple[str, str]] | None = None

    def __post_init__(self) -> None:
        self.arriving = Arriving(self.caller.subject)

    def resolved(self, ident: UUID, ours: bool) -> UUID:
        """Return the id under which a row's id is known here."""
        # Only the person's own session brings ids back: a token cannot tell where the memory stands by now.
        return (
            ident if ours and self.caller.kind == PERSON else uuid5(self.caller.subject, ident.hex)
        )


class Batch:
    """Decides and does."""

    def __init__(self, library: Library, move: Move, wake: Callable[[Tier], None]) -> None:
        self._library = library
        self._store = ExchangeStore(library)
        self._move = move
        self._wake = wake

    async def __call__(self, run: Run, rows: Sequence[Row]) -> None:
        """Decide every row of a batch, do it unless it is a dry run, and count it once."""
        known = [row for row in rows if await self._admit(run, row)]
        idents = {row.incoming.id for row in known if row.incoming.id is not None}
        found = await self._look_up(run, idents)
        inserts: dict[Tier, list[tuple[Row, Record]]] = defaultdict(list)
        for row in known:
            if row.incoming.id is None:
                continue
            ident, verdict = self._decide(run, row, found)
            if verdict.outcome is Outcome.INSERTED:
                record = self._made(run, row.incoming, ident)
                inserts[record.entry.tier].append((row, record))
                if ident in found.forgotten and not run.dry_run:
                    await self._store.lift_tombstone(run.caller.subject, ident)
            elif verdict.outcome is Outcome.EDITED and not run.dry_run:
                run.tally.count(await self._edit(run, row, ident), row.file, row.line, ident)
            else:
                run.tally.count(verdict, row.file, row.line, row.incoming.id)
        for row in await self._unsaid(run, [row for row in known if row.incoming.id is None]):
            record = self._new(run, row.incoming)
            inserts[record.entry.tier].append((row, record))
        for tier, made in inserts.items():
            await self._insert(run, tier, made)

    async def tie(self, run: Run) -> None:
        """Tie memories to what they were made of, now that all of them are here."""
        if run.dry_run:
            return
        by_tier: dict[Tier, list[tuple[UUID, Tie]]] = defaultdict(list)
        for tier, source, tie in run.ties:
            by_tier[tier].append((source, tie))
        for tier, ties in by_tier.items():
            for start in range(0, len(ties), BATCH):
                async with self._library.shelf(tier).pool.as_caller(run.caller) as conn:
                    for source, tie in ties[start : start + BATCH]:
                        await self._store.put_tie(conn, tier, source, tie)

    async def missing(self, run: Run) -> list[UUID]:
        """Return the memories that stand here and were taken out of the files they were listed in."""
        gone = [ident for ident in run.listed if ident.bytes not in run.seen][:MISSING_MAX]
        missing: list[UUID] = []
        for start in range(0, len(gone), BATCH // 2):
            part = gone[start : start + BATCH // 2]
            found = await self._look_up(run, set(part))
            missing += [
                ident
                for raw in part
                for ident in (raw, uuid5(run.caller.subject, raw.hex))
                if ident in found.entries
            ]
        return missing

    async def _admit(self, run: Run, row: Row) -> bool:
        """Say whether the caller may bring this row at all, and whether it comes for the first time."""
        entry, ident = row.incoming.record.entry, row.incoming.id
        if ident is not None:
            if ident.bytes in run.seen:
                changed = row.incoming.text_changed or row.incoming.fields_changed
                verdict = (
                    Verdict(Outcome.QUARANTINED, "id_twice")
                    if changed
                    else Verdict(Outcome.DUPLICATE)
                )
                run.tally.count(verdict, row.file, row.line, ident)
                return False
            run.seen.add(ident.bytes)
        if entry.tier not in allowed_tiers(run.caller.db_role):
            run.tally.refuse("tier_denied", row.file, row.line, ident)
            return False
        if not await self._has_namespace(run, entry.namespace):
            run.tally.refuse("namespace_unknown", row.file, row.line, ident)
            return False
        return True

    async def _has_namespace(self, run: Run, name: str) -> bool:
        """Say whether the namespace may be written to; a person's import makes it, private unless the file says so."""
        if run.namespaces is None:
            spaces = await self._library.namespaces(cast("Caller", run.caller))
            run.namespaces = {HOME, *(space.name for space in spaces)}
        if name in run.namespaces:
            return True
        if run.caller.kind != PERSON:
            return False
        if not run.dry_run:
            async with self._library.plain.pool.own() as conn:
                made = await self._library.plain.put_namespace(
                    conn, run.caller.subject, name, run.shared.get(name, False), []
                )
            if made is None:
                return False
        run.namespaces.add(name)
        run.namespaces_added.add(name)
        return True

    async def _look_up(self, run: Run, idents: set[UUID]) -> Found:
        """Return what stands for these ids, and for those that this person's imports make of them."""
        found = Found()
        if not idents:
            return found
        subject = run.caller.subject
        wanted = [*idents, *(uuid5(subject, ident.hex) for ident in idents)]
        anywhere = await self._store.standing_anywhere(subject, wanted)
        for tier in allowed_tiers(run.caller.db_role):
            async with self._library.shelf(tier).pool.as_caller(run.caller) as conn:
                held = [ident for ident in anywhere if ident not in found.entries]
                for start in range(0, len(held), BATCH):
                    for entry in await self._store.entries(conn, tier, held[start : start + BATCH]):
                        # Two copies amid a move of tiers: the more private one is the memory.
                        found.entries[entry.id] = max(
                            entry, found.entries.get(entry.id, entry), key=lambda e: PRIVACY[e.tier]
                        )
                found.merged |= await self._store.merged(conn, tier, wanted)
        found.forgotten = await self._store.tombstones(subject, wanted)
        # Where this caller cannot see, a memory looks as a forgotten one does.
        found.hidden = anywhere - found.entries.keys()
        return found

    def _decide(self, run: Run, row: Row, found: Found) -> tuple[UUID, Verdict]:
        raw = row.incoming.id or UUID(int=0)
        made = uuid5(run.caller.subject, raw.hex)
        ident = next(
            (each for each in (raw, made) if found.knows(each)),
            run.resolved(raw, row.incoming.ours),
        )
        resurrect = run.resurrect and ident not in found.hidden
        return ident, decide(row.incoming, found.standing(ident), resurrect=resurrect)

    def _made(self, run: Run, incoming: Incoming, ident: UUID) -> Record:
        """Return the record as it will stand here: its id, its person, and what it points at by their ids here."""
        record, ours = incoming.record, incoming.ours
        replaced_by = record.entry.superseded_by
        entry = replace(
            record.entry,
            id=ident,
            subject_id=run.caller.subject,
            superseded_by=run.resolved(replaced_by, ours) if replaced_by else None,
        )
        origins = tuple(
            replace(
                origin,
                id=run.resolved(origin.id, ours),
                merged_id=run.resolved(origin.merged_id, ours) if origin.merged_id else None,
            )
            for origin in record.origins
        )
        ties = tuple(replace(tie, to=run.resolved(tie.to, ours)) for tie in record.ties)
        return Record(entry, origins, ties)

    def _new(self, run: Run, incoming: Incoming) -> Record:
        entry = incoming.record.entry
        return Record(
            replace(
                entry,
                id=uuid4(),
                subject_id=run.caller.subject,
                expires_at=expiry(entry.level, entry.created_at),
            )
        )

    async def _unsaid(self, run: Run, rows: Sequence[Row]) -> list[Row]:
        """Return the rows without an id whose text is not remembered yet; the others are counted as duplicates."""
        said: dict[Tier, set[tuple[str, str]]] = {}
        for tier in {row.incoming.record.entry.tier for row in rows}:
            texts = [
                row.incoming.record.entry.text
                for row in rows
                if row.incoming.record.entry.tier is tier
            ]
            said[tier] = await self._said(run, tier, texts)
        fresh: list[Row] = []
        for row in rows:
            entry = row.incoming.record.entry
            key = (entry.tier, entry.namespace, text_digest(entry.text))
            if (entry.namespace, entry.text) in said[entry.tier] or key in run.said:
                run.tally.count(Verdict(Outcome.DUPLICATE), row.file, row.line)
            else:
                run.said.add(key)
                fresh.append(row)
        return fresh

    async def _said(self, run: Run, tier: Tier, texts: Sequence[str]) -> set[tuple[str, str]]:
        if tier is not Tier.SACRED:
            async with self._library.plain.pool.as_caller(run.caller) as conn:
                return await self._store.same_texts(conn, tier, texts)
        # Sealed rows cannot be searched for: they are opened once, for this import, and only the wanted are kept.
        async with self._library.sacred.pool.as_caller(run.caller) as conn:
            plan = await self._store.plan_oldest_first(conn, tier, None)
            wanted, said = set(texts), set[tuple[str, str]]()
            for start in range(0, len(plan), BATCH):
                entries = await self._store.entries(conn, tier, plan.ids(start, start + BATCH))
                said |= {(each.namespace, each.text) for each in entries if each.text in wanted}
        return said

    async def _insert(self, run: Run, tier: Tier, made: Sequence[tuple[Row, Record]]) -> None:
        """Add memories in one transaction; when one of them cannot be, each by itself, so that only that one stays out."""
        if run.caller.kind != PERSON:
            # What is in every prompt is the person's to say.
            for row, record in made:
                if record.entry.level is Level.IDENTITY:
                    run.tally.refuse("person_needed", row.file, row.line, record.entry.id)
            made = [each for each in made if each[1].entry.level is not Level.IDENTITY]
        if run.dry_run:
            for row, record in made:
                run.tally.count(Verdict(Outcome.INSERTED), row.file, row.line, record.entry.id)
            return
        import asyncpg

        try:
            await self._write(run, tier, [record for _, record in made])
        except DataUnavailable:
            raise
        except (KitError, asyncpg.PostgresError) as error:
            if len(made) > 1:
                for each in made:
                    await self._insert(run, tier, [each])
                return
            row, record = made[0]
            reason = error.code.rpartition(".")[2] if isinstance(error, KitError) else "refused"
            log.info("import.row_refused", kind=type(error).__name__, reason=reason)
            run.tally.refuse(reason, row.file, row.line, record.entry.id)
            return
        for row, record in made:
            run.tally.count(Verdict(Outcome.INSERTED), row.file, row.line, record.entry.id)
            # What it was made of may come later in the file.
            room = max(0, TIES_MAX - len(run.ties))
            run.ties += [(tier, record.entry.id, tie) for tie in record.ties[:room]]
        self._wake(tier)

    async def _write(self, run: Run, tier: Tier, records: Sequence[Record]) -> None:
        shelf = self._library.shelf(tier)
        subject, entries = run.caller.subject, [record.entry for record in records]
        async with shelf.pool.as_caller(run.caller) as conn:
            for entry in entries:
                await _check_room(conn, shelf, None, entry)
            await shelf.insert_many(conn, entries)
            for record in records:
                if record.origins and tier is not Tier.SACRED:
                    await self._store.put_origins(conn, record.entry, record.origins)
            await run.arriving.attach(conn, tier, entries)
            await shelf.step_out(conn)
            await shelf.note_subject(conn, subject)
            books = pipeline(tier)
            await books.put(conn, subject, tier, [(entry.id, entry.revision) for entry in entries])
            ids = [entry.id for entry in entries]
            await books.announce(conn, ids, subject, tier, "remembered", shelf.on_announce)

    async def _edit(self, run: Run, row: Row, ident: UUID) -> Verdict:
        """Carry out an edit if it is still one, now that nobody else changes the memory."""
        caller = cast("Caller", run.caller)
        try:
            async with self._library.changing(ident):
                await self._move.settle(ident)
                entry = await self._library.find(caller, ident)
                verdict = decide(row.incoming, Standing(entry), resurrect=False)
                if verdict.outcome is not Outcome.EDITED:
                    return verdict
                levels = (entry.level, verdict.change.get("level"))
                if Level.IDENTITY in levels and caller.kind != PERSON:
                    return Verdict(Outcome.QUARANTINED, "person_needed")
                to_tier = verdict.tier or entry.tier
                # A new text is only ever written in the more private of the two tiers.
                if PRIVACY[to_tier] > PRIVACY[entry.tier]:
                    entry = await self._move(caller, entry, to_tier)
                if verdict.change:
                    entry = await self._revise(caller, entry, verdict)
                if to_tier is not entry.tier:
                    entry = await self._move(caller, entry, to_tier)
        except DataUnavailable:
            raise
        except KitError as error:
            return Verdict(Outcome.QUARANTINED, error.code.rpartition(".")[2])
        self._wake(entry.tier)
        return verdict

    async def _revise(self, caller: Caller, found: Entry, verdict: Verdict) -> Entry:
        shelf = self._library.shelf(found.tier)
        moment = now()
        async with shelf.pool.as_caller(caller) as conn:
            entry = await shelf.take(conn, found.tier, found.id)
            if entry is None or entry.revision != found.revision:
                from memory.errors import Busy

                raise Busy()
            revised = _changed(entry, verdict, moment)
            await _check_room(conn, shelf, entry, revised)
            revised = await shelf.revise(conn, entry, revised)
            await shelf.step_out(conn)
            if revised.revision != entry.revision:
                await shelf.put_pending(conn, revised)
            await shelf.announce(conn, revised.id, revised.subject_id, revised.tier, "edited")
        return revised


def _changed(entry: Entry, verdict: Verdict, moment: datetime) -> Entry:
    """Return the entry with a hand's changes; at another level it begins that level's life anew."""
    level = verdict.change.get("level", entry.level)
    fields: dict[str, object] = dict(verdict.change)
    if isinstance(level, Level) and level is not entry.level:
        fields |= {"expires_at": expiry(level, moment), "archived_at": None}
    return replace(entry, **fields, updated_at=moment)  # type: ignore[arg-type]


async def _check_room(conn: Connection, shelf: Shelf, before: Entry | None, after: Entry) -> None:
    if after.level is not Level.IDENTITY:
        return
    # Only the few that need it bring the service's models along: the nightly files are read without them.
    from memory.identity import check_room

    await check_room(conn, shelf, before, after)
