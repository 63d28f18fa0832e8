"""What the agent itself says to a model's server: are you ready, sleep, wake, stay awake. Each with a time limit."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp

from node_agent.catalogue import Sleep

ANSWER_BYTES_MAX = 256 * 1024
LOOK_SECONDS_MAX = 2.0
LOOK_AGAIN_SECONDS = 0.1


class Silent(Exception):
    """The server did not answer, or not with 200."""


class Talk:
    """One model's server."""

    def __init__(
        self, session: aiohttp.ClientSession, base: str, ready_path: str, sleep: Sleep
    ) -> None:
        self._session = session
        self.base = base
        self._ready_path = ready_path
        self._sleep = sleep

    async def ready(self) -> bool:
        """Return whether it can work. A llama.cpp that sleeps is ready by its own account."""
        try:
            await self._ask("GET", self._ready_path, LOOK_SECONDS_MAX)
        except Silent:
            return False
        return True

    async def asleep(self) -> bool:
        """Return whether it sleeps. What cannot sleep is awake. Raises Silent."""
        if self._sleep.method == "idle":
            told = await self._ask("GET", self._sleep.state_path, LOOK_SECONDS_MAX)
            return told.get("is_sleeping") is True
        if self._sleep.method == "vllm":
            told = await self._ask("GET", "/is_sleeping", LOOK_SECONDS_MAX)
            return told.get("is_sleeping") is True
        return False

    async def fall_asleep(self, seconds: float) -> None:
        """Bring it to sleep and return when it says that it does. Raises Silent, TimeoutError."""
        async with asyncio.timeout(seconds):
            if self._sleep.method == "vllm":
                await self._ask("POST", f"/sleep?level={self._sleep.level}", seconds)
            # llama.cpp goes by itself once nobody asks anything of it.
            while True:
                if await self.asleep():
                    return
                await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def wake(self, seconds: float) -> None:
        """Wake it and return when it can work. Raises Silent, TimeoutError."""
        async with asyncio.timeout(seconds):
            if self._sleep.method == "idle":
                # Answered once the model is loaded again.
                await self._ask("GET", self._sleep.touch_path, seconds)
            elif self._sleep.level == 2:
                await self._ask("POST", "/wake_up?tags=weights", seconds)
                reload = {"method": "reload_weights"}
                await self._ask("POST", "/collective_rpc", seconds, reload)
                await self._ask("POST", "/wake_up?tags=kv_cache", seconds)
            else:
                await self._ask("POST", "/wake_up", seconds)
            while True:
                if not await self.asleep() and await self.ready():
                    return
                await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def touch(self) -> None:
        """Say something that counts as work, so that llama.cpp does not go to sleep by itself. Raises Silent."""
        if self._sleep.method == "idle":
            await self._ask("GET", self._sleep.touch_path, LOOK_SECONDS_MAX)

    @property
    def touch_seconds(self) -> float | None:
        """How often it must be touched to stay awake; None: never."""
        return self._sleep.idle_seconds / 3 if self._sleep.method == "idle" else None

    async def _ask(
        self, method: str, path: str, seconds: float, body: dict[str, str] | None = None
    ) -> dict[str, Any]:
        try:
            async with self._session.request(
                method,
                self.base + path,
                json=body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=seconds),
            ) as answer:
                said = bytearray()
                # All of it: what is there at once may be half, and half of it says nothing.
                async for piece in answer.content.iter_any():
                    said += piece
                    if len(said) > ANSWER_BYTES_MAX:
                        raise Silent(f"{path}: more than {ANSWER_BYTES_MAX} bytes")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Silent(f"{path}: {type(error).__name__}") from None
        if answer.status not in (200, 204):
            raise Silent(f"{path}: {answer.status}")
        try:
            told = json.loads(said)
        except ValueError:
            return {}
        return told if isinstance(told, dict) else {}
