"""The decision about one request, from what the edge says of it. Pure but for the session's look-up.

1. Read the path in the one way it can be read, or refuse it.
2. Find the rule.
3. A request that changes something, or opens a WebSocket, must come from the house's own page.
4. Public: let it pass with nobody's name. Denied: refuse.
5. Whose session is it? Reads of a person who was let in moments ago are remembered.
6. Enough factors for the rule? Then hand on the caller.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kit.clock import Clock

from forward_auth.callers import Mint, caller_of_session, session_key
from forward_auth.canonical import Ambiguous, canonical
from forward_auth.errors import (
    Denied,
    NotSignedIn,
    OriginRejected,
    PathRejected,
    RequestRejected,
    StepUpRequired,
)
from forward_auth.memory import Memory
from forward_auth.policy import SAFE, Policy, Rule
from forward_auth.store import SessionRow

COOKIE = "lares_session"
COOKIE_CHARS_MAX = 64
CACHED_METHODS = frozenset({"GET", "HEAD"})
FindSession = Callable[[str], Awaitable[SessionRow | None]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the edge says of the request. The edge writes these headers itself and drops a client's."""

    method: str
    uri: str
    host: str
    cookie: str = ""
    origin: str = ""
    fetch_site: str = ""
    upgrade: str = ""


def session_cookie(header: str) -> str | None:
    """Return the session cookie's value; None when there is none, or two that differ (one was planted)."""
    found: str | None = None
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name != COOKIE:
            continue
        if found is not None and found != value:
            return None
        found = value
    return found if found and len(found) <= COOKIE_CHARS_MAX and found.isascii() else None


class Door:
    """Decides who passes."""

    def __init__(
        self,
        policy: Policy,
        authority: str,
        find: FindSession,
        mint: Mint,
        memory: Memory,
        clock: Clock,
    ) -> None:
        self._policy = policy
        self._authority = authority.lower()
        self._host = authority.partition(":")[0].lower()
        self._origin = f"https://{self._authority}"
        self._find = find
        self._mint = mint
        self._memory = memory
        self._clock = clock

    async def decide(self, asked: Asked) -> str | None:
        """Return the caller's token, or None where no caller is needed. Raises the refusal."""
        rule = self._rule(asked)
        if asked.method not in SAFE or asked.upgrade:
            self._same_origin(asked)
        if rule.require == "public":
            return None
        if rule.require == "deny":
            raise Denied
        cookie = session_cookie(asked.cookie)
        if cookie is None:
            raise NotSignedIn
        key = (session_key(cookie), asked.host, rule.name)
        # Writes, streams that stay open, and what asks for two factors are decided anew each time.
        remembered = (
            rule.cache
            and rule.require == "one_factor"
            and asked.method in CACHED_METHODS
            and not asked.upgrade
        )
        if remembered and (token := self._memory.recall(key, self._clock.monotonic())) is not None:
            return token
        generation = self._memory.generation
        row = await self._find(key[0])
        if row is None:
            raise NotSignedIn
        if rule.require == "two_factor" and row.aal < 2:
            raise StepUpRequired
        token = self._mint.token_for(caller_of_session(row))
        if remembered:
            self._memory.remember(key, row.subject, token, self._clock.monotonic(), generation)
        return token

    def _rule(self, asked: Asked) -> Rule:
        if asked.host.lower() != self._authority or not asked.method:
            raise RequestRejected
        try:
            path = canonical(asked.uri)
        except Ambiguous as error:
            raise PathRejected from error
        return self._policy.rule_for(self._host, path, asked.method)

    def _same_origin(self, asked: Asked) -> None:
        """Raise OriginRejected unless the house's own page asks. Browsers cannot forge these two headers."""
        if asked.origin:
            if asked.origin.lower() != self._origin:
                raise OriginRejected
        elif asked.fetch_site != "same-origin" or asked.upgrade:
            raise OriginRejected
