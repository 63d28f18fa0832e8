"""What every route does with a request: who asks, the body, the id in the path, times and limits; and the answer."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar
from uuid import UUID

from contracts.base import Contract
from kit.auth import require_scope
from kit.errors import InvalidRequest
from pydantic import ValidationError
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from memory.domain import aware, check_label
from memory.errors import LimitInvalid, MemoryNotFound, TimeInvalid

LIST_LIMIT = "50"
reads = require_scope("memory:read")
writes = require_scope("memory:write")
Body = TypeVar("Body", bound=Contract)


async def read_body(request: Request, model: type[Body]) -> Body:
    """Return the request's body. Raises InvalidRequest, which names places and rules and nothing that was typed."""
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        named = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'body'}: {problem['type']}"
            for problem in problems[:5]
        )
        raise InvalidRequest(f"The request does not have the expected shape: {named}.") from None


def answer(model: Contract, status: int = 200) -> Response:
    """Return a model as the answer; what is personal is kept by no cache on the way."""
    return answer_bytes(as_bytes(model), status)


def as_bytes(model: Contract) -> bytes:
    """Return a model as the body of an answer."""
    return model.model_dump_json().encode()


def answer_bytes(content: bytes, status: int = 200) -> Response:
    """Return an answer whose body is made already."""
    return Response(
        content, status, media_type="application/json", headers={"cache-control": "no-store"}
    )


def path_id(request: Request) -> UUID:
    """Return the id in the path. Raises MemoryNotFound: what is no id names no memory."""
    try:
        return UUID(request.path_params["id"])
    except ValueError:
        raise MemoryNotFound() from None


def limit_of(query: QueryParams) -> int:
    """Return `limit` as it was asked for, unchecked but for being a number. Raises LimitInvalid."""
    raw = query.get("limit") or LIST_LIMIT
    if not raw.isascii() or not raw.isdigit() or len(raw) > 4:
        raise LimitInvalid()
    return int(raw)


def label_of(query: QueryParams, name: str) -> str | None:
    """Return a word of the query; None when it is not there. Raises LabelInvalid: no row could have such a one."""
    raw = query.get(name)
    if not raw:
        return None
    return check_label(raw)


def moment_of(query: QueryParams, name: str) -> datetime | None:
    """Return a time of the query in UTC; None when it is not there. Raises TimeInvalid."""
    raw = query.get(name)
    if not raw:
        return None
    try:
        return aware(datetime.fromisoformat(raw))
    except ValueError:
        raise TimeInvalid() from None
