"""Who may ask: people with a session. Personal access tokens have their own gateway."""

from typing import Annotated

from contracts.identity import CALLER_HEADER, Caller
from fastapi import Depends, Request
from kit.auth import caller
from kit.errors import KitError

from dashboard.neighbours import Neighbours


class PeopleOnly(KitError):
    """A personal access token was used where a person is meant."""

    code, status = "dashboard.people_only", 403
    reason = "The dashboard is for people with a session; access tokens are for the MCP gateway."
    fix = "Sign in, or use the token at /mcp."


async def person(request: Request, verified: Annotated[Caller, Depends(caller)]) -> Caller:
    """FastAPI dependency: the person who asks. Raises PeopleOnly for a token."""
    if verified.kind != "person":
        raise PeopleOnly()
    return verified


def token_of(request: Request) -> str:
    """Return the proof of identity that this request carried; `person` has verified it."""
    return request.headers[CALLER_HEADER]


def neighbours(request: Request) -> Neighbours:
    """FastAPI dependency: the services behind the dashboard."""
    found: Neighbours = request.state.neighbours
    return found


Person = Annotated[Caller, Depends(person)]
Behind = Annotated[Neighbours, Depends(neighbours)]
