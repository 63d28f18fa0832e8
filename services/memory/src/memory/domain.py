"""What a memory is and what may be done with it: types and decisions, no I/O."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from contracts.tiers import (
    LIST_LIMIT_MAX,
    QUERY_CHARS_MAX,
    RECALL_LIMIT_MAX,
    TEXT_CHARS_MAX,
    Level,
    Tier,
)

from memory.errors import (
    CursorInvalid,
    LabelInvalid,
    LevelUnknown,
    LimitInvalid,
    NamespaceInvalid,
    TextEmpty,
    TextTooLong,
    TextUnprintable,
    TierDenied,
    TierUnknown,
    TimeInvalid,
)
from memory.levels.plan import LEVELS

HOME = "home"
# The lengths of vector that the tables have an index for.
DIMENSIONS = frozenset({256, 384, 512, 768, 1024})
SACRED_ROWS_MAX = 5000
CURSOR_CHARS_MAX = 300
LABEL_CHARS_MAX = 200
_NAMESPACE = re.compile(r"[a-z][a-z0-9_-]{0,39}")
# What contracts refuse in a label, and halves of a surrogate pair.
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
# The driver keeps these two as infinities, which come back without a time zone and compare with nothing.
_CALENDAR_ENDS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
_EPOCH = datetime.fromtimestamp(0, UTC)

# What each role may do is granted in the database; this table only answers sooner and in words. A test holds the
# two against each other.
TIERS_OF_ROLE: Mapping[str, tuple[Tier, ...]] = {
    "lares_app": (Tier.CONVENIENCE, Tier.SENSITIVE, Tier.SACRED),
    "lares_remote_rw": (Tier.CONVENIENCE, Tier.SENSITIVE),
    "lares_readonly": (Tier.CONVENIENCE, Tier.SENSITIVE),
    "lares_mcp": (Tier.CONVENIENCE,),
}
READING_ROLES = frozenset({"lares_readonly"})

# After this a memory of the level that nobody used is put away; the others do not end by the clock.
LEVEL_TTL: Mapping[Level, timedelta] = {
    Level(plan.level): plan.ttl for plan in LEVELS.values() if plan.ttl is not None
}

# From the least to the most private. An interrupted move ends where fewer can see it.
PRIVACY: Mapping[Tier, int] = {Tier.CONVENIENCE: 0, Tier.SENSITIVE: 1, Tier.SACRED: 2}


@dataclass(frozen=True)
class Entry:
    """One memory as it is kept. `embedding` and the model it is of are carried only where they must move along.

    `strength` is as of `accessed_at` and decays from there. `position` is its place in its `thread`.
    """

    id: UUID
    subject_id: UUID
    tier: Tier
    text: str = field(repr=False)
    source_kind: str
    source_ref: str | None = field(repr=False)
    occurred_at: datetime | None
    created_at: datetime
    updated_at: datetime
    revision: int = 1
    embedded: bool = False
    embedding: Sequence[float] | None = field(default=None, repr=False)
    embedding_model: int | None = None
    namespace: str = HOME
    level: Level = Level.KNOWLEDGE
    thread: str | None = field(default=None, repr=False)
    position: int | None = None
    speaker: str | None = field(default=None, repr=False)
    strength: float = 1.0
    accesses: int = 0
    accessed_at: datetime | None = None
    expires_at: datetime | None = None
    archived_at: datetime | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    superseded_by: UUID | None = None
    superseded_at: datetime | None = None

    @property
    def happened_at(self) -> datetime:
        """When it happened, as far as anyone said; else when it was remembered."""
        return self.occurred_at or self.created_at


@dataclass(frozen=True)
class Filters:
    """Which memories a search may answer with; None asks nothing of them.

    `since` and `until` bound when it happened, [since, until). `as_of` is the moment the question is asked from.
    """

    tiers: tuple[Tier, ...]
    namespaces: tuple[str, ...] | None = None
    levels: tuple[Level, ...] | None = None
    sources: tuple[str, ...] | None = None
    threads: tuple[str, ...] | None = None
    entities: tuple[UUID, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None
    as_of: datetime | None = None
    archived: bool = False
    superseded: bool = True


@dataclass(frozen=True)
class Space:
    """A namespace: one that is not shared is for the person and for the clients it names."""

    name: str
    shared: bool
    clients: tuple[str, ...]
    created_at: datetime

    def seen_by(self, client: str, person: str) -> bool:
        """Whether a client may use it, as the database's policies decide too."""
        return client == person or self.shared or client in self.clients


class State(StrEnum):
    """Which memories a list shows."""

    ACTIVE = "active"
    ARCHIVED = "archived"
    SUPERSEDED = "superseded"
    ALL = "all"


class Order(StrEnum):
    """By when it was remembered or by when it happened, newest first."""

    CREATED = "created"
    OCCURRED = "occurred"


@dataclass(frozen=True)
class Shown:
    """What a list is asked for; None asks nothing. Of `entities`, a memory speaks of one at least."""

    state: State = State.ALL
    order: Order = Order.CREATED
    namespace: str | None = None
    level: Level | None = None
    source: str | None = None
    thread: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    entities: tuple[UUID, ...] | None = None


@dataclass(frozen=True)
class Cursor:
    """The last memory of a page, by the time the list is ordered by: the next page begins after it."""

    moment: datetime
    id: UUID


def clean_text(raw: str, chars_max: int = TEXT_CHARS_MAX) -> str:
    """Return `raw` with plain line ends and no blank edges. Raises TextEmpty, TextTooLong, TextUnprintable."""
    text = raw.replace("\r\n", "\n").strip()
    if len(text) > chars_max:
        raise TextTooLong()
    if any(
        unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t"
        for character in text
    ):
        # Cs: half of a surrogate pair, which JSON can smuggle in and UTF-8 cannot write.
        raise TextUnprintable()
    if not any(unicodedata.category(character)[0] not in "ZC" for character in text):
        raise TextEmpty()
    return text


def clean_query(raw: str) -> str:
    """Return a query fit for both arms. Raises as `clean_text` does."""
    return clean_text(raw, QUERY_CHARS_MAX)


def aware(moment: datetime | None) -> datetime | None:
    """Return `moment` in UTC. Raises TimeInvalid when it names no time zone."""
    if moment is None:
        return None
    try:
        if moment.utcoffset() is None:
            raise TimeInvalid()
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise TimeInvalid("The time is outside the calendar.") from error


def lasting(moment: datetime | None) -> datetime | None:
    """Return a moment that is to be kept, in UTC. Raises TimeInvalid, as `aware` does, and for the calendar's two ends."""
    kept = aware(moment)
    if kept in _CALENDAR_ENDS:
        raise TimeInvalid("The time is outside the calendar.")
    return kept


def check_label(raw: str) -> str:
    """Return `raw` if a memory could have it as a source, a thread and the like. Raises LabelInvalid."""
    if len(raw) > LABEL_CHARS_MAX or _CONTROL.search(raw):
        raise LabelInvalid()
    return raw


def parse_tier(raw: str) -> Tier:
    """Return the tier of that name. Raises TierUnknown."""
    try:
        return Tier(raw)
    except ValueError:
        raise TierUnknown() from None


def parse_level(raw: str) -> Level:
    """Return the level of that name. Raises LevelUnknown."""
    try:
        return Level(raw)
    except ValueError:
        raise LevelUnknown() from None


def parse_namespace(raw: str) -> str:
    """Return `raw` if it can name a namespace. Raises NamespaceInvalid."""
    if not _NAMESPACE.fullmatch(raw):
        raise NamespaceInvalid()
    return raw


def expiry(level: Level, since: datetime) -> datetime | None:
    """Return when a memory of this level, last used at `since`, is put away; None for one that stays."""
    ttl = LEVEL_TTL.get(level)
    return since + ttl if ttl is not None else None


def check_span(since: datetime | None, until: datetime | None) -> None:
    """Return if the span does not end before it begins. Raises TimeInvalid."""
    if since is not None and until is not None and until < since:
        raise TimeInvalid("The time ends before it begins.")


def allowed_tiers(db_role: str) -> tuple[Tier, ...]:
    """Return the tiers a role has a part in: none for a role nobody knows."""
    return TIERS_OF_ROLE.get(db_role, ())


def check_tier(db_role: str, tier: Tier) -> None:
    """Return if the role has a part in the tier. Raises TierDenied."""
    if tier not in allowed_tiers(db_role):
        raise TierDenied()


def chosen_tiers(db_role: str, asked: Iterable[str] | None) -> tuple[Tier, ...]:
    """Return the tiers to search: those asked for, or all of the role's but sacred, which must be named.

    Raises TierUnknown, TierDenied.
    """
    if asked is None:
        chosen = tuple(tier for tier in allowed_tiers(db_role) if tier is not Tier.SACRED)
        if not chosen:
            raise TierDenied()
        return chosen
    tiers = tuple(dict.fromkeys(parse_tier(name) for name in asked))
    if not tiers:
        raise TierUnknown("No tier was named.")
    for tier in tiers:
        check_tier(db_role, tier)
    return tiers


def check_limit(limit: int, most: int) -> int:
    """Return `limit` if it is within 1 and `most`. Raises LimitInvalid."""
    if not 1 <= limit <= most:
        raise LimitInvalid()
    return limit


def check_recall_limit(limit: int) -> int:
    """Return a recall's limit. Raises LimitInvalid."""
    return check_limit(limit, RECALL_LIMIT_MAX)


def check_list_limit(limit: int) -> int:
    """Return a list's limit. Raises LimitInvalid."""
    return check_limit(limit, LIST_LIMIT_MAX)


def encode_cursor(cursor: Cursor, listing: str) -> str:
    """Return the cursor as an opaque word, bound to the list it belongs to."""
    # Whole microseconds: a float of seconds would round, and a page would repeat or skip a row.
    since = cursor.moment - _EPOCH
    micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    body = [2, micros, cursor.id.hex, _mark(listing)]
    return (
        base64.urlsafe_b64encode(json.dumps(body, separators=(",", ":")).encode())
        .decode()
        .rstrip("=")
    )


def decode_cursor(raw: str, listing: str) -> Cursor:
    """Return what `encode_cursor` was given for the same list. Raises CursorInvalid."""
    if not 1 <= len(raw) <= CURSOR_CHARS_MAX or not raw.isascii():
        raise CursorInvalid()
    try:
        body: Any = json.loads(
            base64.b64decode(raw + "=" * (-len(raw) % 4), altchars=b"-_", validate=True)
        )
        version, micros, ident, mark = body
        if version != 2 or mark != _mark(listing) or type(micros) is not int:
            raise CursorInvalid()
        return Cursor(_EPOCH + timedelta(microseconds=micros), UUID(hex=ident))
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise CursorInvalid() from None


def _mark(listing: str) -> str:
    return hashlib.sha256(listing.encode()).hexdigest()[:12]


def surviving_tier(
    from_tier: Tier, to_tier: Tier, present: Iterable[Tier], forgotten: bool
) -> Tier | None:
    """Decide where a memory lives after an interrupted move; None when it lives nowhere.

    1. Forgotten: nowhere. A tombstone outlives every copy.
    2. Copies in both: the more private one, so that nobody sees more than before.
    3. A copy in one: that one.
    """
    if forgotten:
        return None
    found = [tier for tier in (from_tier, to_tier) if tier in set(present)]
    return max(found, key=lambda tier: PRIVACY[tier], default=None)
