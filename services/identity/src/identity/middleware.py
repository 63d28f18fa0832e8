"""The outermost and the innermost layer around every request."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

from allauth.core.exceptions import ImmediateHttpResponse
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from kit import logs, trace
from kit.errors import KitError

from identity import audit, metrics
from identity.answers import coded
from identity.devices import remember_device
from identity.errors import (
    BadCredentials,
    CodeRejected,
    Conflict,
    DatabaseAway,
    Forbidden,
    InvalidInput,
    MethodNotAllowed,
    NotFound,
    NotSignedIn,
    ReauthenticationRequired,
    SecondFactorPending,
    SlowDown,
)

log = logs.get(__name__)
Next = Callable[[HttpRequest], HttpResponseBase]
ALLAUTH = "/_allauth/"
TAKEN = frozenset({"GET", "POST", "PUT", "DELETE"})
OPERATIONS = frozenset({"/healthz", "/readyz", "/metrics"})
_CREDENTIAL_CODES = {
    "username_password_mismatch",
    "incorrect_password",
    "enter_current_password",
    "account_inactive",
}
_SLOW_CODES = {"too_many_login_attempts", "rate_limited"}


class EdgeMiddleware:
    """Carries the trace, measures, and lets nothing be cached."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        inbound = trace.parse(request.META.get("HTTP_TRACEPARENT"))
        with trace.use(inbound.child() if inbound else None) as here:
            began = time.monotonic()
            if request.path not in OPERATIONS:
                # Raises DisallowedHost: whatever name a request claims, links and relying party are the house's own.
                request.get_host()
            response = self.get_response(request)
            # Methods and routes are closed sets here: a client may invent any word.
            method = request.method if request.method in metrics.METHODS else "OTHER"
            route = request.resolver_match.route if request.resolver_match else "unrouted"
            metrics.METRICS.observe(method, route, response.status_code, time.monotonic() - began)
            response["X-Correlation-Id"] = here.trace_id
            response.headers.setdefault("Cache-Control", "no-store")
            if isinstance(response, HttpResponse):
                # Without a length the server would close the edge's connection after every answer.
                response.headers.setdefault("Content-Length", str(len(response.content)))
            return response


class DoorMiddleware:
    """Gives errors their codes, browsers their device cookie, and refusals their audit row."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path.startswith(ALLAUTH) and request.method not in TAKEN:
            # allauth would check the body of a HEAD as if it were a POST: a code used up without the page's own token.
            return coded(MethodNotAllowed(Allow=", ".join(sorted(TAKEN))))
        response = self.get_response(request)
        person = getattr(request, "lares_signed_in", None)
        if person is not None:
            remember_device(request, response, person)
        if request.path.startswith(ALLAUTH) and response.status_code >= 400:
            return self._explain(request, response)
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer coded errors; what is not ours goes on to the other layers."""
        if isinstance(error, KitError):
            if error.status in (401, 403, 429) and request.method != "GET":
                audit.record(
                    request,
                    "request.refused",
                    "denied",
                    code=error.code,
                    detail={"path": request.path[:120]},
                )
            return coded(error)
        if isinstance(error, (OperationalError, InterfaceError)):
            log.exception("database.away", error)
            return coded(DatabaseAway())
        if not isinstance(error, ImmediateHttpResponse):
            log.exception("request.failed", error)
        return None

    def _explain(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if not isinstance(response, HttpResponse):
            return response
        body: dict[str, Any] = {"status": response.status_code}
        with contextlib.suppress(ValueError):
            body = json.loads(response.content)
        if "error" in body:
            return response
        error = _error_for(request, response.status_code, body)
        if (
            request.method != "GET"
            and response.status_code in (400, 401, 403, 409, 429)
            and not _is_sign_out(request)
        ):
            audit.record(
                request,
                "request.refused",
                "denied",
                code=error.code,
                detail={"path": request.path[:120]},
            )
        body.update(error.body())
        response.content = json.dumps(body).encode()
        response["Content-Type"] = "application/json"
        return response


def _is_sign_out(request: HttpRequest) -> bool:
    return request.method == "DELETE" and request.path.endswith(("/auth/session", "/auth/sessions"))


def _error_for(request: HttpRequest, status: int, body: dict[str, Any]) -> KitError:
    """Name what allauth meant by a status and its own codes."""
    codes = {e.get("code") for e in body.get("errors") or [] if isinstance(e, dict)}
    if status == 429 or codes & _SLOW_CODES:
        return SlowDown()
    if status == 401:
        if (body.get("meta") or {}).get("is_authenticated"):
            return ReauthenticationRequired()
        pending = any(f.get("is_pending") for f in (body.get("data") or {}).get("flows", []))
        return SecondFactorPending() if pending else NotSignedIn()
    if status == 400:
        if codes & _CREDENTIAL_CODES:
            return BadCredentials()
        return CodeRejected() if "incorrect_code" in codes else InvalidInput()
    by_status: dict[int, type[KitError]] = {
        403: Forbidden,
        404: NotFound,
        405: MethodNotAllowed,
        409: Conflict,
    }
    return by_status.get(status, KitError)()
