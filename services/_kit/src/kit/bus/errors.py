"""What can go wrong between a service and Valkey, with a code each."""

from __future__ import annotations

from kit.errors import KitError


class BusUnavailable(KitError):
    """Valkey cannot be reached, is starting, or broke off in the middle."""

    code, status = "bus.unavailable", 503
    reason = "The house's message bus is not answering."
    fix = "Wait a few seconds and try again; if it lasts, look at the valkey container's log."


class BusFull(KitError):
    """Valkey is at its memory limit and refuses writes; nothing was evicted."""

    code, status = "bus.full", 503
    reason = "The house's message bus is full and takes nothing new for now."
    fix = "Wait for the consumers to catch up; if it lasts, raise LARES_VALKEY_MAXMEMORY or look for a stopped consumer."


class BusDenied(KitError):
    """Valkey's access list does not allow this service that key or command."""

    code, status = "bus.denied", 500
    reason = "This service may not use that stream or key."
    fix = "See db/valkey/users.acl.template: the service's line must name the stream. Then run `make up`."
