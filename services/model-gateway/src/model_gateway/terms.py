"""On which terms a request is made: how private it is, how urgent, and who asks. Read from its headers alone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from contracts.scheduling import ServiceClass

from model_gateway.catalogue import SERVICE_CLASSES, TIERS, Tier
from model_gateway.errors import RequestInvalid

UNKNOWN = "unknown"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


@dataclass(frozen=True)
class Terms:
    """What a request says of itself, checked. `caller`: `person:<uuid>`, `service:<name>` or `unknown`."""

    tier: Tier = "sacred"
    service_class: ServiceClass = "batch"
    caller: str = UNKNOWN
    service: str | None = None
    agent: str | None = None


def read_tier(headers: Sequence[str]) -> Tier:
    """Return the most private tier in a request. A caller that says nothing is taken to say `sacred`."""
    if not headers:
        return "sacred"
    # Two values that differ would be read differently by whoever stands between: refused like a wrong one.
    header = headers[0] if len(headers) == 1 else ""
    if header not in TIERS:
        raise RequestInvalid(f"X-Lares-Max-Tier is none of {', '.join(TIERS)}.")
    return header


def read_class(headers: Sequence[str], *, person: bool) -> ServiceClass:
    """Return the request's class. Who says nothing is waiting if it is a person, and is not if it is a service."""
    if not headers:
        return "interactive" if person else "batch"
    header = headers[0] if len(headers) == 1 else ""
    if header not in SERVICE_CLASSES:
        raise RequestInvalid(f"X-Lares-Class is none of {', '.join(SERVICE_CLASSES)}.")
    return header


def read_name(headers: Sequence[str], header_name: str) -> str | None:
    """Return the name in a header: letters, digits, `.`, `_`, `:` and `-`, at most 64. Raises RequestInvalid."""
    if not headers:
        return None
    if len(headers) > 1 or not _NAME.fullmatch(headers[0]):
        raise RequestInvalid(f"{header_name} is not one plain name of at most 64 characters.")
    return headers[0]
