"""Coded errors. Each class carries its code, its status, what happened and what the reader can do.

Every code stands in docs/errors.md; a test compares.
"""

from __future__ import annotations

import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from kit import logs, trace

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logs.get(__name__)


class KitError(Exception):
    """The base of every error that may reach a reader. Subclass it with the four attributes; an instance may say more."""

    code: str = "kit.internal"
    status: int = 500
    reason: str = "Something went wrong inside the house."
    fix: str = "Try again. If it happens again, look for the correlation id in the logs."

    def __init__(
        self, reason: str | None = None, *, fix: str | None = None, **headers: str
    ) -> None:
        self.reason = reason or type(self).reason
        self.fix = fix or type(self).fix
        # `Retry_After="5"` becomes the header Retry-After.
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        super().__init__(f"{self.code}: {self.reason}")

    def body(self) -> dict[str, dict[str, str]]:
        """Return what is sent: code, reason, fix and the id to look for in the logs."""
        return {
            "error": {
                "code": self.code,
                "reason": self.reason,
                "fix": self.fix,
                "correlation_id": trace.correlation_id(),
            }
        }


class Internal(KitError):
    code = "kit.internal"
    status = 500
    reason = "Something went wrong inside the house."
    fix = "Try again. If it happens again, look for the correlation id in the logs."


class InvalidRequest(KitError):
    code = "kit.invalid_request"
    status = 422
    reason = "The request does not have the expected shape."
    fix = "Correct the fields that the reason names."


class NotFound(KitError):
    code = "kit.not_found"
    status = 404
    reason = "There is nothing here, or nothing you may see."
    fix = "Check the address or the id."


class MethodNotAllowed(KitError):
    code = "kit.method_not_allowed"
    status = 405
    reason = "This address does not take that method."
    fix = "Use one of the methods in the Allow header."


class Refused(KitError):
    code = "kit.refused"
    status = 400
    reason = "The request was refused."
    fix = "Check it against the API's description."


class BodyTooLarge(KitError):
    code = "kit.body_too_large"
    status = 413
    reason = "The request's body is larger than this service takes."
    fix = "Send less at once."


class UploadsFull(KitError):
    code = "kit.uploads_full"
    status = 503
    reason = "Too many files are being worked on to take another."
    fix = "Try again in a moment, or send a smaller one."


_BY_STATUS: dict[int, type[KitError]] = {404: NotFound, 405: MethodNotAllowed, 413: BodyTooLarge}


def response(error: KitError) -> JSONResponse:
    """Return the coded JSON answer to `error`."""
    from starlette.responses import JSONResponse

    return JSONResponse(
        error.body(),
        status_code=error.status,
        headers={**error.headers, "cache-control": "no-store"},
    )


def _fields(problems: list[dict[str, Any]]) -> str:
    # Places and rules only: the values a person typed must not come back in an error or reach a log.
    named = [
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['type']}"
        for problem in problems[:5]
    ]
    return "The request does not have the expected shape: " + "; ".join(named) + "."


def install(app: Starlette) -> None:
    """Make `app` answer every error with a coded body."""
    from starlette.exceptions import HTTPException

    async def kit_error(_: Request, error: Any) -> JSONResponse:
        level = log.error if error.status >= 500 else log.info
        level("request.refused", code=error.code, status=error.status)
        return response(error)

    async def http_error(_: Request, error: Any) -> JSONResponse:
        known = _BY_STATUS.get(error.status_code)
        if known is None:
            coded = Refused() if error.status_code < 500 else Internal()
            coded.status = error.status_code
            coded.reason = f"{HTTPStatus(error.status_code).phrase}."
        else:
            coded = known()
        coded.headers = dict(error.headers or {})
        return response(coded)

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        problems: list[dict[str, Any]] = getattr(error, "errors", list)()
        return response(InvalidRequest(_fields(problems)))

    app.add_exception_handler(KitError, kit_error)
    app.add_exception_handler(HTTPException, http_error)
    # A plain Starlette service has no validation to translate, and FastAPI is 11 MB that it must not load.
    if "fastapi" in sys.modules:
        from fastapi.exceptions import RequestValidationError

        app.add_exception_handler(RequestValidationError, invalid)


class ErrorGuard:
    """Turn what nobody foresaw into `kit.internal`: logged with its place, answered without its text."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except KitError as error:
            # Raised by a middleware, outside the reach of the application's own handlers.
            if started:
                raise
            await response(error)(scope, receive, send)
        except Exception as error:
            log.exception("request.failed", error, path_template=_template(scope))
            if started:
                # The answer is half sent: only closing the connection tells the client.
                raise
            await response(Internal())(scope, receive, send)


def _template(scope: Scope) -> str:
    route = scope.get("route")
    return str(getattr(route, "path", "")) or "unrouted"
