"""Tells gpu-scheduler that this process lives, so that the places of one that died or hangs do not wait for nobody.

One life of the orchestrator is one agent. A turn needs no agent of its own: its end shows at once, as the end of its
connection to the gateway; only that the process behind all of them stands still shows nowhere else.
"""

from collections.abc import Callable
from uuid import uuid4

from kit import logs
from kit.client import ServiceClient
from kit.clock import Clock
from kit.errors import KitError

log = logs.get(__name__)

# Three in a row may be lost before running answers are given up.
BEATS = 4
ALIVE_SECONDS_MIN, ALIVE_SECONDS_MAX = 2.0, 600.0  # as the scheduler takes them
CALL_SECONDS_MAX = 2.0
GOODBYE_SECONDS_MAX = 0.5
Told = Callable[[bool], None]


class Presence:
    """The heartbeat of this process as an agent. Nothing waits for it: while it fails, requests name no agent."""

    def __init__(self, client: ServiceClient, clock: Clock, told: Told, alive_s: float) -> None:
        self.id = f"orchestrator-{uuid4().hex[:8]}"
        self._client = client
        self._clock = clock
        self._told = told
        self._alive_s = min(max(alive_s, ALIVE_SECONDS_MIN), ALIVE_SECONDS_MAX)
        self._heard_at: float | None = None
        self._failing = ""

    @property
    def agent(self) -> str | None:
        """The name to ask models under; None unless the scheduler has heard this process lately.

        A request under a name that is about to be given up would be given up with it.
        """
        if self._heard_at is None or self._clock.monotonic() - self._heard_at > self._alive_s / 2:
            return None
        return self.id

    async def run(self) -> None:
        """Beat until cancelled, then say goodbye. The scheduler may be away for as long as it likes."""
        try:
            while True:
                await self._beat()
                await self._clock.sleep(self._alive_s / BEATS)
        finally:
            await self._leave()

    async def _beat(self) -> None:
        begun = self._clock.monotonic()
        try:
            await self._client.request(
                "PUT", self._path, json={"ttl_seconds": self._alive_s},
                timeout_s=CALL_SECONDS_MAX, retries=0,
            )  # fmt: skip
        except KitError as error:
            if error.code != self._failing:
                log.warning("presence.unheard", code=error.code)
            self._failing = error.code
            self._told(False)
            return
        if self._failing or self._heard_at is None:
            log.info("presence.heard", agent=self.id)
        # Of the time before the call: the scheduler cannot have heard it earlier.
        self._heard_at, self._failing = begun, ""
        self._told(True)

    async def _leave(self) -> None:
        if self._heard_at is None:
            return
        self._heard_at = None
        try:
            await self._client.request(
                "DELETE", self._path, timeout_s=GOODBYE_SECONDS_MAX, retries=0
            )
        except KitError as error:
            log.info("presence.no_goodbye", code=error.code)

    @property
    def _path(self) -> str:
        return f"/v1/agents/{self.id}"
