"""Memories as files: passed through piece by piece, out and in, and never half without saying so."""

import asyncio
from typing import Any

import httpx
import pytest
from contracts.exchange import IMPORT_BYTES_MAX


def alive(house: Any) -> None:
    house.forward_auth.says("/v1/session", b'{"active": true, "caller": "fresh", "exp": 1}')


def offers(house: Any, script: Any, kind: str = "application/zip") -> None:
    """Let the memory service answer an export with what `script` sends."""

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n"
        writer.write(
            head.encode() + b'content-disposition: attachment; filename="memory.zip"\r\n\r\n'
        )

        async def send(data: bytes) -> None:
            writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            await writer.drain()

        if await script(send) is not False:
            writer.write(b"0\r\n\r\n")

    house.memory.answers["/v1/export"] = answer


async def test_an_export_is_passed_on_as_it_comes_with_its_name(house: Any) -> None:
    alive(house)
    proceed = asyncio.Event()

    async def script(send: Any) -> None:
        await send(b"PK-first")
        await asyncio.wait_for(proceed.wait(), 5)
        await send(b"PK-second")

    offers(house, script)
    path = "/api/memory/export?format=markdown&tiers=convenience,sensitive"
    async with house.client.stream("GET", path, headers=house.signed_in()) as response:
        assert response.headers["content-type"] == "application/zip"
        assert response.headers["content-disposition"] == 'attachment; filename="memory.zip"'
        pieces = response.aiter_raw()
        assert await anext(pieces) == b"PK-first"
        # Only now may the rest be made: nothing of the file is held back or kept.
        proceed.set()
        assert await anext(pieces) == b"PK-second"
    line = house.memory.requests[0].split(b"\r\n")[0].decode()
    assert line.startswith("GET /v1/export?format=markdown&tiers=convenience%2Csensitive ")


async def test_a_refused_export_is_a_coded_error_and_no_file(house: Any) -> None:
    alive(house)
    refusal = b'{"error": {"code": "memory.tier_unknown", "reason": "r", "fix": "f"}}'
    house.memory.says("/v1/export", refusal, "422 Unprocessable Content")
    response = await house.client.get("/api/memory/export", headers=house.signed_in())
    assert response.status_code == 422
    assert response.json()["error"]["code"] == "memory.tier_unknown"


async def test_a_file_that_breaks_off_does_not_look_whole(house: Any) -> None:
    alive(house)

    async def script(send: Any) -> bool:
        await send(b"PK-half")
        return False

    offers(house, script)
    with pytest.raises(httpx.RemoteProtocolError):
        await house.client.get("/api/memory/export", headers=house.signed_in())


async def test_a_revoked_session_ends_its_download(house: Any) -> None:
    house.forward_auth.says("/v1/session", b'{"active": false}')

    async def script(send: Any) -> None:
        await send(b"PK-first")
        await asyncio.wait_for(house.memory.hung_up.wait(), 5)

    offers(house, script)
    with pytest.raises(httpx.RemoteProtocolError):
        await house.client.get("/api/memory/export", headers=house.signed_in())
    await asyncio.wait_for(house.memory.hung_up.wait(), 5)


async def test_an_import_arrives_whole_with_its_kind_and_length(house: Any) -> None:
    house.memory.says("/v1/import", b'{"dry_run": true, "rows": 3}')
    # Larger than any other body may be.
    file = b"x" * (2 * 1024 * 1024)
    response = await house.client.post(
        "/api/memory/import?dry_run=true&resurrect=true",
        content=file,
        headers={**house.signed_in(), "content-type": "application/x-ndjson"},
    )
    assert response.json() == {"dry_run": True, "rows": 3}
    head, sent = house.memory.requests[0].split(b"\r\n\r\n", 1)
    assert sent == file
    assert b"POST /v1/import?dry_run=true&delete=false&resurrect=true " in head
    assert b"content-type: application/x-ndjson" in head.lower()


async def test_importing_is_a_dry_run_unless_it_is_said_not_to_be(house: Any) -> None:
    house.memory.says("/v1/import", b"{}")
    await house.client.post(
        "/api/memory/import",
        content=b"x",
        headers={**house.signed_in(), "content-type": "text/markdown"},
    )
    assert b"dry_run=true" in house.memory.requests[0]


async def test_a_file_of_another_kind_is_refused_before_it_is_passed_on(house: Any) -> None:
    response = await house.client.post(
        "/api/memory/import",
        content=b"%PDF",
        headers={**house.signed_in(), "content-type": "application/pdf"},
    )
    assert response.status_code == 415
    assert response.json()["error"]["code"] == "dashboard.file_refused"
    assert house.memory.requests == []


async def test_a_file_that_is_too_large_is_refused_by_its_length(house: Any) -> None:
    base = house.client.base_url
    reader, writer = await asyncio.open_connection(base.host, base.port)
    headers = {**house.signed_in(), "host": base.host, "content-type": "application/zip"}
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    writer.write(b"POST /api/memory/import HTTP/1.1\r\n" + "".join(lines).encode())
    # It is never sent: what is announced is enough.
    writer.write(f"content-length: {IMPORT_BYTES_MAX + 1}\r\n\r\n".encode())
    assert b" 413 " in await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    assert house.memory.requests == []


async def test_only_an_import_may_be_large(house: Any) -> None:
    response = await house.client.post(
        "/api/recall",
        content=b"x" * (1024 * 1024 + 1),
        headers={**house.signed_in(), "content-type": "application/json"},
    )
    assert response.status_code == 413
