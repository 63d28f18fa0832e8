"""The second level: answers in Valkey, sealed, under names that say nothing, for every replica of the service.

The server's append-only file keeps what was once written until it is rewritten; sealed, it keeps nothing readable.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from typing import TYPE_CHECKING
from uuid import UUID

from kit import logs
from kit.bus.resp import Client, Lost, ReplyError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from kit.bus import Broker

log = logs.get(__name__)
PREFIX = "memory:cache"
ANSWER_BYTES_MAX = 256 * 1024
# A cache that makes a person wait is none: Postgres answers in a few milliseconds.
SECONDS_MAX = 0.05
GENERATION_SECONDS = 3600
_CONNECTIONS_MAX = 4
_NONCE_BYTES = 12
_TOKEN_BYTES = 9


class Shared:
    """Sealed answers by person, generation and key. Whatever goes wrong here is a miss.

    An answer's name holds the epoch, the person's generation and the key. A change gives the person another
    generation, a Valkey that was lost gives everybody another epoch: what was written under the old one is never
    read again and dies of age. So a late writer cannot bring an old answer back, nor can a restart from an older file.
    """

    def __init__(self, broker: Broker, key: bytes) -> None:
        self._client = Client(
            broker.host,
            broker.port,
            broker.user,
            broker.password,
            connections_max=_CONNECTIONS_MAX,
        )
        self._key = key
        self._cipher: AESGCM | None = None

    async def stamp(self, subject: UUID) -> str | None:
        """Return what `get` and `put` are to be given: epoch and generation; None when Valkey does not say."""
        try:
            epoch, generation = await self._client.call(
                *("MGET", f"{PREFIX}:epoch", self._generation(subject)), seconds_max=SECONDS_MAX
            )
            if epoch is None:
                await self.new_epoch()
                return None
            if generation is None:
                generation = await self.changed(subject)
        except (Lost, ReplyError):
            return None
        return f"{epoch}:{generation}" if generation else None

    async def get(self, subject: UUID, key: str, stamp: str) -> bytes | None:
        """Return the answer if it is there."""
        name = self._name(subject, key, stamp)
        try:
            kept = await self._client.call("GET", name, seconds_max=SECONDS_MAX)
        except (Lost, ReplyError):
            return None
        return self._open(name, kept) if kept else None

    async def put(
        self, subject: UUID, key: str, answer: bytes, stamp: str, ttl_seconds: int
    ) -> None:
        """Keep an answer that was read after `stamp` was taken."""
        if len(answer) > ANSWER_BYTES_MAX:
            return
        name = self._name(subject, key, stamp)
        try:
            await self._client.call(
                *("SET", name, self._seal(name, answer), "EX", ttl_seconds), seconds_max=SECONDS_MAX
            )
        except (Lost, ReplyError):
            return

    async def changed(self, subject: UUID) -> str | None:
        """Begin another generation of the person's answers and return it; None when Valkey does not take it."""
        generation = _token()
        try:
            await self._client.call(
                *("SET", self._generation(subject), generation, "EX", GENERATION_SECONDS),
                seconds_max=SECONDS_MAX,
            )
        except (Lost, ReplyError):
            return None
        return generation

    async def new_epoch(self) -> bool:
        """Make every answer of every person unreadable; say whether Valkey took it."""
        try:
            await self._client.call(
                *("SET", f"{PREFIX}:epoch", _token()), seconds_max=SECONDS_MAX * 10
            )
        except (Lost, ReplyError) as error:
            log.warning("cache.no_epoch", reason=type(error).__name__)
            return False
        return True

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _aes(self) -> AESGCM:
        if self._cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            self._cipher = AESGCM(self._key)
        return self._cipher

    def _seal(self, name: str, answer: bytes) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        return base64.b64encode(nonce + self._aes().encrypt(nonce, answer, name.encode())).decode()

    def _open(self, name: str, kept: str) -> bytes | None:
        from cryptography.exceptions import InvalidTag

        try:
            sealed = base64.b64decode(kept, validate=True)
            return self._aes().decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode())
        except (binascii.Error, InvalidTag, ValueError):
            # Written under another key, or tampered with: as good as not there.
            return None

    def _generation(self, subject: UUID) -> str:
        return f"{PREFIX}:g:{self._digest(subject.bytes)}"

    def _name(self, subject: UUID, key: str, stamp: str) -> str:
        return f"{PREFIX}:a:{stamp}:{self._digest(subject.bytes + key.encode())}"

    def _digest(self, value: bytes) -> str:
        # Keyed: a question or an id could be guessed from a plain hash.
        return hmac.new(self._key, value, hashlib.sha256).hexdigest()[:32]


def _token() -> str:
    return os.urandom(_TOKEN_BYTES).hex()
