"""Remember: one row, one note for the embedder and one event, in one transaction. No model is waited for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID, uuid4

from contracts.identity import Caller
from contracts.memory import Level, Memory, RememberRequest, Tier
from kit.pool import Connection

from memory.domain import (
    Entry,
    check_span,
    check_tier,
    clean_text,
    expiry,
    lasting,
    parse_level,
    parse_namespace,
    parse_tier,
)
from memory.errors import Forgotten, KeyInvalid, KeyReused, MemoryNotFound, PersonNeeded
from memory.identity import check_room
from memory.library import Library, now
from memory.presenting import check_writes, to_memory
from memory.store import Key, Shelf
from memory.vault import Vault
from memory.writing.errors import Junk, TooManyWrites
from memory.writing.junk import judge
from memory.writing.limit import WriteLimit
from memory.writing.merge import Join

KEY_CHARS_MAX = 200
# A turn such as "Yes!" is kept for what stands beside it, and weighs little by itself.
TRIVIAL_STRENGTH = 0.25


class _KeyTaken(Exception):
    """The Idempotency-Key is bound already: this transaction has nothing to add."""


class Beside(Protocol):
    """What else happens in the transaction of a write, as its caller: all of it is stored, or nothing."""

    async def before(self, conn: Connection) -> None: ...
    async def after(self, conn: Connection, kept: Entry) -> None: ...


@dataclass(frozen=True)
class Rules:
    """What stands before a write: how much one client may write, what is junk, what is said already."""

    limit: WriteLimit
    join: Join
    junk: bool
    refused: Callable[[str], None]

    def spend(self, caller: Caller, memories: int = 1) -> None:
        """Count a request against its client's allowance. Raises TooManyWrites."""
        try:
            self.limit.spend(f"{caller.subject}/{caller.session_id}", memories)
        except TooManyWrites:
            self.refused("too_many_writes")
            raise

    def judge(self, caller: Caller, entry: Entry, *, force: bool) -> Entry:
        """Return the entry, of little weight if it is a turn that says little. Raises Junk, PersonNeeded.

        Turns of a conversation are kept whatever they say: a thread is evidence as a whole.
        """
        # What is in every prompt is the person's to say: a client that was talked into it could not take it back.
        if (force or entry.level is Level.IDENTITY) and caller.kind != "person":
            raise PersonNeeded()
        if not self.junk or force:
            return entry
        rule = judge(entry.text)
        if rule is None:
            return entry
        if entry.thread is not None:
            return replace(entry, strength=TRIVIAL_STRENGTH)
        self.refused(rule.name)
        raise Junk(f"{rule.why} (rule: {rule.name})")


class Remember:
    """`POST /v1/memories`."""

    def __init__(
        self, library: Library, vault: Vault, wake: Callable[[Tier], None], rules: Rules
    ) -> None:
        self._library = library
        self._vault = vault
        self._wake = wake
        self._rules = rules

    async def __call__(
        self,
        caller: Caller,
        request: RememberRequest,
        key: str | None = None,
        beside: Beside | None = None,
    ) -> Memory:
        """Return the new memory, or for a repeated key the first one, once it is safely stored.

        What says the same as a memory that is there becomes a source of that one, which is returned as `merged`.
        Raises TextEmpty, TextTooLong, TextUnprintable, TierUnknown, TierDenied, LevelUnknown, NamespaceInvalid,
        NamespaceUnknown, IdentityFull, kit.read_only, TimeInvalid, KeyInvalid, KeyReused, Forgotten, SacredFull,
        TooManyWrites, Junk, PersonNeeded, and what is `beside`.
        """
        check_writes(caller.db_role, caller.read_only)
        self._rules.spend(caller)
        entry = read_entry(caller, request, now())
        check_tier(caller.db_role, entry.tier)
        await self._library.check_namespace(caller, entry.namespace)
        key_hash = hash_key(key) if key is not None else None
        request_hash = self._request_hash(entry)
        try:
            entry = self._rules.judge(caller, entry, force=request.force)
            binding = (key_hash, request_hash) if key_hash is not None else None
            kept, merged = await self._write(caller, entry, binding, beside)
        except _KeyTaken:
            if key_hash is None:
                raise
            return await self._first(caller, entry, key_hash)
        self._wake(entry.tier)
        return to_memory(kept).model_copy(update={"merged": merged})

    async def _write(
        self,
        caller: Caller,
        entry: Entry,
        binding: tuple[bytes, bytes] | None,
        beside: Beside | None,
    ) -> tuple[Entry, bool]:
        """Store the entry, or what it says as a source of the memory that says it; return which, and whether it joined."""
        shelf = self._library.shelf(entry.tier)
        async with shelf.pool.as_caller(caller) as conn:
            if beside is not None:
                await beside.before(conn)
            joined = await self._rules.join(conn, caller.db_role, entry)
            if joined is None:
                await check_room(conn, shelf, None, entry)
                await shelf.insert(conn, entry)
            kept = joined or entry
            if beside is not None:
                await beside.after(conn, kept)
            await shelf.step_out(conn)
            await shelf.note_subject(conn, entry.subject_id)
            if binding is not None and not await shelf.claim_key(
                conn, caller.subject, binding[0], kept.id, binding[1]
            ):
                raise _KeyTaken()
            if joined is None:
                await shelf.put_pending(conn, entry)
            change = "remembered" if joined is None else "merged"
            await shelf.announce(conn, kept.id, kept.subject_id, kept.tier, change)
        return kept, joined is not None

    async def _first(self, caller: Caller, entry: Entry, key_hash: bytes) -> Memory:
        bound = await self._bound(self._library.shelf(entry.tier), caller.subject, key_hash)
        if bound is None or bound.request_hash is None:
            raise Forgotten()
        if bound.request_hash != self._request_hash(entry):
            raise KeyReused()
        try:
            return to_memory(await self._library.find(caller, bound.memory_id))
        except MemoryNotFound:
            raise Forgotten() from None

    async def _bound(self, shelf: Shelf, subject: UUID, key_hash: bytes) -> Key | None:
        async with shelf.pool.own(read_only=True) as conn:
            return await shelf.key(conn, subject, key_hash)

    def _request_hash(self, entry: Entry) -> bytes:
        said = [
            entry.text,
            entry.tier.value,
            entry.source_kind,
            entry.source_ref,
            entry.occurred_at.isoformat() if entry.occurred_at else None,
            entry.namespace,
            entry.level.value,
            entry.thread,
            entry.position,
            entry.speaker,
            entry.valid_from.isoformat() if entry.valid_from else None,
            entry.valid_to.isoformat() if entry.valid_to else None,
        ]
        # Keyed: a short text could be guessed from a plain hash.
        return self._vault.fingerprint(json.dumps(said, ensure_ascii=False).encode())


def read_entry(caller: Caller, request: RememberRequest, moment: datetime) -> Entry:
    """Return the memory that the request asks for. Raises the text's errors, TierUnknown, LevelUnknown,
    NamespaceInvalid, TimeInvalid.
    """
    level = parse_level(request.level)
    valid_from, valid_to = lasting(request.valid_from), lasting(request.valid_to)
    check_span(valid_from, valid_to)
    return Entry(
        id=uuid4(),
        subject_id=caller.subject,
        tier=parse_tier(request.tier),
        text=clean_text(request.text),
        source_kind=request.source.kind,
        source_ref=request.source.ref,
        occurred_at=lasting(request.occurred_at),
        created_at=moment,
        updated_at=moment,
        namespace=parse_namespace(request.namespace),
        level=level,
        thread=request.thread,
        position=place(request, moment),
        speaker=request.speaker,
        accessed_at=moment,
        expires_at=expiry(level, moment),
        valid_from=valid_from,
        valid_to=valid_to,
    )


def place(request: RememberRequest, moment: datetime) -> int | None:
    """Return where in its thread a memory stands: as it says, else after all that was there before it."""
    if request.thread is None:
        return None
    return int(moment.timestamp() * 1_000_000) if request.position is None else request.position


def hash_key(key: str) -> bytes:
    """Return what is kept of an Idempotency-Key. Raises KeyInvalid."""
    if not 1 <= len(key) <= KEY_CHARS_MAX or not key.isascii() or not key.isprintable():
        raise KeyInvalid()
    return hashlib.sha256(key.encode()).digest()
