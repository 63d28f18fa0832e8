"""What can go wrong between a service and Valkey, with a code each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def coded() -> Iterator[None]:
    """Turn the driver's errors into coded ones; what is neither connection, memory nor rights passes through."""
    from redis import exceptions

    try:
        yield
    except exceptions.OutOfMemoryError:
        raise BusFull() from None
    except (
        exceptions.NoPermissionError,
        exceptions.AuthenticationError,
        exceptions.AuthorizationError,
    ) as error:
        raise BusDenied() from error
    except (exceptions.ConnectionError, exceptions.TimeoutError, OSError, TimeoutError) as error:
        raise BusUnavailable() from error
    except exceptions.ExecAbortError as error:
        # Inside MULTI a refused command aborts the whole and hides which; only memory passes all other checks.
        if "OOM" in str(error) or "previous errors" in str(error):
            raise BusFull() from error
        raise


def stop_if_cancelled() -> None:
    """Raise CancelledError if this task was told to stop and a library below swallowed it.

    Python 3.11's wait_for, which the driver sends through, returns its result instead when both come at once.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
