"""One memory as it leaves the house and comes back: every field, as plain JSON values, and nothing derived from it.

A record carries its own proof of what it was: a digest of the text as shown, a digest of the fields beside it, and a
seal that only this house can make. So an import can tell what a person changed by hand from what the house has
changed since, without a second file, and an id is taken back only where it was given out.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.tiers import TEXT_CHARS_MAX, Level, Tier

from memory.domain import HOME, Entry
from memory.exchange.values import (
    BadRecord,
    moment_text,
    present,
    read_kind,
    read_list,
    read_number,
    read_strength,
    read_text,
    read_time,
    read_uuid,
    read_word,
    short,
)

ORIGINS_MAX, TIES_MAX = 200, 1000
Seal = Callable[[UUID], str]
"""Gives the seal of an id that this house gives out to one person."""

_NAMESPACE = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_CHECK = re.compile(r"([0-9a-f]{12})\.([0-9a-f]{12})\.([0-9a-f]{16})")
_POSITION_MAX = 2**62
_REVISION_MAX = 2**62
_ACCESSES_MAX = 2**31 - 1
TIE_KINDS = ("summarises", "derived")
# Where a memory stands and what a person may correct by hand; everything else is the house's own account.
PLACE = ("tier", "namespace", "level")
TIMES = ("occurred_at", "valid_from", "valid_to")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where else a memory came from; `merged_id` is the id it had before it was merged."""

    id: UUID
    kind: str
    ref: str | None = field(repr=False)
    thread: str | None = field(repr=False)
    position: int | None
    speaker: str | None = field(repr=False)
    text: str | None = field(repr=False)
    occurred_at: datetime | None
    learned_at: datetime
    merged_id: UUID | None


@dataclass(frozen=True, slots=True)
class Tie:
    """That a memory was made of another."""

    kind: str
    to: UUID


@dataclass(frozen=True, slots=True)
class Record:
    """A memory with what hangs on it. Its vectors stay: the house that takes it in makes its own."""

    entry: Entry
    origins: tuple[Origin, ...] = ()
    ties: tuple[Tie, ...] = ()


@dataclass(frozen=True, slots=True)
class Incoming:
    """A record as it was read, and what its check says was done to it since it was written.

    `id` is None for what a person wrote by hand. `base` is the place it had when it was exported.
    """

    record: Record
    id: UUID | None
    text_changed: bool
    fields_changed: bool
    ours: bool
    base: tuple[Tier, str, Level] | None = None


def shown(text: str) -> str:
    """Return the text as a file shows it: plain line ends, no blanks at line ends, no blank lines around it.

    An editor may do that much to a file without having changed a word of it.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def text_digest(text: str) -> str:
    """Return a short digest of the text as shown."""
    # A lone surrogate cannot be stored, but a file may try to bring one.
    return hashlib.sha256(shown(text).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def fields_digest(plain: Mapping[str, Any]) -> str:
    """Return a short digest of all fields but the text and the check itself."""
    kept = {key: value for key, value in plain.items() if key not in ("text", "check")}
    canonical = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def to_plain(record: Record, seal: Seal) -> dict[str, Any]:
    """Return the record as JSON values: short, in a fixed order, what is ordinary left out, with its check."""
    entry = record.entry
    plain: dict[str, Any] = {
        "id": str(entry.id),
        "tier": entry.tier.value,
        "namespace": entry.namespace,
        "level": entry.level.value,
        "text": entry.text,
        "source": present({"kind": entry.source_kind, "ref": entry.source_ref}),
        "thread": entry.thread,
        "position": entry.position,
        "speaker": entry.speaker,
        "occurred_at": moment_text(entry.occurred_at),
        "created_at": moment_text(entry.created_at),
        "updated_at": moment_text(entry.updated_at)
        if entry.updated_at != entry.created_at
        else None,
        "revision": entry.revision if entry.revision != 1 else None,
        "strength": short(entry.strength) if entry.strength != 1 else None,
        "accesses": entry.accesses or None,
        "accessed_at": moment_text(entry.accessed_at)
        if entry.accessed_at != entry.created_at
        else None,
        "expires_at": moment_text(entry.expires_at),
        "archived_at": moment_text(entry.archived_at),
        "valid_from": moment_text(entry.valid_from),
        "valid_to": moment_text(entry.valid_to),
        "superseded_by": str(entry.superseded_by) if entry.superseded_by else None,
        "superseded_at": moment_text(entry.superseded_at),
        "sources": [_origin_plain(origin) for origin in record.origins] or None,
        "links": [{"kind": tie.kind, "to": str(tie.to)} for tie in record.ties] or None,
    }
    plain = present(plain)
    digest = f"{text_digest(entry.text)}.{fields_digest(plain)}"
    plain["check"] = f"{digest}.{seal(entry.id)}"
    return plain


def from_plain(plain: Mapping[str, Any], subject: UUID, seal: Seal, now: datetime) -> Incoming:
    """Return what `to_plain` was given, and what has been changed since. Raises BadRecord.

    Without an id it is a memory that a person wrote: it begins now.
    """
    known = _FIELDS | {"check"}
    if not plain.keys() <= known:
        raise BadRecord("field_unknown")
    ident = read_uuid(plain.get("id"))
    check = plain.get("check")
    parts = _CHECK.fullmatch(check) if isinstance(check, str) else None
    if check is not None and parts is None:
        raise BadRecord("check_malformed")
    entry = _entry(plain, ident, subject, now)
    origins = tuple(_origin(each) for each in read_list(plain.get("sources"), ORIGINS_MAX))
    ties = tuple(_tie(each) for each in read_list(plain.get("links"), TIES_MAX))
    record = Record(entry, origins, ties)
    return Incoming(
        record,
        ident,
        text_changed=parts is None or parts[1] != text_digest(entry.text),
        fields_changed=parts is None or parts[2] != fields_digest(plain),
        ours=ident is not None and parts is not None and parts[3] == seal(ident),
        base=(entry.tier, entry.namespace, entry.level) if ident else None,
    )


def placed(incoming: Incoming, tier: Tier, namespace: str, level: Level) -> Incoming:
    """Return it as it stands in a file of this place: whoever moves an entry to another file means that place."""
    entry = replace(incoming.record.entry, tier=tier, namespace=namespace, level=level)
    return replace(incoming, record=replace(incoming.record, entry=entry))


def check_text(text: Any) -> str:
    """Return a text that may be stored, as it is. Raises BadRecord."""
    if not isinstance(text, str):
        raise BadRecord("text_missing")
    if len(text) > TEXT_CHARS_MAX:
        raise BadRecord("text_too_long")
    if any(
        unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t\r"
        for character in text
    ):
        raise BadRecord("text_unprintable")
    if not any(unicodedata.category(character)[0] not in "ZC" for character in text):
        raise BadRecord("text_empty")
    return text


def check_namespace(raw: Any) -> str:
    """Return a name that a namespace may have. Raises BadRecord."""
    if not isinstance(raw, str) or not _NAMESPACE.fullmatch(raw):
        raise BadRecord("namespace_invalid")
    return raw


def check_tier(raw: Any) -> Tier:
    """Return the tier. Raises BadRecord."""
    return Tier(read_word(raw, tuple(tier.value for tier in Tier), "tier_unknown"))


def check_level(raw: Any) -> Level:
    """Return the level. Raises BadRecord."""
    return Level(read_word(raw, tuple(level.value for level in Level), "level_unknown"))


def _entry(plain: Mapping[str, Any], ident: UUID | None, subject: UUID, now: datetime) -> Entry:
    created_at = read_time(plain.get("created_at")) or now
    source = plain.get("source", {"kind": "import"})
    if not isinstance(source, dict) or not source.keys() <= {"kind", "ref"}:
        raise BadRecord("source_invalid")
    thread = read_text(plain.get("thread"), 200)
    position = read_number(plain.get("position"), -_POSITION_MAX, _POSITION_MAX)
    if (thread is None) != (position is None):
        raise BadRecord("position_without_thread")
    valid_from, valid_to = read_time(plain.get("valid_from")), read_time(plain.get("valid_to"))
    if valid_from is not None and valid_to is not None and valid_to < valid_from:
        raise BadRecord("time_invalid")
    revision = read_number(plain.get("revision"), 1, _REVISION_MAX)
    return Entry(
        id=ident or UUID(int=0),
        subject_id=subject,
        tier=check_tier(plain.get("tier", Tier.CONVENIENCE.value)),
        text=check_text(plain.get("text")),
        source_kind=read_kind(source.get("kind")),
        source_ref=read_text(source.get("ref"), 200),
        occurred_at=read_time(plain.get("occurred_at")),
        created_at=created_at,
        updated_at=read_time(plain.get("updated_at")) or created_at,
        revision=1 if revision is None else revision,
        namespace=check_namespace(plain.get("namespace", HOME)),
        level=check_level(plain.get("level", Level.KNOWLEDGE.value)),
        thread=thread,
        position=position,
        speaker=read_text(plain.get("speaker"), 100),
        strength=read_strength(plain.get("strength")),
        accesses=read_number(plain.get("accesses"), 0, _ACCESSES_MAX) or 0,
        accessed_at=read_time(plain.get("accessed_at")) or created_at,
        expires_at=read_time(plain.get("expires_at")),
        archived_at=read_time(plain.get("archived_at")),
        valid_from=valid_from,
        valid_to=valid_to,
        superseded_by=read_uuid(plain.get("superseded_by")),
        superseded_at=read_time(plain.get("superseded_at")),
    )


def _origin_plain(origin: Origin) -> dict[str, Any]:
    return present(
        {
            "id": str(origin.id),
            "kind": origin.kind,
            "ref": origin.ref,
            "thread": origin.thread,
            "position": origin.position,
            "speaker": origin.speaker,
            "text": origin.text,
            "occurred_at": moment_text(origin.occurred_at),
            "learned_at": moment_text(origin.learned_at),
            "merged_id": str(origin.merged_id) if origin.merged_id else None,
        }
    )


def _origin(raw: Any) -> Origin:
    if not isinstance(raw, dict) or not raw.keys() <= _ORIGIN_FIELDS:
        raise BadRecord("source_invalid")
    ident, learned_at = read_uuid(raw.get("id")), read_time(raw.get("learned_at"))
    if ident is None or learned_at is None:
        raise BadRecord("source_invalid")
    text = raw.get("text")
    return Origin(
        id=ident,
        kind=read_kind(raw.get("kind")),
        ref=read_text(raw.get("ref"), 200),
        thread=read_text(raw.get("thread"), 200),
        position=read_number(raw.get("position"), -_POSITION_MAX, _POSITION_MAX),
        speaker=read_text(raw.get("speaker"), 100),
        text=check_text(text) if text is not None else None,
        occurred_at=read_time(raw.get("occurred_at")),
        learned_at=learned_at,
        merged_id=read_uuid(raw.get("merged_id")),
    )


def _tie(raw: Any) -> Tie:
    to = (
        read_uuid(raw.get("to")) if isinstance(raw, dict) and raw.keys() == {"kind", "to"} else None
    )
    if to is None:
        raise BadRecord("link_invalid")
    return Tie(read_word(raw["kind"], TIE_KINDS, "link_invalid"), to)


_FIELDS = frozenset(
    (
        *("id", *PLACE, "text", "source", "thread", "position", "speaker", *TIMES),
        *("created_at", "updated_at", "revision", "strength", "accesses", "accessed_at"),
        *("expires_at", "archived_at", "superseded_by", "superseded_at", "sources", "links"),
    )
)
_ORIGIN_FIELDS = frozenset(
    (
        *("id", "kind", "ref", "thread", "position", "speaker", "text", "occurred_at"),
        *("learned_at", "merged_id"),
    )
)
