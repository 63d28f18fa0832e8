"""JSON in, JSON out: bodies, coded errors, and who may ask."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account.internal.flows.login import get_authentication_records
from allauth.account.internal.flows.reauthentication import did_recently_reauthenticate
from allauth.headless.constants import Client
from allauth.headless.internal.decorators import mark_request_as_headless
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from kit.errors import KitError

from identity.errors import (
    Forbidden,
    InvalidInput,
    MethodNotAllowed,
    NotSignedIn,
    ReauthenticationRequired,
)
from identity.house.models import Person, Role
from identity.sessions import assurance

View = Callable[..., HttpResponseBase]
TEXT_CHARS_MAX = 512


def coded(error: KitError) -> JsonResponse:
    """Return the coded JSON answer to `error`."""
    return JsonResponse(
        error.body(), status=error.status, headers={**error.headers, "Cache-Control": "no-store"}
    )


def answer(data: dict[str, Any], status: int = 200) -> JsonResponse:
    """Return JSON that nothing on the way may keep."""
    return JsonResponse(data, status=status, headers={"Cache-Control": "no-store"})


def body_of(request: HttpRequest) -> dict[str, Any]:
    """Return the request's JSON object. Raises InvalidInput for anything else."""
    try:
        body = json.loads(request.body or b"{}")
    except (ValueError, UnicodeDecodeError) as error:
        raise InvalidInput("The body is not JSON.") from error
    if not isinstance(body, dict):
        raise InvalidInput("The body is not a JSON object.")
    return body


def text_of(body: dict[str, Any], name: str, *, default: str | None = None) -> str:
    """Return a bounded text field. Raises InvalidInput when it is missing, not text or too long."""
    value = body.get(name, default)
    if not isinstance(value, str) or not value or len(value) > TEXT_CHARS_MAX or "\0" in value:
        raise InvalidInput(f"{name}: a text of 1 to {TEXT_CHARS_MAX} characters is expected.")
    return value


def whole_of(value: Any, name: str, least: int, most: int) -> int:
    """Return a whole number within bounds. Raises InvalidInput."""
    try:
        number = int(str(value))
    except ValueError as error:
        raise InvalidInput(f"{name}: a whole number is expected.") from error
    if not least <= number <= most:
        raise InvalidInput(f"{name}: {least} to {most} is expected.")
    return number


def methods(**by_method: View) -> View:
    """Return a view that dispatches by method; others are answered 405. GET never changes anything."""

    def view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        mark_request_as_headless(request, Client.BROWSER)
        chosen = by_method.get(request.method or "")
        if chosen is None:
            raise MethodNotAllowed(Allow=", ".join(sorted(by_method)))
        return chosen(request, *args, **kwargs)

    return view


def person_of(request: HttpRequest) -> Person:
    """Return who is signed in. Raises NotSignedIn."""
    if not request.user.is_authenticated:
        raise NotSignedIn
    return request.user  # pyright: ignore[reportReturnType]


def signed_in(view: View) -> View:
    """Let only a signed-in person through."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        person_of(request)
        return view(request, *args, **kwargs)

    return guarded


def owner_only(view: View) -> View:
    """Let only an owner through."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if person_of(request).role != Role.OWNER:
            raise Forbidden
        return view(request, *args, **kwargs)

    return guarded


def fresh(view: View) -> View:
    """Let only a recently reauthenticated person through."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        person_of(request)
        if not did_recently_reauthenticate(request):
            raise ReauthenticationRequired
        return view(request, *args, **kwargs)

    return guarded


def aal_of(request: HttpRequest) -> int:
    """Return the session's assurance level: 1 password, 2 with a second factor or a passkey."""
    return assurance(get_authentication_records(request, person_of(request)))
