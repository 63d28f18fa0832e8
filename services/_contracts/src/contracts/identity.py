"""Who is asking. Minted by forward-auth alone, verified by every service (`kit.auth`)."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from contracts.base import Contract, Instant
from contracts.names import CALLER_HEADER as CALLER_HEADER

ISSUER = "lares"
AUDIENCE = "lares-internal"
CALLER_TTL_SECONDS_MAX = 300

Scope = Literal["memory:read", "memory:write", "inference:read", "inference:manage"]
CallerKind = Literal["person", "token"]
CallerRole = Literal["owner", "member"]
# The group roles that a request may assume; lares_owner is for migrations alone.
DbRole = Literal["lares_app", "lares_readonly", "lares_remote_rw", "lares_mcp"]


class Caller(Contract):
    """A verified person, or a personal access token that acts for one."""

    subject: UUID
    username: Annotated[str, Field(min_length=1, max_length=150)]
    kind: CallerKind
    role: CallerRole
    db_role: DbRole
    scopes: Annotated[tuple[str, ...], Field(max_length=32)] = ()
    read_only: bool = False
    aal: Literal[0, 1, 2] = 0
    session_id: Annotated[str, Field(min_length=1, max_length=128)]
    auth_time: Instant

    def may(self, scope: str) -> bool:
        """Whether the caller holds `scope`. A person at the keyboard holds every scope; a token only those it was given."""
        return self.kind == "person" or scope in self.scopes


class IntrospectRequest(Contract):
    """What mcp-gateway asks forward-auth about a bearer token."""

    token: Annotated[str, Field(min_length=1, max_length=512)]


class Introspection(Contract):
    """What is known of a token. An inactive one says nothing more."""

    active: bool
    caller: str | None = None
    scopes: tuple[str, ...] = ()
    exp: int | None = None
