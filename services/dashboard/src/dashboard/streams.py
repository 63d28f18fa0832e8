"""Open streams: how many one person may hold, and how each ends when its session does.

A stream outlives the decision that let it in, so the session behind it is asked about again every few seconds:
once for a session, however many streams it holds.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from contracts.identity import Caller
from kit import logs
from kit.client import ServiceClient
from kit.clock import Clock
from kit.errors import KitError

from dashboard.errors import TooManyStreams

log = logs.get(__name__)

# Revocation must close a stream within five seconds: one interval, one answer, and some room.
CHECK_SECONDS = 3.0
MISSES_MAX = 2
SESSIONS_MAX = 500


@dataclass
class Session:
    """One signed-in session with streams open. `token` is the freshest proof of it, for calls downstream."""

    token: str
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    streams: int = 0
    misses: int = 0
    # Told apart from a stop of this service, after which a browser should come back.
    over: bool = False


class Streams:
    """The register of open streams."""

    def __init__(
        self, forward_auth: ServiceClient, per_person_max: int, clock: Clock | None = None
    ) -> None:
        self._forward_auth = forward_auth
        self._per_person_max = per_person_max
        self._clock = clock or Clock()
        self._open: Counter[UUID] = Counter()
        self._sessions: dict[str, Session] = {}

    @asynccontextmanager
    async def hold(self, caller: Caller, token: str) -> AsyncGenerator[Session]:
        """Count one stream of `caller` for the length of the block. Raises TooManyStreams.

        Whoever holds it must end when `session.ended` is set.
        """
        if self._open[caller.subject] >= self._per_person_max:
            raise TooManyStreams()
        if caller.session_id not in self._sessions and len(self._sessions) >= SESSIONS_MAX:
            raise TooManyStreams()
        session = self._sessions.setdefault(caller.session_id, Session(token))
        self._open[caller.subject] += 1
        session.streams += 1
        try:
            yield session
        finally:
            session.streams -= 1
            if session.streams == 0 and self._sessions.get(caller.session_id) is session:
                del self._sessions[caller.session_id]
            self._open[caller.subject] -= 1
            # A Counter keeps its zeros, and people come and go.
            self._open += Counter()

    async def run(self) -> None:
        """Ask about every session with open streams, until cancelled."""
        while True:
            await self._clock.sleep(CHECK_SECONDS)
            await self.check()

    async def check(self) -> None:
        """Ask about every session once; end those that are no more, or that cannot be asked about twice in a row."""
        sessions = list(self._sessions.items())
        await asyncio.gather(
            *(self._check(session_id, session) for session_id, session in sessions)
        )

    async def _check(self, session_id: str, session: Session) -> None:
        try:
            reply = await self._forward_auth.post(
                "/v1/session", json={"caller": session.token}, caller_token=session.token
            )
            told = reply.json()
            if told["active"]:
                session.token = str(told["caller"])
                session.misses = 0
                return
            reason = "session over"
        except KitError as error:
            session.misses += 1
            # A refusal is an answer. Silence is borne once: a restart of the verifier must not sign everybody out.
            if error.status >= 500 and session.misses < MISSES_MAX:
                return
            reason = error.code
        except (KeyError, TypeError):
            reason = "unreadable answer"
        log.info("stream.session_ended", why=reason, streams=session.streams)
        self._sessions.pop(session_id, None)
        session.over = True
        session.ended.set()

    @asynccontextmanager
    async def watching(self) -> AsyncGenerator[None]:
        """Run the checks beside a block; at its end every stream is told to end."""
        task = asyncio.create_task(self.run(), name="stream-sessions")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self.end_all()

    def end_all(self) -> None:
        """Tell every stream to end; a browser comes back by itself."""
        for session in self._sessions.values():
            session.ended.set()
