"""The OpenAPI document, made of the contracts and the table of operations."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from contracts.base import Contract
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from memory.openapi.operations import OPERATIONS, Operation, Schema

PATH = "/v1/openapi.json"
_REFERENCE = "#/components/schemas/{model}"
_REFUSAL: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "reason", "fix", "correlation_id"],
            "properties": {
                name: {"type": "string"} for name in ("code", "reason", "fix", "correlation_id")
            },
        }
    },
}
# Any refusal has the one body; which codes there are stands in docs/errors.md.
_REFUSALS = (400, 401, 403, 404, 409, 410, 413, 415, 422, 429, 500, 503)


def routes() -> list[Route]:
    """Return the route that shows the document. It tells nothing of anybody, so it asks for no caller."""
    return [Route(PATH, show, methods=["GET"])]


async def show(_: Request) -> Response:
    """`GET /v1/openapi.json`."""
    return JSONResponse(document())


@cache
def document() -> dict[str, Any]:
    """Return the document (OpenAPI 3.1)."""
    from pydantic.json_schema import models_json_schema

    taken = {operation.body for operation in OPERATIONS if operation.body is not None}
    given = {model for each in OPERATIONS for model in each.answers.values() if model is not None}
    _, schemas = models_json_schema(
        [
            *((model, "validation") for model in sorted(taken, key=_name)),
            *((model, "serialization") for model in sorted(given - taken, key=_name)),
        ],
        ref_template=_REFERENCE,
    )
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Lares memory", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": {**schemas["$defs"], "Refusal": _REFUSAL},
            "securitySchemes": {
                "caller": {"type": "apiKey", "in": "header", "name": "X-Lares-Caller"}
            },
        },
        "security": [{"caller": []}],
    }


def _described(operation: Operation) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in (operation.query or {}).items()
    ]
    described: dict[str, Any] = {
        "summary": operation.says,
        "x-scope": operation.scope,
        "parameters": parameters,
        "responses": {
            **{str(status): _answer(operation, status) for status in operation.answers},
            **{str(status): _REFUSED for status in _REFUSALS},
        },
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": _json(operation.body)}
    elif operation.files and operation.method == "POST":
        described["requestBody"] = {"required": True, "content": _files(operation)}
    return described


def _answer(operation: Operation, status: int) -> dict[str, Any]:
    model = operation.answers[status]
    if model is not None:
        return {"description": "Done.", "content": _json(model)}
    return (
        {"description": "Done.", "content": _files(operation)}
        if operation.files
        else {"description": "Done."}
    )


def _files(operation: Operation) -> dict[str, Any]:
    return {media: {"schema": {"type": "string", "format": "binary"}} for media in operation.files}


def _json(model: type[Contract]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REFERENCE.format(model=_name(model))}}}


def _name(model: type[Contract]) -> str:
    return model.__name__


_REFUSED: dict[str, Any] = {
    "description": "Refused, with a code, the reason and what to do.",
    "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(model="Refusal")}}},
}
