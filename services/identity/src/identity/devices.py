"""Device cookies: a browser that has signed in before is not slowed by what strangers try elsewhere.

The cookie names a person and a device and is bound to the password: changing it ends every device's privilege.
It authenticates nobody; it only chooses which bucket a guess is counted in.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from django.conf import settings
from django.core.signing import BadSignature, TimestampSigner
from django.http import HttpRequest, HttpResponseBase
from django.utils.crypto import constant_time_compare

from identity.house.models import Person

COOKIE = "lares_device"
DAYS = 180
_SALT = "identity.device"


def _fingerprint(person: Person) -> str:
    key = f"{_SALT}{settings.SECRET_KEY}".encode()
    return hmac.new(key, f"{person.pk}|{person.password}".encode(), hashlib.sha256).hexdigest()[:32]


def trusted_device(request: HttpRequest, username: str) -> str | None:
    """Return the device's id when this browser has signed in as `username` since the password was set."""
    # Looked up whether or not there is a cookie, so that the time tells nothing about who lives here.
    person = Person.objects.filter(username=username.strip().lower()).first()
    try:
        cookie = TimestampSigner(salt=_SALT).unsign(
            request.COOKIES.get(COOKIE, ""), max_age=DAYS * 86400
        )
    except BadSignature:
        return None
    device_id, _, fingerprint = cookie.partition(".")
    if person is None or not constant_time_compare(fingerprint, _fingerprint(person)):
        return None
    return device_id


def remember_device(request: HttpRequest, response: HttpResponseBase, person: Person) -> None:
    """Mark this browser as one `person` has signed in from."""
    known = trusted_device(request, person.username)
    value = TimestampSigner(salt=_SALT).sign(
        f"{known or secrets.token_hex(12)}.{_fingerprint(person)}"
    )
    response.set_cookie(
        COOKIE, value, max_age=DAYS * 86400, secure=True, httponly=True, samesite="Lax", path="/"
    )
