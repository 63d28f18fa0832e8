"""Which entity a name means: pure decisions over the names that are known, for one person, tier and namespace.

  1. pinned by the person for this memory: that one
  2. the speaker's own words ("I", "my"): the speaker, or the person whose memory it is
  3. a name that is known, of a kind that agrees: the one that is spoken of most
  4. a person's first name, or a fuller name, when exactly one person can be meant
  5. somebody new, if the tagger is sure

Pronouns are left alone: "she" is right often and wrong silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

from memory.facts.model import (
    NAME_CHARS_MAX,
    SELF_KEY,
    SELF_NAME,
    VAGUE,
    Kind,
    Known,
    Mention,
    NewEntity,
    Reading,
    Tagged,
    key_of,
)
from memory.facts.predicates import SELF

# Who speaks when the person themselves does, and who is nobody: a program's "I" is no person's.
OWN_SPEAKERS = frozenset({"user", "me", "i", "self", "human", "owner"})
NO_SPEAKERS = frozenset({"assistant", "system", "bot", "ai", "tool", "agent", "lares", "model"})


@dataclass
class Names:
    """The names that are known; what is made while a batch is read is known to the rest of it."""

    by_key: dict[str, list[Known]] = field(default_factory=dict[str, list[Known]])
    me: Known | None = None
    _keys: dict[UUID, list[str]] = field(default_factory=dict[UUID, list[str]])

    def add(self, key: str, known: Known) -> None:
        """Learn that an entity bears a name."""
        bearers = self.by_key.setdefault(key, [])
        if all(other.entity_id != known.entity_id for other in bearers):
            bearers.append(known)
            self._keys.setdefault(known.entity_id, []).append(key)
        if known.me:
            self.me = known

    def entity(self, entity_id: UUID) -> Known | None:
        """Return what is known of an entity, if any name of it was looked up."""
        for key in self._keys.get(entity_id, ())[:1]:
            return next(each for each in self.by_key[key] if each.entity_id == entity_id)
        return None

    def learn(self, reading: Reading, sharper: Mapping[UUID, Kind]) -> None:
        """Know what one memory taught, so that the next is read as if this one were written already."""
        for mention in reading.mentions:
            known = self.entity(mention.entity_id)
            if known is None:
                continue
            self._change(replace(known, mentions=known.mentions + 1))
            fuller = mention.key.startswith(f"{known.key} ") and known.kind is Kind.PERSON
            if fuller and known.root == known.entity_id and not (known.me or known.given):
                self._of_root(known.root, key=mention.key)
        for entity_id, kind in sharper.items():
            known = self.entity(entity_id)
            if known is not None and known.kind in VAGUE:
                self._of_root(known.root, kind=kind)

    def _of_root(self, root: UUID, **changed: Any) -> None:
        for entity_id in list(self._keys):
            known = self.entity(entity_id)
            if known is not None and known.root == root:
                self._change(replace(known, **changed))

    def _change(self, known: Known) -> None:
        for key in self._keys[known.entity_id]:
            self.by_key[key] = [
                known if each.entity_id == known.entity_id else each for each in self.by_key[key]
            ]
        if self.me is not None and self.me.entity_id == known.entity_id:
            self.me = known

    def bearers(self, key: str) -> list[Known]:
        """Return who bears exactly this name, one row per root: the root's own row where it has the name itself."""
        found: dict[UUID, Known] = {}
        for known in self.by_key.get(key, ()):
            if known.root not in found or known.entity_id == known.root:
                found[known.root] = known
        return list(found.values())

    def fuller(self, key: str) -> list[Known]:
        """Return the persons whose name begins with this one."""
        return self._persons(other for other in self.by_key if other.startswith(f"{key} "))

    def shorter(self, key: str) -> list[Known]:
        """Return the persons known by nothing but this name's first word."""
        first = key.split(" ", 1)[0]
        return [
            known
            for known in self._persons([first])
            if known.key == first and not self.fuller(first)
        ]

    def _persons(self, keys: Iterable[str]) -> list[Known]:
        found = {
            known.root: known
            for key in keys
            for known in self.bearers(key)
            if known.kind is Kind.PERSON
        }
        return list(found.values())


@dataclass
class Kin:
    """Who is the sister, the boss and the like of the person: by role, somebody and the roots of all that were named."""

    by_role: dict[str, tuple[UUID, set[UUID]]] = field(
        default_factory=dict[str, tuple[UUID, set[UUID]]]
    )

    def known(self) -> Mapping[str, UUID]:
        """Return who is meant by `self.sister`, where exactly one was ever named."""
        return {
            f"{SELF}.{role}": somebody
            for role, (somebody, roots) in self.by_role.items()
            if len(roots) == 1
        }

    def learn(self, reading: Reading, names: Names) -> None:
        """Know whom one memory named, as `names` know them."""
        for fact in reading.facts:
            mine = names.me is not None and fact.entity_id == names.me.entity_id
            if not mine or not fact.polarity or fact.object_entity_id is None:
                continue
            other = names.entity(fact.object_entity_id)
            if other is not None and other.kind is Kind.PERSON:
                roots = self.by_role.setdefault(fact.predicate, (other.entity_id, set()))[1]
                roots.add(other.root)


@dataclass
class Resolution:
    """The entities of one memory, as they are found in it."""

    names: Names
    pinned: Mapping[str, UUID]
    made: list[NewEntity] = field(default_factory=list[NewEntity])
    sharper: dict[UUID, Kind] = field(default_factory=dict[UUID, Kind])
    _mentions: dict[tuple[UUID, str], Mention] = field(
        default_factory=dict[tuple[UUID, str], Mention]
    )
    _here: dict[str, Known] = field(default_factory=dict[str, Known])

    def mentions(self) -> tuple[Mention, ...]:
        """Return what was mentioned, each entity once under each of its names."""
        return tuple(self._mentions.values())

    def me(self, start: int | None, end: int | None) -> UUID:
        """Return the entity of the person whose memory it is."""
        known = self.names.me or self._make(Kind.PERSON, SELF_NAME, SELF_KEY, me=True)
        self._mention(known.entity_id, SELF_KEY, SELF_NAME, "self", start, end)
        return known.entity_id

    def speaker(self, name: str) -> UUID | None:
        """Return the entity of a named speaker."""
        return self._bear(name[:NAME_CHARS_MAX], key_of(name), Kind.PERSON, "speaker", None, None)

    def tagged(self, tag: Tagged) -> UUID | None:
        """Return the entity of a name in the text; None when it is not sure to be one."""
        known = self._find(tag.key, tag.kind)
        if known is None and not tag.sure:
            return None
        return self._bear(tag.surface, tag.key, tag.kind, "named", tag.start, tag.end)

    def named(self, name: str, kind: Kind, start: int, end: int) -> UUID | None:
        """Return the entity of a name that a fact gives; None for what can be no name."""
        return self._bear(name[:NAME_CHARS_MAX], key_of(name), kind, "named", start, end)

    def also(self, entity: UUID, name: str, start: int, end: int) -> None:
        """Learn another name of an entity: "my name is Ana"."""
        key = key_of(name)
        known = next((each for each in self._here.values() if each.entity_id == entity), None)
        if key and known is not None and not self.names.bearers(key):
            self.names.add(key, known)
            self._here[key] = known
            self._mention(entity, key, name[:NAME_CHARS_MAX], "named", start, end)

    def _bear(
        self, name: str, key: str, kind: Kind, role: str, start: int | None, end: int | None
    ) -> UUID | None:
        if not key or key == SELF_KEY:
            return None
        known = self._find(key, kind) or self._make(kind, name, key)
        if known.kind in VAGUE and kind not in VAGUE:
            self.sharper[known.entity_id] = kind
            known = replace(known, kind=kind)
        self.names.add(key, known)
        self._here[key] = known
        self._mention(known.entity_id, key, name, role, start, end)
        return known.entity_id

    def _find(self, key: str, kind: Kind) -> Known | None:
        if key in self.pinned:
            pinned = self.pinned[key]
            return Known(pinned, pinned, kind, key, me=False, mentions=0)
        if key in self._here and _agree(self._here[key].kind, kind):
            return self._here[key]
        exact = [known for known in self.names.bearers(key) if _agree(known.kind, kind)]
        if exact:
            return max(
                exact, key=lambda known: (known.kind is kind, known.mentions, -known.entity_id.int)
            )
        if kind is not Kind.PERSON:
            return None
        others = self.names.shorter(key) if " " in key else self.names.fuller(key)
        return others[0] if len(others) == 1 else None

    def _make(self, kind: Kind, name: str, key: str, me: bool = False) -> Known:
        made = NewEntity(uuid4(), kind, name, key, me)
        self.made.append(made)
        known = Known(made.id, made.id, kind, key, me, mentions=0)
        self.names.add(key, known)
        return known

    def _mention(
        self, entity: UUID, key: str, alias: str, role: str, start: int | None, end: int | None
    ) -> None:
        if key == SELF_KEY and self.names.me is not None:
            self._here[key] = self.names.me
        before = self._mentions.get((entity, key))
        if before is None:
            self._mentions[entity, key] = Mention(entity, key, alias, role, 1, start, end)
        elif (
            role == "named" and start is not None and (before.start is None or start > before.start)
        ):
            self._mentions[entity, key] = replace(
                before,
                uses=before.uses + 1,
                start=start if before.start is None else before.start,
                end=end if before.end is None else before.end,
            )


def _agree(one: Kind, other: Kind) -> bool:
    return one is other or one in VAGUE or other in VAGUE


def keys_wanted(
    tags: Sequence[Sequence[Tagged]], others: Iterable[str]
) -> tuple[list[str], list[str]]:
    """Return the names to look up for a batch, and the first words by which persons may be known."""
    keys = {tag.key for each in tags for tag in each} | {key_of(name) for name in others}
    keys.discard("")
    keys.add(SELF_KEY)
    return sorted(keys), sorted({key.split(" ", 1)[0] for key in keys})
