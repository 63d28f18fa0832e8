"""Where a memory comes from, as its caller may see it."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from contracts.memory import RememberRequest, Tier
from memory.errors import MemoryNotFound
from memory.provenance.ask import AskProvenance
from memory.provenance.store import STATEMENTS

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("name", sorted(STATEMENTS))
async def test_every_statement_is_valid_under_its_own_role(bench: Any, name: str) -> None:
    statement = STATEMENTS[name]
    shelf = bench.library.sacred if statement.database == "lares_sacred" else bench.library.plain
    async with shelf.pool.own() as conn:
        await conn.execute(f"SET LOCAL ROLE {statement.role}")
        await conn.prepare(str(statement))  # type: ignore[attr-defined]


async def supersede(bench: Any, table: str, old: UUID, new: UUID, database: str = "lares") -> None:
    await bench.fetch(
        f"UPDATE {table} SET superseded_by = $2, superseded_at = now() WHERE id = $1",
        old,
        new,
        database=database,
    )


async def test_a_memory_tells_its_sources_its_summaries_and_what_it_replaced(
    bench: Any, caller_factory: Any
) -> None:
    ada = caller_factory().caller
    remember = bench.remember()
    old = await remember(ada, RememberRequest(text="The gym opens at six every morning"))
    new = await remember(ada, RememberRequest(text="Since May the gym opens at seven"))
    summary = await remember(ada, RememberRequest(text="All that was said about the gym"))
    await supersede(bench, "convenience.memory", old.id, new.id)
    await bench.fetch(
        "INSERT INTO convenience.memory_link (from_id, to_id, subject_id, namespace, kind)"
        " VALUES ($1, $2, $3, 'home', 'summarises')",
        summary.id,
        new.id,
        ada.subject,
    )
    await bench.fetch(
        "INSERT INTO convenience.memory_source"
        " (id, memory_id, subject_id, namespace, source_kind, source_ref, text, learned_at, merged_id)"
        " VALUES ($1, $2, $3, 'home', 'mail', 'm-1', 'The gym now opens at 7', now(), $4)",
        uuid4(),
        new.id,
        ada.subject,
        uuid4(),
    )
    ask = AskProvenance(bench.library)

    told = await ask(ada, new.id)
    assert [each.id for each in told.supersedes] == [old.id]
    assert [each.id for each in told.summarised_by] == [summary.id]
    assert [(each.source.kind, each.text) for each in told.sources] == [
        ("mail", "The gym now opens at 7")
    ]
    replaced = (await ask(ada, old.id)).superseded_by
    assert replaced is not None
    assert replaced.id == new.id
    assert [each.id for each in (await ask(ada, summary.id)).summarises] == [new.id]


async def test_a_narrower_client_and_another_person_learn_nothing_of_it(
    bench: Any, caller_factory: Any
) -> None:
    ada = caller_factory().caller
    remember = bench.remember()
    plain = await remember(ada, RememberRequest(text="I take something for my heart"))
    private = await remember(ada, RememberRequest(text="Bisoprolol, 5 mg", tier="sensitive"))
    await supersede(bench, "convenience.memory", plain.id, private.id)
    ask = AskProvenance(bench.library)
    client = ada.model_copy(update={"kind": "token", "session_id": "pat:1", "db_role": "lares_mcp"})
    assert (await ask(client, plain.id)).superseded_by is None
    for caller, memory in ((client, private), (caller_factory().caller, plain)):
        with pytest.raises(MemoryNotFound):
            await ask(caller, memory.id)


async def test_a_sacred_memory_tells_only_what_it_replaced_among_sacred_ones(
    bench: Any, caller_factory: Any
) -> None:
    ada = caller_factory().caller
    remember = bench.remember()
    old = await remember(ada, RememberRequest(text="Diagnosis A, says the doctor", tier="sacred"))
    new = await remember(ada, RememberRequest(text="Diagnosis B, says the doctor", tier="sacred"))
    await supersede(bench, "sacred.memory", old.id, new.id, "lares_sacred")
    told = await AskProvenance(bench.library)(ada, new.id)
    assert [each.id for each in told.supersedes] == [old.id]
    assert told.supersedes[0].tier is Tier.SACRED
    assert told.facts == told.entities == told.sources == []
