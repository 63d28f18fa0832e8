"""Writing over HTTP, with the worker behind it and an eye that sees past every wall."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest


def hurried(book: str) -> str:
    """Return the statement that lets all notes of a book be due. It waits for them in the order in which workers do."""
    return (
        f"UPDATE {book} SET due_at = now(), leased_until = NULL WHERE memory_id IN"
        f" (SELECT memory_id FROM {book} ORDER BY memory_id FOR UPDATE)"
    )


@dataclass
class Eye:
    """Sees every row of both databases."""

    pg: Any

    async def fetch(self, statement: str, *arguments: Any, database: str = "lares") -> list[Any]:
        connection = await self.pg.connect(name=database)
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()

    async def value(self, statement: str, *arguments: Any, database: str = "lares") -> Any:
        rows = await self.fetch(statement, *arguments, database=database)
        return rows[0][0] if rows else None

    async def quiet(self) -> bool:
        """Say whether nothing waits behind any write."""
        plain = "(SELECT count(*) FROM memory.pending_embedding) + (SELECT count(*) FROM memory.pending_relation)"
        return (
            await self.value(f"SELECT {plain}") == 0
            and await self.value(
                "SELECT count(*) FROM sacred.pending_embedding", database="lares_sacred"
            )
            == 0
        )

    async def embedded(self) -> bool:
        """Say whether no memory waits for its vector."""
        counted = "SELECT count(*) FROM {}.pending_embedding"
        return (
            await self.value(counted.format("memory")) == 0
            and await self.value(counted.format("sacred"), database="lares_sacred") == 0
        )

    async def hurry(self) -> None:
        """Let what waits be due, as if its time had come."""
        for database, book in (
            ("lares", "memory.pending_embedding"),
            ("lares_sacred", "sacred.pending_embedding"),
            ("lares", "memory.pending_relation"),
        ):
            await self.fetch(hurried(book), database=database)


@pytest.fixture
def eye(pg: Any) -> Eye:
    return Eye(pg)


@dataclass
class Person:
    """Somebody with a client of the service."""

    api: httpx.AsyncClient
    who: Any

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return await self.api.post(f"/v1{path}", json=body, headers={**self.who.headers, **headers})

    async def says(self, text: str, **more: Any) -> dict[str, Any]:
        """Remember, and return the memory: a new one or the one it joined."""
        answer = await self.post("/memories", {"text": text, **more})
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    async def get(self, path: str) -> httpx.Response:
        return await self.api.get(f"/v1{path}", headers=self.who.headers)

    async def texts(self, **params: Any) -> list[str]:
        answer = await self.api.get(
            "/v1/memories", params={"limit": 200, **params}, headers=self.who.headers
        )
        return [memory["text"] for memory in answer.json()["items"]]

    async def recalls(self, query: str, **more: Any) -> dict[str, Any]:
        answer = await self.post("/recall", {"query": query, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def ada(api: Any, caller_factory: Any) -> Person:
    return Person(api, caller_factory())


@pytest.fixture(name="person")
def person_fixture() -> type[Person]:
    """Make somebody: `person(api, caller)`."""
    return Person


@pytest.fixture
async def models_as_installed(pg: Any) -> AsyncIterator[None]:
    """Put the embedding models back to what the migrations made."""
    yield
    connection = await pg.connect()
    await connection.execute(
        "DELETE FROM memory.embedding_model;"
        " INSERT INTO memory.embedding_model (id, name, dimensions, state)"
        " VALUES (1, 'minilm-l6-v2', 384, 'active');"
        " UPDATE memory.embedding_change SET worker = NULL, leased_until = NULL, wanted = NULL, problem = NULL"
    )
    await connection.close()
