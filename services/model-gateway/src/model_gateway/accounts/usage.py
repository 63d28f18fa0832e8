"""`GET /v1/usage` and `GET /v1/budgets`: what was asked, by whom, what it took, and what is left. For the owner alone."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from contracts.accounts import (
    USAGE_KEYS,
    Budgets,
    BudgetUse,
    Usage,
    UsageRow,
)
from contracts.base import Contract
from kit.auth import caller
from kit.clock import Clock
from kit.pool import Pool
from starlette.requests import Request
from starlette.responses import Response

from model_gateway.accounts.writer import QUERIES, Accounts
from model_gateway.catalogue import Catalogue
from model_gateway.errors import OwnerOnly, RequestInvalid

DAYS_DEFAULT, DAYS_MAX = 30, 366
ROWS_MAX = 5000
MICROS = 1_000_000
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class UsageApi:
    """The routes and what they need."""

    book: Catalogue
    pool: Pool
    accounts: Accounts
    clock: Clock

    async def usage(self, request: Request) -> Response:
        """`GET /v1/usage`: newest day first, and the dearest first in it."""
        await _owner(request)
        today = _today(self.clock)
        until = _day(request, "until", today)
        since = _day(request, "since", until - timedelta(days=DAYS_DEFAULT - 1))
        if not since <= until < since + timedelta(days=DAYS_MAX):
            raise RequestInvalid(f"`since` to `until` is not 1 to {DAYS_MAX} days.")
        by = _keys(request.query_params.get("by"))
        async with self.pool.own(read_only=True) as connection:
            rows = await connection.fetch(
                QUERIES.usage, _midnight(since), _midnight(until + ONE_DAY), ROWS_MAX + 1, by
            )
        return _json(
            Usage(
                currency=self.book.currency,
                since=since,
                until=until,
                rows=tuple(_row(row) for row in rows[:ROWS_MAX]),
                truncated=len(rows) > ROWS_MAX,
                unwritten=self.accounts.waiting,
                dropped=self.accounts.dropped,
            )
        )

    async def budgets(self, request: Request) -> Response:
        """`GET /v1/budgets`: each budget of the file and what is used of it today."""
        await _owner(request)
        today = _today(self.clock)
        async with self.pool.own(read_only=True) as connection:
            rows = await connection.fetch(QUERIES.used_today, today, ROWS_MAX)
        found = {(row["budget"], row["caller"]): row for row in rows}
        # A budget that nobody has touched today is shown too; one that the file names no more is not.
        shared = {(name, "") for name, one in self.book.budgets.items() if one.caller == "all"}
        uses = [
            _use(name, whose, self.book, found.get((name, whose)), _midnight(today + ONE_DAY))
            for name, whose in sorted(shared | set(found))
            if name in self.book.budgets
        ]
        return _json(Budgets(currency=self.book.currency, budgets=tuple(uses)))


async def _owner(request: Request) -> None:
    asker = await caller(request)
    if asker.role != "owner" or asker.kind != "person":
        raise OwnerOnly()


def _today(clock: Clock) -> date:
    return clock.now().astimezone(UTC).date()


def _midnight(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time(), UTC)


def _day(request: Request, name: str, default: date) -> date:
    said = request.query_params.get(name)
    if said is None:
        return default
    try:
        return date.fromisoformat(said)
    except ValueError:
        raise RequestInvalid(f"`{name}` is not a day like 2026-01-31.") from None


def _keys(said: str | None) -> list[str]:
    if said is None:
        return list(USAGE_KEYS)
    keys = said.split(",") if said else []
    if not set(keys) <= set(USAGE_KEYS):
        raise RequestInvalid(f"`by` names something else than {', '.join(USAGE_KEYS)}.")
    return keys


def _json(answer: Contract) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(answer.model_dump_json(), media_type="application/json", headers=headers)


def _row(row: Any) -> UsageRow:
    fields = dict(row)
    cost = fields.pop("cost_micros") / MICROS
    return UsageRow(**fields, cost=cost)


def _use(name: str, whose: str, book: Catalogue, row: Any, resets_at: datetime) -> BudgetUse:
    budget = book.budgets[name]
    return BudgetUse(
        budget=name,
        way=budget.way,
        caller=whose or None,
        tokens=row["tokens"] if row else 0,
        tokens_max=budget.tokens_per_day,
        cost=(row["cost_micros"] if row else 0) / MICROS,
        cost_max=budget.money_per_day,
        resets_at=resets_at,
    )
