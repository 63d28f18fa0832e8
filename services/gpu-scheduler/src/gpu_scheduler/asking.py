"""What every route does with a request: who asks, the body, numbers in the query; and the answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeVar

from contracts.base import Contract
from contracts.identity import Caller
from contracts.names import CALLER_HEADER, SERVICE_HEADER
from kit.auth import ScopeMissing, caller
from kit.errors import InvalidRequest
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from gpu_scheduler.errors import CallerUnnamed, OwnerOnly

MANAGE, READ = "inference:manage", "inference:read"
_SERVICE = re.compile(r"^[a-z][a-z0-9-]{0,39}$")
Body = TypeVar("Body", bound=Contract)


@dataclass(frozen=True)
class Who:
    """Who asks: a service of the house, a person, or a service for a person.

    A service is believed by its word: the networks let none but the scheduler's named callers in.
    """

    service: str | None
    caller: Caller | None

    @property
    def name(self) -> str:
        """As whom leases and agents are held: a service's outlive the person's token that it acts with."""
        if self.service is not None:
            return f"service:{self.service}"
        return f"person:{self.caller.subject}" if self.caller is not None else "nobody"

    @property
    def is_owner(self) -> bool:
        """Whether the owner may be taken to stand behind this: in person, or by a token made for managing."""
        if self.caller is None or self.caller.role != "owner":
            return False
        # `read_only` of a token speaks of the person's data, and says nothing of this.
        return self.caller.may(MANAGE)


async def who(request: Request) -> Who:
    """Return who asks. Raises CallerUnnamed, CallerInvalid."""
    names = request.headers.getlist(SERVICE_HEADER)
    if len(names) > 1 or (names and not _SERVICE.match(names[0])):
        raise CallerUnnamed(f"{SERVICE_HEADER} is not one service's name.")
    person = await caller(request) if request.headers.getlist(CALLER_HEADER) else None
    if person is None and not names:
        raise CallerUnnamed()
    return Who(names[0] if names else None, person)


async def reader(request: Request) -> Who:
    """Return who wants to look: a service, or the owner, since the status names everybody's requests.

    Raises OwnerOnly, and ScopeMissing when a token was not made for it.
    """
    asking = await who(request)
    person = asking.caller
    if person is not None and person.role != "owner":
        raise OwnerOnly("Only the owner may see what everybody has asked for.")
    if person is not None and not (person.may(READ) or person.may(MANAGE)):
        raise ScopeMissing(f"The access token does not carry {READ}.")
    return asking


async def changer(request: Request) -> Who:
    """Return who wants to hold or register something. Raises ScopeMissing."""
    asking = await who(request)
    person = asking.caller
    if person is not None and not person.may(MANAGE):
        raise ScopeMissing(f"The access token does not carry {MANAGE}.")
    return asking


async def owner(request: Request) -> Who:
    """Return who gives an order. Raises OwnerOnly unless the owner stands behind it."""
    asking = await who(request)
    if not asking.is_owner:
        raise OwnerOnly()
    return asking


async def read_body(request: Request, model: type[Body]) -> Body:
    """Return the request's body. Raises InvalidRequest, which names places and rules and nothing that was typed."""
    try:
        return model.model_validate_json(await request.body() or b"{}")
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        named = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'body'}: {problem['type']}"
            for problem in problems[:5]
        )
        raise InvalidRequest(f"The request does not have the expected shape: {named}.") from None


def whole_number(request: Request, name: str, default: int, least: int, most: int) -> int:
    """Return a number of the query. Raises InvalidRequest."""
    told = request.query_params.get(name, str(default))
    if not re.fullmatch(r"\d{1,15}", told) or not least <= int(told) <= most:
        raise InvalidRequest(f"{name} must be a whole number from {least} to {most}.")
    return int(told)


def answer(model: Contract, status: int = 200) -> Response:
    """Return a model as the answer; no cache keeps it."""
    return Response(
        model.model_dump_json().encode(),
        status,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )
