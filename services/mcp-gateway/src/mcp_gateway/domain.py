"""What a message needs, and how often a token may ask: decisions, no I/O."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

READ, WRITE = "memory:read", "memory:write"
LOOK, MANAGE = "inference:read", "inference:manage"
# Every tool and the scope it runs under. A tool that is not listed here is not registered: `tools.py` asks.
SCOPE_OF_TOOL: Mapping[str, str] = {
    "recall": READ,
    "list_memories": READ,
    "get_memory": READ,
    "get_provenance": READ,
    "identity": READ,
    "list_namespaces": READ,
    "timeline": READ,
    "find_entities": READ,
    "get_entity": READ,
    "list_facts": READ,
    "entity_graph": READ,
    "remember": WRITE,
    "supersede_memory": WRITE,
    "forget_memory": WRITE,
    "inference_status": LOOK,
    "load_model": MANAGE,
    "unload_model": MANAGE,
}
_SCOPE_OF_METHOD: Mapping[str, str] = {
    "resources/read": READ,
    "resources/subscribe": READ,
    "resources/unsubscribe": READ,
}
BUCKETS_MAX = 1024


def needed_scopes(body: Any) -> set[str]:
    """Return the scopes that a message, or any of a batch, needs before it may run.

    A tool that does not exist needs none: the server says that there is no such tool.
    """
    needed: set[str] = set()
    for message in body if isinstance(body, list) else [body]:
        if not isinstance(message, dict):
            continue
        method, params = message.get("method"), message.get("params")
        if method == "tools/call":
            name = params.get("name") if isinstance(params, dict) else None
            scope = SCOPE_OF_TOOL.get(name) if isinstance(name, str) else None
        else:
            scope = _SCOPE_OF_METHOD.get(method) if isinstance(method, str) else None
        if scope is not None:
            needed.add(scope)
    return needed


@dataclass
class _Bucket:
    tokens: float
    filled_at: float
    under_way: int = 0


@dataclass
class Allowance:
    """A token bucket per access token, and how many of its requests are under way. The least used go first."""

    per_minute: int
    burst: int
    at_once: int
    _buckets: OrderedDict[str, _Bucket] = field(default_factory=OrderedDict[str, _Bucket])

    def wait_seconds(self, who: str, now: float) -> float:
        """Take one request from `who`; return 0 when it may go on, else how long to wait before it may."""
        bucket = self._bucket(who, now)
        rate = self.per_minute / 60
        bucket.tokens = min(self.burst, bucket.tokens + (now - bucket.filled_at) * rate)
        bucket.filled_at = now
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / rate
        bucket.tokens -= 1
        return 0.0

    def enter(self, who: str, now: float) -> bool:
        """Count a request as under way; False when `who` has as many as allowed."""
        bucket = self._bucket(who, now)
        if bucket.under_way >= self.at_once:
            return False
        bucket.under_way += 1
        return True

    def leave(self, who: str) -> None:
        """Count a request as ended."""
        bucket = self._buckets.get(who)
        if bucket is not None and bucket.under_way > 0:
            bucket.under_way -= 1

    def _bucket(self, who: str, now: float) -> _Bucket:
        bucket = self._buckets.get(who)
        if bucket is None:
            bucket = self._buckets[who] = _Bucket(float(self.burst), now)
            if len(self._buckets) > BUCKETS_MAX:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(who)
        return bucket
