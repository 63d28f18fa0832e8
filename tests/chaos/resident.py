"""A person at a browser, as HTTP sees them: signed in through the edge, talking, remembering, reading."""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

ALLAUTH = "/_allauth/browser/v1"
PASSWORD = "a lamp in every window"


@dataclass(frozen=True)
class Trouble:
    """One request that did not get what it asked for, as the person saw it."""

    at: float
    what: str
    status: int
    code: str
    detail: str = ""

    @property
    def is_coded(self) -> bool:
        """True when the person could read what happened. A status of 0 is a connection that broke."""
        return bool(self.code) or self.status == 0


@dataclass
class Said:
    """What one turn streamed, up to its end or to where the line broke."""

    accepted: dict[str, Any] | None = None
    deltas: list[str] = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, Any] | None = None
    status: str = ""
    trouble: Trouble | None = None
    first_delta_s: float | None = None
    took_s: float = 0.0

    @property
    def answer(self) -> str:
        return "".join(self.deltas)


class Resident:
    """One signed-in person. Every request says where it comes from, as a page's would."""

    def __init__(self, url: str, port: int, tls: ssl.SSLContext) -> None:
        self.url = url
        self.host = url.removeprefix("https://")
        self.http = httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{port}",
            verify=tls,
            headers={"host": self.host, "accept": "application/json"},
            timeout=httpx.Timeout(30, connect=3),
            trust_env=False,
        )
        self.username = f"c{secrets.token_hex(6)}"

    async def close(self) -> None:
        await self.http.aclose()

    def _sent(self, method: str, extra: dict[str, str] | None) -> dict[str, Any]:
        headers = dict(extra or {})
        if method != "GET":
            headers["origin"] = self.url
            headers["x-csrftoken"] = self.http.cookies.get("csrftoken") or ""
        name = self.host.partition(":")[0]
        return {"headers": headers, "extensions": {"sni_hostname": name}}

    async def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """One request and its whole answer."""
        return await self.http.request(method, path, json=body, **self._sent(method, headers))

    async def come_in(self, token: str) -> None:
        """Accept an invitation: afterwards this browser is signed in."""
        await self.request("GET", f"{ALLAUTH}/config")
        told = {"token": token, "username": self.username, "password": PASSWORD}
        said = await self.request("POST", "/auth/invites/accept", told)
        assert said.status_code == 201, said.text

    async def ask(
        self,
        text: str,
        key: str = "",
        conversation: str = "",
        *,
        stop_after: int = 0,
        seconds: float = 60,
    ) -> Said:
        """Say something and listen to the end; press stop after so many pieces, if that is not 0.

        Never raises: a broken line is part of what was heard.
        """
        said, begun = Said(), time.monotonic()
        body: dict[str, Any] = {"text": text}
        if conversation:
            body["conversation_id"] = conversation
        headers = {"idempotency-key": key or secrets.token_hex(16), "accept": "text/event-stream"}
        try:
            async with asyncio.timeout(seconds):
                async with self._stream(body, headers) as response:
                    if response.status_code != 200:
                        said.trouble = await trouble_of("turn", response)
                        return said
                    await self._listen(response, said, begun, stop_after)
            if not said.status:
                said.trouble = Trouble(time.monotonic(), "turn", 0, "", "the stream ended early")
        except (httpx.TransportError, TimeoutError) as error:
            said.trouble = Trouble(time.monotonic(), "turn", 0, "", type(error).__name__)
        said.took_s = time.monotonic() - begun
        return said

    @asynccontextmanager
    async def _stream(self, body: Any, headers: dict[str, str]) -> AsyncGenerator[httpx.Response]:
        sent = self._sent("POST", headers)
        async with self.http.stream("POST", "/api/turns", json=body, **sent) as response:
            yield response

    async def _listen(
        self, response: httpx.Response, said: Said, begun: float, stop_after: int
    ) -> None:
        name = ""
        async for line in response.aiter_lines():
            if line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("data:"):
                _take(said, name, json.loads(line[5:]), begun)
                if stop_after and name == "delta" and len(said.deltas) == stop_after:
                    assert said.accepted is not None
                    await self.request("POST", f"/api/turns/{said.accepted['turn_id']}/stop", {})

    async def remember(self, text: str, key: str, tier: str = "convenience") -> Trouble | None:
        """Write a memory directly, as the Memory page does. None means that it is acknowledged."""
        body = {"text": text, "tier": tier}
        try:
            reply = await self.request("POST", "/api/memories", body, {"idempotency-key": key})
        except httpx.TransportError as error:
            return Trouble(time.monotonic(), "memory", 0, "", type(error).__name__)
        if reply.status_code in (200, 201):
            return None
        return await trouble_of("memory", reply)

    async def memories(self) -> list[dict[str, Any]]:
        """Return every memory there is, page after page."""
        found: list[dict[str, Any]] = []
        cursor = ""
        for _ in range(200):
            reply = await self.request("GET", f"/api/memories?limit=100{cursor}")
            assert reply.status_code == 200, reply.text
            page = reply.json()
            found += page["items"]
            if not page["next_cursor"]:
                return found
            cursor = f"&cursor={page['next_cursor']}"
        raise AssertionError("the list of memories has no end")

    async def conversation(self, conversation_id: str) -> dict[str, Any]:
        reply = await self.request("GET", f"/api/conversations/{conversation_id}")
        assert reply.status_code == 200, reply.text
        return reply.json()


def _take(said: Said, name: str, data: Any, begun: float) -> None:
    if name == "turn.accepted":
        said.accepted = data
    elif name == "delta":
        if said.first_delta_s is None:
            said.first_delta_s = time.monotonic() - begun
        said.deltas.append(data["text"])
    elif name == "sources":
        said.sources = data
    elif name == "error":
        said.error = data
    elif name == "turn.finished":
        said.status = data["status"]


async def trouble_of(what: str, response: httpx.Response) -> Trouble:
    """Read a refusal the way a person's page would."""
    body = await response.aread()
    try:
        code = str(json.loads(body)["error"]["code"])
    except (ValueError, KeyError, TypeError):
        code = ""
    return Trouble(
        time.monotonic(), what, response.status_code, code, body[:200].decode("utf-8", "replace")
    )
