"""The nightly files: hand edits are taken in, then every topic is written as it is, person by person.

What a person deletes there, an entry or a file, is written again: nothing is forgotten by a missing line. What they
typed and could not be taken (a conflict, a line that is no entry) lies beside its file afterwards.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from contracts.tiers import Tier
from kit import logs

from memory.exchange import markdown, topics
from memory.exchange.archive import Member
from memory.exchange.decide import Outcome
from memory.exchange.export import Export, Owner, Scope
from memory.exchange.folder import Folder, Kept, digest
from memory.exchange.importing import ROWS_MAX, Import, Options
from memory.exchange.store import statement
from memory.exchange.values import BadRecord
from memory.writing.move import Move

if TYPE_CHECKING:
    from memory.exchange.decide import Tally
    from memory.library import Library

log = logs.get(__name__)
SUBJECTS_AT_ONCE = 100
STALE_AT_ONCE = 5000
ROLES = {Tier.CONVENIENCE: "lares_mcp", Tier.SENSITIVE: "lares_remote_rw"}


@dataclass
class Synced:
    """What one person's turn came to: counts, for the log."""

    written: int = 0
    left: int = 0
    aside: int = 0
    edited: int = 0
    inserted: int = 0


class Ledger:
    """Notes which memories stand in the files, before they are written and without those that were gone by then."""

    def __init__(self, library: Library, subject: UUID) -> None:
        self._library = library
        self._subject = subject
        self._round = uuid4()

    async def reading(self, ids: Sequence[UUID]) -> None:
        """Note memories that are about to be read: whoever forgets one from now on marks it stale."""
        async with self._library.plain.pool.own() as conn:
            await conn.execute(statement("note_synced"), list(ids), self._subject, self._round)

    async def missed(self, ids: Sequence[UUID]) -> None:
        """Strike those that were not there any more."""
        async with self._library.plain.pool.own() as conn:
            await conn.execute(statement("drop_synced"), list(ids))

    async def close(self) -> None:
        """Strike what stands in no file any more, now that all are written."""
        async with self._library.plain.pool.own() as conn:
            await conn.execute(statement("drop_synced_before"), self._subject, self._round)


class Sync:
    """Keeps the folders. One process at a time: the consolidator's leader."""

    def __init__(self, library: Library, base: Path, tier: Tier) -> None:
        self._library = library
        self._base = base
        self._tiers = (
            (Tier.CONVENIENCE,) if tier is Tier.CONVENIENCE else (Tier.CONVENIENCE, Tier.SENSITIVE)
        )
        self._role = ROLES[self._tiers[-1]]
        self._export = Export(library)
        self._import = Import(library, Move(library), None, lambda _: None)

    async def everybody(self) -> int:
        """Sync every person's folder; return how many. One that fails keeps no other waiting."""
        after, done = UUID(int=0), 0
        failure: Exception | None = None
        while True:
            async with self._library.plain.pool.own(read_only=True) as conn:
                subjects = await self._library.plain.subjects(conn, after, SUBJECTS_AT_ONCE)
            for subject in subjects:
                try:
                    await self.person(subject)
                    done += 1
                except Exception as error:
                    failure = error
                    log.exception("sync.person_failed", error)
            if len(subjects) < SUBJECTS_AT_ONCE:
                break
            after = subjects[-1]
        if failure is not None:
            raise failure
        return done

    async def person(self, subject: UUID) -> Synced:
        """Take in what one person changed in their files, then write them all."""
        folder = Folder(self._base / str(subject))
        folder.open()
        synced = Synced()
        seen = {name: kept.digest for name, kept in folder.kept.items()}
        for name, content in list(folder.changed()):
            await self._take_in(subject, folder, name, content, synced)
            seen[name] = digest(content)
        await self._write_all(subject, folder, seen, synced)
        folder.save()
        log.info(
            "sync.person_done",
            written=synced.written,
            left=synced.left,
            aside=synced.aside,
            edited=synced.edited,
            inserted=synced.inserted,
        )
        return synced

    async def take_out_stale(self) -> int:
        """Take memories that were forgotten, or moved to where files may not follow, out of the files; return how many."""
        async with self._library.plain.pool.own(read_only=True) as conn:
            rows = await conn.fetch(statement("list_stale"), STALE_AT_ONCE)
        gone: dict[UUID, set[UUID]] = defaultdict(set)
        for row in rows:
            gone[row["subject_id"]].add(row["memory_id"])
        for subject, ids in gone.items():
            folder = Folder(self._base / str(subject))
            folder.open()
            folder.take_out(ids)
            async with self._library.plain.pool.own() as conn:
                await conn.execute(statement("drop_synced"), list(ids))
                await conn.execute(statement("report_files"), list(ids))
        return len(rows)

    def _owner(self, subject: UUID) -> Owner:
        return Owner(subject, db_role=self._role)

    async def _take_in(
        self, subject: UUID, folder: Folder, name: str, content: bytes, synced: Synced
    ) -> None:
        result = await self._import.files(
            self._owner(subject),
            [Member(name, content)],
            Options(dry_run=False, problems_max=ROWS_MAX),
        )
        synced.edited += result.tally.outcomes[Outcome.EDITED]
        synced.inserted += result.tally.outcomes[Outcome.INSERTED]
        ours = folder.kept.get(name)
        aside = leftovers(name, content, result.tally)
        if aside and (ours is None or ours.ours) and folder.set_aside(name, aside) is not None:
            synced.aside += 1
        folder.kept[name] = Kept(digest(content), ours is not None and ours.ours)

    async def _write_all(
        self, subject: UUID, folder: Folder, seen: dict[str, str], synced: Synced
    ) -> None:
        ledger = Ledger(self._library, subject)
        held = bytearray()
        written: set[str] = set()
        scope = Scope(self._tiers)
        async for piece in self._export.files(self._owner(subject), scope, ledger):
            held += piece.content
            if not piece.last:
                continue
            if folder.write(piece.path, bytes(held), seen.get(piece.path)):
                synced.written += 1
            else:
                # Somebody is editing it at this moment: the next night takes that in first.
                synced.left += 1
            written.add(piece.path)
            held.clear()
        for name in [name for name, kept in folder.kept.items() if kept.ours]:
            if name not in written:
                folder.drop(name, seen.get(name, ""))
        await ledger.close()


def leftovers(name: str, content: bytes, tally: Tally) -> bytes:
    """Return what of a file an import did not take, each with the reason; nothing of what was forgotten."""
    reasons = {problem.line: problem.reason for problem in tally.problems if problem.file == name}
    reader = markdown.Reader()
    lines = content.decode("utf-8", "replace").split("\n")
    left: list[str] = []
    try:
        for drafted in reader.entries(markdown.split(content)):
            reason = reasons.get(drafted.first)
            if reason not in (None, "forgotten"):
                left += [
                    f"<!-- not taken: {reason} -->",
                    *lines[drafted.first - 1 : drafted.last],
                    "",
                ]
    except BadRecord as bad:
        return f"<!-- not taken: {bad.reason} -->\n".encode() + content
    notes = [line for _, line in reader.page.notes]
    if notes and reader.page.head.get("lares") == "index":
        notes = [line for line in notes if line not in topics.INDEX_TEXT]
    if notes:
        left += ["<!-- not taken: these lines are no entries -->", *notes, ""]
    return "\n".join(left).encode() if left else b""
