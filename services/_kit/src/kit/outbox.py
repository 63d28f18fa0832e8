"""Commit, then publish, and lose nothing in between: an event is a row first.

A use case writes its event with `add` in the transaction of the change itself. The service's `Relay` publishes
committed rows in order and deletes each once it is in the stream. A crash between the two publishes it again
under the same event id, which consumers see once. While the bus is away or full, rows wait here.

The table (one per domain and database, see db/migrations/0002_data_create_outbox.sql):

    CREATE TABLE memory.outbox (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        event_id uuid NOT NULL UNIQUE,
        topic text NOT NULL, payload jsonb NOT NULL, traceparent text,
        created_at timestamptz NOT NULL DEFAULT now());
    -- INSERT for the roles under which changes are made, SELECT, UPDATE, DELETE for the service's own
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from kit import ids, logs, trace
from kit.bus.message import CHARS_MAX, TOPIC
from kit.clock import Clock
from kit.errors import KitError

if TYPE_CHECKING:
    from kit.bus import Bus
    from kit.pool import Connection, Pool

log = logs.get(__name__)
_TABLE = re.compile(r"^[a-z_]+\.outbox$")
_BYTES_MAX = 2048
_PAUSE_S_MIN, _PAUSE_S_MAX = 0.25, 10.0


async def add(
    connection: Connection, table: str, topic: str, payload: Any, *, event_id: UUID | None = None
) -> UUID:
    """Write one event into the running transaction and return its id; it is published after the commit.

    Raises ContentRefused unless `payload` is ids and short words.
    """
    if not _TABLE.match(table) or not TOPIC.match(topic):
        raise ValueError(f"{table!r} is no outbox, or {topic!r} no topic")
    if hasattr(payload, "model_dump"):
        payload = payload.model_dump(mode="json")
    plain = json.loads(ids.encode(payload, chars_max=CHARS_MAX, bytes_max=_BYTES_MAX))
    event_id = event_id or uuid4()
    await connection.execute(
        f"INSERT INTO {table} (event_id, topic, payload, traceparent) VALUES ($1, $2, $3, $4)",
        event_id,
        topic,
        plain,
        trace.outgoing(),
    )
    return event_id


class Relay:
    """Publishes an outbox's committed rows, oldest first, until cancelled. One transaction per batch."""

    def __init__(
        self,
        pool: Pool,
        bus: Bus,
        table: str,
        *,
        clock: Clock | None = None,
        poll_s: float = 2.0,
        batch: int = 100,
    ) -> None:
        if not _TABLE.match(table):
            raise ValueError(f"{table!r} is no outbox")
        self._pool = pool
        self._bus = bus
        self._table = table
        self._clock = clock or Clock()
        self._poll_s = poll_s
        self._batch = batch
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Publish at once rather than at the next look: call it after a commit in this process."""
        self._woken.set()

    async def run(self) -> None:
        """Publish until cancelled, over every restart of Postgres and Valkey."""
        pause_s = _PAUSE_S_MIN
        while True:
            self._woken.clear()
            try:
                published = await self.publish_batch()
            except KitError as error:
                log.warning("outbox.waiting", table=self._table, code=error.code, seconds=pause_s)
                await self._clock.sleep(pause_s)
                pause_s = min(pause_s * 2, _PAUSE_S_MAX)
                continue
            except Exception as error:
                # Such as before the first migration, when there is no table yet. A relay that died of it would keep
                # every event to itself until the next restart, and nobody would know.
                log.exception("outbox.failed", error, table=self._table, seconds=pause_s)
                await self._clock.sleep(pause_s)
                pause_s = min(pause_s * 2, _PAUSE_S_MAX)
                continue
            pause_s = _PAUSE_S_MIN
            if published < self._batch:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):
                        await self._woken.wait()

    async def publish_batch(self) -> int:
        """Publish up to one batch and return how many rows left. Raises DataUnavailable and the bus's errors.

        What was published before an error is deleted all the same; the rest stays, in order.
        """
        failure: KitError | None = None
        async with self._pool.own() as connection:
            # Locked, not skipped: a second relay would otherwise publish later rows before earlier ones.
            rows = await connection.fetch(
                f"SELECT id, event_id, topic, payload, traceparent FROM {self._table}"
                " ORDER BY id LIMIT $1 FOR UPDATE",
                self._batch,
            )
            done: list[int] = []
            for row in rows:
                try:
                    await self._bus.publish(
                        row["topic"],
                        row["payload"],
                        event_id=row["event_id"],
                        traceparent=row["traceparent"],
                    )
                except KitError as error:
                    failure = error
                    break
                done.append(row["id"])
            if done:
                await connection.execute(
                    f"DELETE FROM {self._table} WHERE id = ANY($1::bigint[])", done
                )
        if failure is not None:
            raise failure
        return len(done)
