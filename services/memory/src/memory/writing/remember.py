"""Remember: one row, one note for the embedder and one event, in one transaction. No model is waited for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from uuid import UUID, uuid4

from contracts.identity import Caller
from contracts.memory import Memory, RememberRequest, Tier

from memory.domain import (
    Entry,
    aware,
    check_span,
    check_tier,
    clean_text,
    expiry,
    parse_level,
    parse_namespace,
    parse_tier,
)
from memory.errors import Forgotten, KeyInvalid, KeyReused, MemoryNotFound
from memory.identity import check_room
from memory.library import Library, now
from memory.presenting import check_writes, to_memory
from memory.store import Key, Shelf
from memory.vault import Vault

KEY_CHARS_MAX = 200


class _KeyTaken(Exception):
    """The Idempotency-Key is bound already: this transaction has nothing to add."""


class Remember:
    """`POST /v1/memories`."""

    def __init__(self, library: Library, vault: Vault, wake: Callable[[Tier], None]) -> None:
        self._library = library
        self._vault = vault
        self._wake = wake

    async def __call__(
        self, caller: Caller, request: RememberRequest, key: str | None = None
    ) -> Memory:
        """Return the new memory, or for a repeated key the first one, once it is safely stored.

        Raises TextEmpty, TextTooLong, TextUnprintable, TierUnknown, TierDenied, LevelUnknown, NamespaceInvalid,
        NamespaceUnknown, IdentityFull, kit.read_only, TimeInvalid, KeyInvalid, KeyReused, Forgotten, SacredFull.
        """
        check_writes(caller.db_role, caller.read_only)
        entry = read_entry(caller, request, now())
        check_tier(caller.db_role, entry.tier)
        await self._library.check_namespace(caller, entry.namespace)
        key_hash = hash_key(key) if key is not None else None
        try:
            await self._write(caller, entry, key_hash)
        except _KeyTaken:
            if key_hash is None:
                raise
            return await self._first(caller, entry, key_hash)
        self._wake(entry.tier)
        return to_memory(entry)

    async def _write(self, caller: Caller, entry: Entry, key_hash: bytes | None) -> None:
        shelf = self._library.shelf(entry.tier)
        async with shelf.pool.as_caller(caller) as conn:
            await check_room(conn, shelf, None, entry)
            await shelf.insert(conn, entry)
            await shelf.step_out(conn)
            await shelf.note_subject(conn, entry.subject_id)
            if key_hash is not None and not await shelf.claim_key(
                conn, caller.subject, key_hash, entry.id, self._request_hash(entry)
            ):
                raise _KeyTaken()
            await shelf.put_pending(conn, entry)
            await shelf.announce(conn, entry.id, entry.subject_id, entry.tier, "remembered")

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
    valid_from, valid_to = aware(request.valid_from), aware(request.valid_to)
    check_span(valid_from, valid_to)
    return Entry(
        id=uuid4(),
        subject_id=caller.subject,
        tier=parse_tier(request.tier),
        text=clean_text(request.text),
        source_kind=request.source.kind,
        source_ref=request.source.ref,
        occurred_at=aware(request.occurred_at),
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
