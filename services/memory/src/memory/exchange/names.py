"""Entities to which a person did something, as they leave the house and come back: names, merges, splits. Pure.

All other entities are read anew out of the memories. One that leaves says which memories speak of it: coming back it is
made with the first of them, hangs on them as any other entity does, and is gone with the last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.tiers import Tier

from memory.exchange.markdown import entry_lines, head_lines
from memory.exchange.record import Seal, check_namespace, check_tier
from memory.exchange.values import (
    BadRecord,
    moment_text,
    present,
    read_list,
    read_text,
    read_time,
    read_uuid,
    read_word,
)
from memory.facts.model import KINDS, NAME_CHARS_MAX, SELF_KEY, key_of

FILE = "ENTITIES.md"
ENTITIES_MAX = 5000
ALIASES_MAX, MENTIONS_MAX, CHANGES_MAX = 200, 500, 50
_CHANGES = ("merged", "unmerged", "split", "renamed", "retyped")
_ROLES = ("named", "speaker", "self")
_SEAL = re.compile(r"[0-9a-f]{16}")
_TEXT = (
    "Who was merged, split or named by hand. Change it on the Graph page: what stands here is taken as it is by a house",
    "that does not know it yet, together with the memories that speak of it.",
)


@dataclass(frozen=True, slots=True)
class Alias:
    """A name of an entity; `given` by the person it is kept although no memory says it."""

    name: str = field(repr=False)
    key: str = field(repr=False)
    given: bool


@dataclass(frozen=True, slots=True)
class Mentioned:
    """That a memory speaks of the entity, under one of its names; `pinned` if a person said that it is this one."""

    memory: UUID
    key: str = field(repr=False)
    role: str
    pinned: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What a person did to the entity, so that it can be taken back."""

    change: str
    other: UUID | None
    before_name: str | None = field(repr=False)
    before_kind: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Named:
    """An entity of one tier with its names. `me`: the person whose memory this is.

    Of two that bear one name the older is meant where nothing else tells them apart, so `created_at` leaves too.
    """

    id: UUID
    tier: Tier
    namespace: str
    kind: str
    name: str = field(repr=False)
    me: bool
    created_at: datetime
    merged_into: UUID | None = None
    aliases: tuple[Alias, ...] = ()
    mentions: tuple[Mentioned, ...] = ()
    changes: tuple[Change, ...] = ()

    def resolved(self, resolve: Callable[[UUID], UUID]) -> Named:
        """Return it with the ids that a house knows for those it names."""
        return replace(
            self,
            id=resolve(self.id),
            merged_into=resolve(self.merged_into) if self.merged_into else None,
            mentions=tuple(replace(each, memory=resolve(each.memory)) for each in self.mentions),
            changes=tuple(
                replace(each, other=resolve(each.other) if each.other else None)
                for each in self.changes
            ),
        )


def to_plain(named: Named, seal: Seal) -> dict[str, Any]:
    """Return the entity as JSON values, what is ordinary left out."""
    return present(
        {
            "entity": str(named.id),
            "tier": named.tier.value,
            "namespace": named.namespace,
            "kind": named.kind,
            "name": named.name,
            "me": named.me or None,
            "created_at": moment_text(named.created_at),
            "merged_into": str(named.merged_into) if named.merged_into else None,
            "names": [
                present(
                    {
                        "name": each.name,
                        "key": each.key if each.key != key_of(each.name) else None,
                        "given": each.given or None,
                    }
                )
                for each in named.aliases
            ],
            "memories": [
                present(
                    {
                        "id": str(each.memory),
                        "as": each.key,
                        "role": each.role if each.role != "named" else None,
                        "pinned": each.pinned or None,
                    }
                )
                for each in named.mentions
            ],
            "changes": [_change_plain(each) for each in named.changes] or None,
            "check": seal(named.id),
        }
    )


def from_plain(plain: Mapping[str, Any], seal: Seal, now: datetime) -> tuple[Named, bool]:
    """Return what `to_plain` was given, and whether this house gave the id out. Raises BadRecord."""
    ident, check = read_uuid(plain.get("entity")), plain.get("check")
    if ident is None or not plain.keys() <= _FIELDS:
        raise BadRecord("entity_invalid")
    me = plain.get("me") is True
    aliases = tuple(_alias(each, me) for each in read_list(plain.get("names"), ALIASES_MAX))
    keys = {alias.key for alias in aliases}
    mentions = tuple(_mentioned(each) for each in read_list(plain.get("memories"), MENTIONS_MAX))
    named = Named(
        id=ident,
        tier=check_tier(plain.get("tier")),
        namespace=check_namespace(plain.get("namespace")),
        kind=read_word(plain.get("kind"), tuple(KINDS), "entity_invalid"),
        name=_name(plain.get("name")),
        me=me,
        created_at=read_time(plain.get("created_at")) or now,
        merged_into=read_uuid(plain.get("merged_into")),
        aliases=aliases,
        mentions=tuple(each for each in mentions if each.key in keys),
        changes=tuple(_change(each) for each in read_list(plain.get("changes"), CHANGES_MAX)),
    )
    if named.tier is Tier.SACRED:
        # Nothing is derived of what is sacred.
        raise BadRecord("entity_invalid")
    return named, isinstance(check, str) and bool(_SEAL.fullmatch(check)) and check == seal(ident)


def file_head() -> list[str]:
    """Return the first lines of ENTITIES.md."""
    return [*head_lines({"lares": "entities"}, "Entities"), *_TEXT, ""]


def file_lines(named: Named, seal: Seal) -> list[str]:
    """Return the lines of one entity: its name and the others for a person, the rest in a comment."""
    others = [alias.name for alias in named.aliases if alias.name != named.name]
    words = " ".join(f"{named.name}, {named.kind}".split())
    if others:
        words += ", also " + ", ".join(" ".join(other.split()) for other in others)
    plain = to_plain(named, seal)
    return entry_lines({**plain, "text": words})


def taken(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the comment of ENTITIES.md says, without the line above it."""
    return {key: value for key, value in plain.items() if key != "text"}


def batches(named: list[Any], most: int) -> Iterator[list[Any]]:
    """Yield a list in parts of at most so many."""
    for start in range(0, len(named), most):
        yield named[start : start + most]


def _change_plain(change: Change) -> dict[str, Any]:
    return present(
        {
            "change": change.change,
            "other": str(change.other) if change.other else None,
            "before_name": change.before_name,
            "before_kind": change.before_kind,
            "at": moment_text(change.at),
        }
    )


def _name(raw: Any) -> str:
    name = read_text(raw, NAME_CHARS_MAX)
    if name is None or not key_of(name):
        raise BadRecord("entity_invalid")
    return name


def _alias(raw: Any, me: bool) -> Alias:
    if not isinstance(raw, dict) or not raw.keys() <= {"name", "key", "given"}:
        raise BadRecord("entity_invalid")
    name = _name(raw.get("name"))
    key = read_text(raw.get("key"), NAME_CHARS_MAX) or key_of(name)
    if key.startswith(":") and not (me and key == SELF_KEY):
        raise BadRecord("entity_invalid")
    return Alias(name, key, raw.get("given") is True)


def _mentioned(raw: Any) -> Mentioned:
    if not isinstance(raw, dict) or not raw.keys() <= {"id", "as", "role", "pinned"}:
        raise BadRecord("entity_invalid")
    memory, key = read_uuid(raw.get("id")), read_text(raw.get("as"), NAME_CHARS_MAX)
    if memory is None or key is None:
        raise BadRecord("entity_invalid")
    role = read_word(raw.get("role", "named"), _ROLES, "entity_invalid")
    return Mentioned(memory, key, role, raw.get("pinned") is True)


def _change(raw: Any) -> Change:
    known = {"change", "other", "before_name", "before_kind", "at"}
    if not isinstance(raw, dict) or not raw.keys() <= known:
        raise BadRecord("entity_invalid")
    at, kind = read_time(raw.get("at")), raw.get("before_kind")
    if at is None or (kind is not None and kind not in KINDS):
        raise BadRecord("entity_invalid")
    name = raw.get("before_name")
    return Change(
        read_word(raw.get("change"), _CHANGES, "entity_invalid"),
        read_uuid(raw.get("other")),
        _name(name) if name is not None else None,
        kind,
        at,
    )


_FIELDS = frozenset(
    (
        *("entity", "tier", "namespace", "kind", "name", "me", "created_at", "merged_into"),
        *("names", "memories", "changes", "check"),
    )
)
