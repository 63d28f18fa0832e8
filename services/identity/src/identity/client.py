"""Where a request comes from: the address the edge saw, never what a client claims."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest

# A value for "no address"; nothing listens on it.
UNKNOWN = "0.0.0.0"


@lru_cache(maxsize=1)
def _proxies(proxies: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(proxy, strict=False) for proxy in proxies)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip())
    except ValueError:
        return None


def client_ip(request: HttpRequest) -> str:
    """Return the client's address. X-Forwarded-For counts only when the edge sent it, and of it only the last hop."""
    peer = _address(request.META.get("REMOTE_ADDR", ""))
    if peer is None:
        return UNKNOWN
    if any(peer in network for network in _proxies(settings.LARES.proxies)):
        # The edge writes the header itself and drops the client's: the last entry is what the edge saw.
        forwarded = _address(request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2])
        if forwarded is not None:
            return str(forwarded)
    return str(peer)


def user_agent(request: HttpRequest) -> str:
    """Return what the browser calls itself, shortened."""
    return request.META.get("HTTP_USER_AGENT", "")[:200]
