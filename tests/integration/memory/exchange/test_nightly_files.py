"""The nightly files over real stores: what a person does to them in between, and what a crash does."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from contracts.memory import EditRequest, RememberRequest, Tier
from memory.exchange import markdown
from memory.exchange.chores import vacuum
from memory.exchange.forget import Forget
from memory.exchange.sync import Sync

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[4]


@dataclass
class Night:
    """One person's files and the sync that keeps them."""

    bench: Any
    who: Any
    base: Path
    sync: Sync

    @property
    def folder(self) -> Path:
        return self.base / str(self.who.caller.subject)

    async def remember(self, text: str, **more: Any) -> UUID:
        request = RememberRequest(text=text, **more)
        return (await self.bench.remember()(self.who.caller, request)).id

    async def run(self) -> Any:
        return await self.sync.person(self.who.caller.subject)

    async def texts(self) -> set[str]:
        rows = await self.bench.fetch("SELECT text FROM convenience.memory")
        return {row["text"] for row in rows}

    def files(self) -> dict[str, str]:
        return {
            path.relative_to(self.folder).as_posix(): path.read_text()
            for path in sorted(self.folder.rglob("*.md"))
        }

    def file_with(self, text: str) -> Path:
        return next(path for path in self.folder.rglob("*.md") if text in path.read_text())

    def edit(self, old: str, new: str) -> None:
        path = self.file_with(old)
        path.write_text(path.read_text().replace(old, new, 1))


@pytest.fixture
async def night(bench: Any, caller_factory: Any, tmp_path: Path) -> Night:
    return Night(bench, caller_factory(), tmp_path, Sync(bench.library, tmp_path, Tier.CONVENIENCE))


async def test_only_the_convenience_tier_is_written_and_the_same_memories_change_no_file(
    night: Night,
) -> None:
    await night.remember("Our cat is called Miso")
    await night.remember("My salary", tier="sensitive")
    await night.remember("My diary", tier="sacred")
    assert (await night.run()).written == 2
    files = night.files()
    assert "MEMORY.md" in files
    assert "Miso" in "".join(files.values())
    assert "salary" not in "".join(files.values())
    assert "diary" not in "".join(files.values())
    stamps = {path: path.stat().st_mtime_ns for path in night.folder.rglob("*.md")}
    await night.run()
    assert {path: path.stat().st_mtime_ns for path in night.folder.rglob("*.md")} == stamps
    assert {path.stat().st_mode & 0o777 for path in stamps} == {0o600}
    wider = Sync(night.bench.library, night.base / "wider", Tier.SENSITIVE)
    await wider.person(night.who.caller.subject)
    said = "".join(path.read_text() for path in (night.base / "wider").rglob("*.md"))
    assert "salary" in said
    assert "diary" not in said


async def test_edits_and_new_lines_are_taken_in_before_the_files_are_written(night: Night) -> None:
    await night.remember("I live in Lisbon")
    await night.run()
    night.edit("I live in Lisbon", "I live in Porto")
    with (night.folder / "MEMORY.md").open("a") as index:
        index.write("\n- The bins go out on Tuesday\n")
    (night.folder / "scratch.md").write_text("Shopping\n\n- We like oat milk\n")
    synced = await night.run()
    assert (synced.edited, synced.inserted, synced.aside) == (1, 2, 1)
    assert await night.texts() == {
        "I live in Porto",
        "The bins go out on Tuesday",
        "We like oat milk",
    }
    assert "I live in Porto" in "".join(night.files().values())
    assert "Shopping" in (night.folder / "scratch.conflict.md").read_text()
    again = await night.run()
    assert (again.edited, again.inserted, again.aside) == (0, 0, 0)


async def test_a_conflict_is_left_beside_the_file_and_the_house_is_not_overwritten(
    night: Night,
) -> None:
    ident = await night.remember("I live in Lisbon")
    await night.run()
    path = night.file_with("I live in Lisbon")
    night.edit("I live in Lisbon", "I live in Faro")
    await night.bench.edit()(night.who.caller, ident, EditRequest(text="I live in Braga"))
    assert (await night.run()).aside == 1
    assert await night.texts() == {"I live in Braga"}
    assert "Braga" in path.read_text()
    aside = path.with_suffix(".conflict.md").read_text()
    assert "not taken: conflict" in aside
    assert "I live in Faro" in aside
    await night.run()
    assert path.with_suffix(".conflict.md").read_text() == aside


async def test_a_deleted_file_or_entry_deletes_no_memory(night: Night) -> None:
    await night.remember("One")
    await night.remember("Two", level="identity")
    await night.run()
    night.file_with("- One").unlink()
    path = night.file_with("- Two")
    lines = path.read_text().split("\n")
    start = lines.index("- Two")
    path.write_text("\n".join(lines[:start] + lines[start + 2 :]))
    await night.run()
    assert await night.texts() == {"One", "Two"}
    assert night.file_with("- One").exists()
    assert night.file_with("- Two").exists()


async def test_what_is_forgotten_leaves_the_files_within_minutes_and_the_report_says_so(
    night: Night,
) -> None:
    gone = await night.remember("Zibaldone in the evening")
    await night.remember("Something else")
    await night.run()
    path = night.file_with("Zibaldone")
    path.with_suffix(".conflict.md").write_text(path.read_text())
    forget = Forget(night.bench.library, lambda _: None)
    report = await forget(night.who.caller, gone)
    # Until the files are clean, nothing claims that they are.
    assert (report.verified, report.found) == (False, {"nightly_files": 1})
    assert "nightly_files" in {copy.store for copy in report.remaining}
    assert await night.sync.take_out_stale() == 1
    assert "Zibaldone" not in "".join(night.files().values())
    after = await forget.report(night.who.caller, gone)
    assert (after.verified, after.found, after.erased["nightly_files"]) == (True, {}, 1)
    assert await night.sync.take_out_stale() == 0
    assert (await night.run()).aside == 0
    assert await night.texts() == {"Something else"}


async def test_what_moves_to_a_more_private_tier_leaves_the_files_too(night: Night) -> None:
    ident = await night.remember("My diagnosis")
    await night.run()
    await night.bench.edit()(night.who.caller, ident, EditRequest(tier="sacred"))
    assert await night.sync.take_out_stale() == 1
    assert "diagnosis" not in "".join(night.files().values())


async def test_an_old_file_brings_nothing_forgotten_back(night: Night) -> None:
    ident = await night.remember("Zibaldone")
    await night.run()
    old = night.files()
    await Forget(night.bench.library, lambda _: None)(night.who.caller, ident)
    await night.sync.take_out_stale()
    for name, text in old.items():
        (night.folder / name).write_text(text + "\n")
    await night.run()
    assert await night.texts() == set()
    assert "Zibaldone" not in "".join(night.files().values())


async def test_killed_at_any_moment_every_file_is_whole_and_the_next_night_goes_on(
    night: Night, pg: Any
) -> None:
    for number in range(60):
        await night.remember(
            f"Line {number}\nand another", occurred_at=f"20{number:02}-05-01T00:00:00Z"
        )
    script = (
        "import asyncio,sys;sys.path[:0]=sys.argv[5:];from pathlib import Path;from uuid import UUID\n"
        "from contracts.tiers import Tier;from kit.pool import Database,Pool\n"
        "from memory.exchange.chores import NoKey;from memory.exchange.sync import Sync\n"
        "from memory.library import Library;from memory.plain import PlainShelf;from memory.sacred import SacredShelf\n"
        "async def main():\n"
        " host,port,base,subject=sys.argv[1:5];password=sys.stdin.read()\n"
        " pools=[await Pool.open(Database(host,'svc_memory',password,name,int(port))) for name in ('lares','lares_sacred')]\n"
        " sync=Sync(Library(PlainShelf(pools[0]),SacredShelf(pools[1],NoKey())),Path(base),Tier.CONVENIENCE)\n"
        " print('begun',flush=True)\n"
        " await sync.person(UUID(subject))\n"
        "asyncio.run(main())"
    )
    paths = [str(path) for path in ROOT.glob("services/*/src")]
    where = (pg.host, str(pg.port), str(night.base), str(night.who.caller.subject))
    for moment in (0.02, 0.06, 0.12, 0.2, 0.3):
        process = subprocess.Popen(
            [sys.executable, "-c", script, *where, *paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(pg.password("svc_memory").encode())
        process.stdin.close()
        await asyncio.to_thread(process.stdout.readline)
        await asyncio.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        process.stdout.close()
        for path in night.folder.rglob("*.md"):
            page = markdown.read(markdown.split(path.read_bytes()))
            assert path.name == "MEMORY.md" or page.ids is not None, path
    assert (await night.run()).aside == 0
    files = night.files()
    assert len(files) == 61
    assert sum(text.count("<!-- lares {") for text in files.values()) == 60
    assert not list(night.folder.rglob("*lares-tmp"))
    assert len(await night.texts()) == 60


async def test_the_vacuum_may_clean_every_table_of_a_persons_words(bench: Any, pg: Any) -> None:
    from datetime import UTC, datetime
    from types import SimpleNamespace

    await bench.fetch(
        "INSERT INTO memory.tombstone (memory_id, subject_id, tier)"
        " VALUES (gen_random_uuid(), gen_random_uuid(), 'convenience')"
    )
    settings = SimpleNamespace(
        postgres_host=pg.host, postgres_port=pg.port, db_password=pg.password("svc_memory")
    )
    pools = {Tier.CONVENIENCE: bench.library.plain.pool, Tier.SACRED: bench.library.sacred.pool}
    desk: Any = SimpleNamespace(
        settings=settings,
        clock=SimpleNamespace(now=lambda: datetime.now(UTC)),
        store=SimpleNamespace(pool=pools.__getitem__),
    )
    cleaned = (
        "SELECT relname, vacuum_count FROM pg_stat_user_tables"
        " WHERE schemaname IN ('convenience', 'sensitive') ORDER BY 1"
    )
    before = {row["relname"]: row["vacuum_count"] for row in await bench.fetch(cleaned)}
    await vacuum(desk)
    await bench.fetch("SELECT pg_stat_force_next_flush()")
    after = {row["relname"]: row["vacuum_count"] for row in await bench.fetch(cleaned)}
    assert all(after[name] > before[name] for name in before), (before, after)


async def test_the_consolidator_writes_the_files_clears_them_and_leaves_them_alone_when_it_is_off(
    night: Night, consolidators: Any, until: Any
) -> None:
    ident = await night.remember("Zibaldone by night")
    # As after a night that was cut off an hour ago: it is due at any time of the day.
    due = (
        "INSERT INTO memory.chore (name, began_at) VALUES ('nightly_files', now() - interval '2 hours')"
        " ON CONFLICT (name) DO UPDATE SET began_at = excluded.began_at, ended_at = NULL"
    )
    await night.bench.fetch(due)
    settings = {"LARES_MEMORY_SYNC_FOLDER": str(night.base)}
    off = consolidators(**settings, LARES_MEMORY_SYNC="off")
    chore = "SELECT FROM memory.chore WHERE name = $1 AND ended_at IS NOT NULL AND code IS NULL"

    async def ended(name: str) -> bool:
        return bool(await night.bench.fetch(chore, name))

    await until(lambda: ended("nightly_files"), 40, "the chore never ran")
    off.stop()
    assert not night.folder.exists()
    await night.bench.fetch(due)
    consolidators(**settings)
    await until(lambda: ended("nightly_files"), 40, "the files were never written")
    assert "Zibaldone" in "".join(night.files().values())
    forget = Forget(night.bench.library, lambda _: None)
    assert not (await forget(night.who.caller, ident)).verified
    await night.bench.fetch("DELETE FROM memory.chore WHERE name = 'clear_files'")
    await until(lambda: ended("clear_files"), 40, "the files were never cleared")
    assert "Zibaldone" not in "".join(night.files().values())
    assert (await forget.report(night.who.caller, ident)).verified
