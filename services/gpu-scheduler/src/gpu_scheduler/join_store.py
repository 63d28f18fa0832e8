"""Which GPU nodes belong to the house: rows of `inference.node`, and the one-time tokens by which they join."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from contracts.gpunode import JoinAsk
from kit import logs, sql
from kit.clock import Clock
from kit.errors import KitError
from kit.pool import Connection, Pool

from gpu_scheduler import join_errors as errors
from gpu_scheduler.authority import Authority, Issued, new_tls_name

log = logs.get(__name__)

QUERIES = sql.load(Path(__file__).with_name("join_queries.sql"))
TOKEN_VALID = timedelta(minutes=15)
TOKEN_KEPT = timedelta(days=1)
NODES_MAX = 16
_NAME = re.compile(r"^[a-z][a-z0-9-]{0,30}$")


@dataclass(frozen=True)
class MemberNode:
    """A GPU node of the house. It is believed under `tls_name` alone."""

    name: str
    address: str
    port: int
    tls_name: str
    wakeable: bool
    fingerprint: str
    signed_at: datetime
    expires_at: datetime
    joined_at: datetime

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://{self.address}:{self.port}"


class JoinStore:
    """The books. Every change is one transaction, and changes come one after another."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def present(self) -> tuple[MemberNode, ...]:
        """Return the nodes that belong to the house now, by name. Raises DataUnavailable."""
        async with self._pool.own(read_only=True) as connection:
            rows = await connection.fetch(QUERIES.present_nodes)
        return tuple(MemberNode(**dict(row)) for row in rows)

    async def new_token(self, name: str, address: str, *, wakeable: bool = False) -> str:
        """Return a secret that lets the node `name` join from `address`, once, within 15 minutes.

        It ends earlier tokens of this name or address. Raises NodeInvalid, AddressTaken, NodesTooMany.
        """
        if not _NAME.fullmatch(name) or not _is_home(address):
            raise errors.NodeInvalid()
        secret, now = secrets.token_urlsafe(32), self._clock.now()
        async with self._changing() as connection:
            await self._check_place(connection, name, address)
            await connection.execute(QUERIES.drop_old_tokens, now - TOKEN_KEPT)
            await connection.execute(QUERIES.end_other_tokens, name, address, now)
            await connection.execute(
                QUERIES.insert_token, _hash(secret), name, address, wakeable, now, now + TOKEN_VALID
            )
        return secret

    async def join(self, ask: JoinAsk, peer: str, authority: Authority) -> tuple[str, Issued]:
        """Take the token, sign the node's request, write the node down; return its name of this joining and certificate.

        `peer` is the address the request came from. Whatever is wrong with an attempt, its token has ended with it.
        Raises the errors of join_errors.
        """
        hashed, now = _hash(ask.token), self._clock.now()
        admitted: tuple[str, Issued] | KitError
        async with self._changing() as connection:
            token = await connection.fetchrow(QUERIES.take_token, hashed)
            if token is None:
                raise errors.TokenUnknown()
            if token["ended_at"] is None:
                await connection.execute(QUERIES.end_token, hashed, now)
            try:
                _check(token, ask, peer, now)
                admitted = await self._admit(connection, ask, token["wakeable"], authority, now)
            except KitError as error:
                admitted = error
        # Outside of the transaction, so that the token's end is kept.
        if isinstance(admitted, KitError):
            log.warning("node.join_refused", node=token["name"], code=admitted.code)
            raise admitted
        log.info("node.joined", node=ask.node)
        return admitted

    async def _admit(
        self,
        connection: Connection,
        ask: JoinAsk,
        wakeable: bool,
        authority: Authority,
        now: datetime,
    ) -> tuple[str, Issued]:
        await self._check_place(connection, ask.node, ask.address)
        tls_name = new_tls_name(ask.node)
        issued = authority.sign(ask.csr, name=ask.node, address=ask.address, tls_name=tls_name)
        # The same node anew, or another machine in its place: the earlier certificate is worth nothing from here on.
        await connection.fetch(QUERIES.end_node, ask.node, now)
        await connection.execute(
            QUERIES.insert_node, tls_name, ask.node, ask.address, wakeable, issued.serial,
            issued.fingerprint, now, issued.expires_at,
        )  # fmt: skip
        return tls_name, issued

    async def renewed(self, node: MemberNode, issued: Issued) -> None:
        """Write down a certificate that the node has taken. Raises NodeUnknown if it was removed meanwhile."""
        async with self._changing() as connection:
            rows = await connection.fetch(
                QUERIES.renew_node, node.tls_name, issued.serial, issued.fingerprint,
                self._clock.now(), issued.expires_at,
            )  # fmt: skip
        if not rows:
            raise errors.NodeUnknown()

    async def remove(self, name: str) -> str:
        """End a node's belonging and its unused tokens; return the address it had. Raises NodeUnknown."""
        now = self._clock.now()
        async with self._changing() as connection:
            rows = await connection.fetch(QUERIES.end_node, name, now)
            await connection.execute(QUERIES.end_other_tokens, name, "", now)
        if not rows:
            raise errors.NodeUnknown()
        log.info("node.removed", node=name)
        return rows[0]["address"]

    async def _check_place(self, connection: Connection, name: str, address: str) -> None:
        found = await connection.fetchrow(QUERIES.others_at_address, name, address)
        if found["at_address"]:
            raise errors.AddressTaken()
        if found["others"] >= NODES_MAX:
            raise errors.NodesTooMany()

    @asynccontextmanager
    async def _changing(self) -> AsyncGenerator[Connection]:
        """A transaction that holds the one lock of these tables: two that join at once come one after the other."""
        async with self._pool.own() as connection:
            await connection.execute(QUERIES.lock_nodes)
            yield connection


def _check(token: Any, ask: JoinAsk, peer: str, now: datetime) -> None:
    if token["ended_at"] is not None:
        raise errors.TokenUsed()
    if token["expires_at"] <= now:
        raise errors.TokenExpired()
    if (ask.node, ask.address, peer) != (token["name"], token["address"], token["address"]):
        raise errors.TokenElsewhere()


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _is_home(address: str) -> bool:
    try:
        found = ipaddress.IPv4Address(address)
    except ValueError:
        return False
    return found.is_private and not (
        found.is_loopback or found.is_link_local or found.is_unspecified
    )
