"""Slowing guesses down without locking anyone out.

Each password guess takes one step in up to three buckets: the address, the name at that network, the name everywhere.
A bucket lets a few failures pass, then makes the next guess wait, twice as long each time up to a limit, and forgets one
failure per `forget_s`. A right password gives its steps back.
A browser that has signed in before carries a device cookie and is counted in its own bucket instead, and a passkey passes
none: an attacker who keeps every bucket of the owner's name full does not keep the owner out.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.utils import timezone

STALE_AFTER = timedelta(days=2)


@dataclass(frozen=True)
class Kind:
    """How one kind of bucket forgives and delays."""

    name: str
    free: int
    base_s: float
    limit_s: float
    forget_s: float


ADDRESS = Kind("address", free=20, base_s=2, limit_s=900, forget_s=30)
NAME_AT_NETWORK = Kind("name_at_network", free=5, base_s=2, limit_s=300, forget_s=60)
NAME = Kind("name", free=10, base_s=1, limit_s=120, forget_s=60)
DEVICE = Kind("device", free=10, base_s=2, limit_s=300, forget_s=60)


@dataclass(frozen=True)
class Bucket:
    kind: Kind
    key: str


@dataclass(frozen=True)
class Verdict:
    """Whether a guess may be tried now, and if not, after how many seconds."""

    allowed: bool
    retry_after_s: int = 0


def network_of(address: str) -> str:
    """Return the neighbourhood of an address: what one attacker usually holds."""
    parsed = ipaddress.ip_address(address)
    return str(ipaddress.ip_network(f"{address}/{24 if parsed.version == 4 else 48}", strict=False))


def host_of(address: str) -> str:
    """Return what stands for one machine: an IPv4 address, or an IPv6 /64."""
    parsed = ipaddress.ip_address(address)
    return str(ipaddress.ip_network(f"{address}/{32 if parsed.version == 4 else 64}", strict=False))


def _key(kind: Kind, *parts: str) -> str:
    # Hashed: a name typed into the wrong field may be a password.
    return hashlib.sha256("\0".join((kind.name, *parts)).encode()).hexdigest()


def buckets_for(username: str, address: str, device_id: str | None) -> list[Bucket]:
    """Return the buckets a password guess is counted in, whether or not the name exists."""
    if device_id:
        return [Bucket(DEVICE, _key(DEVICE, device_id))]
    name = username.strip().lower()
    return [
        Bucket(ADDRESS, _key(ADDRESS, host_of(address))),
        Bucket(NAME_AT_NETWORK, _key(NAME_AT_NETWORK, name, network_of(address))),
        Bucket(NAME, _key(NAME, name)),
    ]


def address_bucket(address: str) -> list[Bucket]:
    """Return the bucket for guesses that name nobody (set-up tokens, invitations)."""
    return [Bucket(ADDRESS, _key(ADDRESS, host_of(address)))]


# One statement decides and counts, so that parallel guesses cannot all pass the same check. They may also arrive in
# another order than their clocks say: time never runs backwards here.
_STEP = """
INSERT INTO regulation AS r (bucket, failures, blocked_until, updated_at)
VALUES (%(bucket)s, 1, 'epoch', %(now)s)
ON CONFLICT (bucket) DO UPDATE SET
    failures = greatest(0, r.failures - greatest(0, extract(epoch FROM %(now)s - r.updated_at)) / %(forget_s)s) + 1,
    updated_at = greatest(r.updated_at, %(now)s),
    blocked_until = CASE
        WHEN greatest(0, r.failures - greatest(0, extract(epoch FROM %(now)s - r.updated_at)) / %(forget_s)s) + 1 > %(free)s
        THEN %(now)s + make_interval(secs => least(%(limit_s)s, %(base_s)s * power(2, least(20, floor(
             greatest(0, r.failures - greatest(0, extract(epoch FROM %(now)s - r.updated_at)) / %(forget_s)s) + 1 - %(free)s - 0.5)))))
        ELSE r.blocked_until END
WHERE r.blocked_until <= %(now)s
RETURNING failures
"""
_BLOCK = "SELECT blocked_until FROM regulation WHERE bucket = %s"
_REFUND = "UPDATE regulation SET failures = greatest(0, failures - 1), blocked_until = 'epoch' WHERE bucket = %s"


def take(buckets: list[Bucket], now: datetime | None = None) -> Verdict:
    """Count one guess in every bucket, or in none when one of them says wait."""
    moment = now or timezone.now()
    with transaction.atomic(), connection.cursor() as cursor:
        # Sorted, so that two guesses never lock two buckets in opposite order.
        for bucket in sorted(buckets, key=lambda b: b.key):
            kind = bucket.kind
            cursor.execute(
                _STEP,
                {
                    "bucket": bucket.key,
                    "now": moment,
                    "free": float(kind.free),
                    "base_s": kind.base_s,
                    "limit_s": kind.limit_s,
                    "forget_s": kind.forget_s,
                },
            )
            if cursor.fetchone() is None:
                cursor.execute(_BLOCK, [bucket.key])
                row = cursor.fetchone()
                transaction.set_rollback(True)
                wait = (row[0] - moment).total_seconds() if row else 1.0
                return Verdict(allowed=False, retry_after_s=max(1, int(wait + 0.999)))
    return Verdict(allowed=True)


def give_back(buckets: list[Bucket]) -> None:
    """Undo `take` after a right answer: the guess was none.

    `take` succeeds only on buckets that are not blocked, so that ending the block restores what was before it.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        for bucket in sorted(buckets, key=lambda b: b.key):
            cursor.execute(_REFUND, [bucket.key])


def forgive() -> int:
    """Empty every bucket; returns how many there were. For the person who holds the machine."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM regulation")
        return cursor.rowcount


def forget_stale(now: datetime | None = None) -> int:
    """Delete buckets nobody has touched for two days."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM regulation WHERE updated_at < %s", [(now or timezone.now()) - STALE_AFTER]
        )
        return cursor.rowcount
