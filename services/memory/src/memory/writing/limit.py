"""How many memories one client may write: a token bucket each, so that one that floods delays nobody else.

Counted in this process: with two replicas a client has twice the allowance, which is still an allowance.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

from kit.clock import Clock

from memory.writing.errors import TooManyWrites

# Clients remembered at once; whoever was silent longest is forgotten first, and begins with a full bucket.
CLIENTS_MAX = 4096
# A burst of half a minute's allowance: importing a conversation is no flood.
BURST_SECONDS = 30.0
# A batch is cheaper than its memories one by one, for the house and so for its sender.
BATCH_SHARE = 16


def cost(memories: int) -> float:
    """Return what a request of so many memories costs its sender."""
    return 1.0 if memories <= 1 else 1.0 + memories / BATCH_SHARE


@dataclass(slots=True)
class _Bucket:
    level: float
    at: float


class WriteLimit:
    """One bucket per client. `per_minute` 0 sets no limit."""

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self._per_second = per_minute / 60.0
        self._full = max(self._per_second * BURST_SECONDS, 20.0)
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def spend(self, client: str, memories: int = 1) -> None:
        """Count a request of this client's, before any of its work. Raises TooManyWrites with `Retry-After`."""
        if self._per_second <= 0:
            return
        price = cost(memories)
        now = self._clock.monotonic()
        bucket = self._buckets.pop(client, None) or _Bucket(self._full, now)
        bucket.level = min(self._full, bucket.level + (now - bucket.at) * self._per_second)
        bucket.at = now
        self._buckets[client] = bucket
        while len(self._buckets) > CLIENTS_MAX:
            self._buckets.popitem(last=False)
        if bucket.level < price:
            wait = math.ceil((price - bucket.level) / self._per_second)
            raise TooManyWrites(Retry_After=str(max(1, wait)))
        bucket.level -= price
