"""Namespaces and what is always in context: who sees what is the database's decision here too."""

from __future__ import annotations

from typing import Any

import pytest
from contracts.memory import EditRequest, NamespaceRequest, RememberRequest, Tier
from memory.errors import IdentityFull, NamespaceNotEmpty, NamespaceUnknown, PersonNeeded
from memory.identity import IdentityContext
from memory.namespaces import Namespaces

pytestmark = pytest.mark.integration


async def test_a_private_namespace_is_for_the_person_and_the_clients_it_names(
    bench: Any, caller_factory: Any
) -> None:
    ada = caller_factory().caller
    named, other = (
        ada.model_copy(update={"kind": "token", "session_id": session, "scopes": ("memory:read",)})
        for session in ("pat:1", "pat:2")
    )
    namespaces = Namespaces(bench.library)
    await namespaces.put(ada, "diary", NamespaceRequest(shared=False, clients=["pat:1"]))
    memory = await bench.remember()(ada, RememberRequest(text="Dear diary", namespace="diary"))

    shelf = bench.library.plain
    for caller, seen in ((ada, True), (named, True), (other, False)):
        async with shelf.pool.as_caller(caller) as conn:
            assert (await shelf.get(conn, Tier.CONVENIENCE, memory.id) is not None) is seen
        assert [each.name for each in (await namespaces.list(caller)).items] == (
            ["home", "diary"] if seen else ["home"]
        )
    with pytest.raises(NamespaceUnknown):
        await bench.remember()(other, RememberRequest(text="Snooping", namespace="diary"))
    with pytest.raises(PersonNeeded):
        await namespaces.put(named, "mine", NamespaceRequest())
    with pytest.raises(NamespaceNotEmpty):
        await namespaces.delete(ada, "diary")


async def test_without_a_client_the_database_hides_every_private_namespace(
    bench: Any, caller_factory: Any
) -> None:
    ada = caller_factory().caller
    await Namespaces(bench.library).put(ada, "diary", NamespaceRequest(shared=False))
    await bench.remember()(ada, RememberRequest(text="Dear diary", namespace="diary"))
    shelf = bench.library.plain
    async with shelf.pool.own() as conn:
        await conn.execute(f"SET LOCAL ROLE lares_app; SET LOCAL lares.subject = '{ada.subject}'")
        assert await conn.fetchval("SELECT count(*) FROM convenience.memory") == 0


async def test_what_hangs_on_a_memory_follows_it_into_another_namespace(
    bench: Any, caller_factory: Any
) -> None:
    ada = caller_factory().caller
    await Namespaces(bench.library).put(ada, "work", NamespaceRequest())
    memory = await bench.remember()(ada, RememberRequest(text="The deadline is Friday"))
    shelf = bench.library.plain
    async with shelf.pool.as_caller(ada) as conn:
        entry = await shelf.get(conn, Tier.CONVENIENCE, memory.id)
        assert await shelf.set_embedding(conn, entry, [0.5] * 384, 1)
    await bench.edit()(ada, memory.id, EditRequest(namespace="work"))
    rows = await bench.fetch(
        "SELECT namespace FROM convenience.memory_vector WHERE memory_id = $1", memory.id
    )
    assert [row["namespace"] for row in rows] == ["work"]


async def test_what_is_always_in_context_stays_within_its_tokens(
    bench: Any, caller_factory: Any
) -> None:
    ada = caller_factory().caller
    line = RememberRequest(text="x" * 7000, level="identity")
    for letter in "xw":
        await bench.remember()(ada, line.model_copy(update={"text": letter * 7000}))
    with pytest.raises(IdentityFull):
        await bench.remember()(ada, line.model_copy(update={"text": "y" * 7500}))
    with pytest.raises(IdentityFull):
        await bench.remember()(ada, line.model_copy(update={"text": "short", "tier": "sacred"}))
    knowledge = await bench.remember()(ada, RememberRequest(text="z" * 7800))
    with pytest.raises(IdentityFull):
        await bench.edit()(ada, knowledge.id, EditRequest(level="identity"))
    context = await IdentityContext(bench.library)(ada)
    assert len(context.memories) == 2
    assert context.tokens <= context.tokens_max
