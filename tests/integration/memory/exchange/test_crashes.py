"""What a crash leaves of forgetting is found and ended; every statement is one its role may prepare."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from contracts.exchange import ForgetRequest
from contracts.memory import EditRequest, RememberRequest, Source
from memory.exchange.bulk import ForgetMany
from memory.exchange.eraser import Eraser
from memory.exchange.forget import Forget
from memory.exchange.store import statements

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("name", sorted(statements()))
async def test_every_statement_is_one_that_its_role_may_run(pg: Any, name: str) -> None:
    query = statements()[name]
    connection = await pg.connect("svc_memory", query.database)
    try:
        async with connection.transaction():
            if query.role != "svc_memory":
                await connection.execute(f"SET LOCAL ROLE {query.role}")
                await connection.execute(f"SET LOCAL lares.subject = '{uuid4()}'")
            await connection.prepare(str(query))
    finally:
        await connection.close()


async def walks(bench: Any, who: Any, count: int) -> list[UUID]:
    source = Source(kind="watch")
    return [
        (
            await bench.remember()(
                who.caller, RememberRequest(text=f"Walk number {number}", source=source)
            )
        ).id
        for number in range(count)
    ]


async def test_a_bulk_forget_whose_worker_died_is_ended_by_whoever_looks_next(
    bench: Any, caller_factory: Any
) -> None:
    ada = caller_factory()
    idents = await walks(bench, ada, 7)
    forget = Forget(bench.library, lambda _: None)
    many = ForgetMany(bench.library, forget)
    # As a crash right after the ids were written down leaves it, and one amid the work.
    job = uuid4()
    await many._begin(ada.caller, job, {next(iter(bench.library.plain._by_tier)): idents})
    await forget(ada.caller, idents[0])
    assert not await many.resume()
    await bench.fetch("UPDATE memory.forget_job SET leased_to = now() - interval '1 second'")
    assert await many.resume()
    assert not await many.resume()
    report = await forget.report(ada.caller, job)
    assert (report.state, report.memories, report.verified) == ("done", 6, True)
    for ident in idents:
        assert await bench.places(ident) == set()
    assert await bench.fetch("SELECT FROM memory.forget_item") == []


async def test_what_the_beginner_may_no_longer_see_is_not_forgotten_for_them(
    bench: Any, caller_factory: Any
) -> None:
    ada = caller_factory()
    ident = (await walks(bench, ada, 1))[0]
    token = caller_factory(
        subject=ada.caller.subject, kind="token", db_role="lares_mcp", scopes=("memory:write",)
    )
    many = ForgetMany(bench.library, Forget(bench.library, lambda _: None))
    job = uuid4()
    await many._begin(token.caller, job, {next(iter(bench.library.plain._by_tier)): [ident]})
    await bench.edit()(ada.caller, ident, EditRequest(tier="sacred"))
    await bench.fetch("UPDATE memory.forget_job SET leased_to = now() - interval '1 second'")
    assert await many.resume()
    assert len(await bench.places(ident)) == 1


async def test_a_crash_between_the_databases_leaves_what_can_be_forgotten_again(
    bench: Any, caller_factory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = caller_factory()
    source, made = await walks(bench, ada, 2)
    await bench.fetch(
        "INSERT INTO memory.made_of (made_id, of_id, subject_id) VALUES ($1, $2, $3)",
        *(made, source, ada.caller.subject),
    )
    await bench.edit()(ada.caller, made, EditRequest(tier="sacred"))
    forget = Forget(bench.library, lambda _: None)
    with monkeypatch.context() as patched:
        # After the sacred database has committed, before the other one has.
        patched.setattr(Eraser, "_keep_books", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await forget(ada.caller, source)
    assert (await bench.places(made), len(await bench.places(source))) == (set(), 1)
    report = await forget(ada.caller, source)
    assert (report.verified, report.erased["rows"]) == (True, 1)
    assert await bench.places(source) == set()


async def test_more_than_is_forgotten_at_once_is_refused_before_anything_is_gone(
    bench: Any, caller_factory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from memory.exchange import bulk
    from memory.exchange.errors import ForgetTooMany

    ada = caller_factory()
    idents = await walks(bench, ada, 3)
    monkeypatch.setattr(bulk, "FORGET_MAX", 2)
    many = ForgetMany(bench.library, Forget(bench.library, lambda _: None))
    with pytest.raises(ForgetTooMany):
        await many(ada.caller, ForgetRequest(ids=idents))
    for ident in idents:
        assert len(await bench.places(ident)) == 1
