"""What may still be spent: reserved before a call, corrected after it.

The most that a call can take is reserved in one transaction over all budgets that count it, so that many calls at once
never pass a limit together. What it really took is known afterwards and written with its account. Where nobody reports
it the reservation stays, and it stays when the gateway is killed in between: a budget errs towards being spent.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from kit import logs
from kit.clock import Clock
from kit.pool import DataUnavailable, Pool

from model_gateway.accounts.writer import QUERIES
from model_gateway.call import Call, Correction
from model_gateway.catalogue import Budget, Catalogue, Price
from model_gateway.endpoint import Ask, Outgoing, Tally
from model_gateway.errors import BudgetSpent, BudgetUnknown
from model_gateway.ways import Way, output_limit

if TYPE_CHECKING:
    from kit.pool import Connection

log = logs.get(__name__)

MICROS = 1_000_000
UNLIMITED = 2**62
PICTURE_TOKENS_MAX = 65_536
# These answer with something else than text of their own.
WRITES_NO_TOKENS = ("/embeddings", "/rerank", "/audio/", "/images/")


@dataclass(frozen=True)
class Amount:
    """Tokens read and written, and what they cost in millionths of the currency."""

    read: int = 0
    written: int = 0
    cost_micros: int = 0

    @property
    def tokens(self) -> int:
        """Both together."""
        return self.read + self.written


@dataclass(frozen=True)
class Reservation:
    """The most that a call may take on a way, and the budgets it has been taken from."""

    most: Amount
    day: date
    held: tuple[tuple[str, str], ...]  # budget, caller


def cost_micros(price: Price | None, read: int, written: int) -> int:
    """Return what a call costs, rounded up."""
    if price is None:
        return 0
    # A price for a million tokens, in millionths: the two cancel out.
    cost = read * price.read_per_million + written * price.written_per_million
    return math.ceil(cost + price.request * MICROS)


def most(way: Way, ask: Ask, endpoint_path: str, outgoing: Outgoing) -> Amount:
    """Return the most that a call can take: a token has at least one byte, and none lies beyond the context."""
    context = way.context_tokens or 0
    size = len(outgoing.body) if isinstance(outgoing.body, bytes) else context
    if ask.needs.pictures:
        # How many tokens a picture is only its model knows.
        size = context or size + ask.needs.pictures * PICTURE_TOKENS_MAX
    read = min(size, context or size)
    written = 0
    if not endpoint_path.startswith(WRITES_NO_TOKENS):
        written = ask.needs.output_tokens or output_limit(way)
    return Amount(read, written, cost_micros(way.price, read, written))


def taken(way: Way, tally: Tally, at_most: Amount) -> Amount:
    """Return what a call took: as reported, and where nobody reports, the most it can have been."""
    read = at_most.read if tally.tokens_read is None else tally.tokens_read
    written = at_most.written if tally.tokens_written is None else tally.tokens_written
    return Amount(read, written, cost_micros(way.price, read, written))


class Budgets:
    """Keeps the file's budgets in Postgres."""

    def __init__(self, book: Catalogue, pool: Pool | None, clock: Clock) -> None:
        self._book = book
        self._pool = pool
        self._clock = clock

    async def reserve(self, call: Call, way: Way, amount: Amount) -> Reservation:
        """Take `amount` from every budget that counts this call. Raises BudgetSpent or BudgetUnknown.

        While Postgres is away nothing goes out that a budget counts; what is answered in the house goes on, uncounted,
        unless it has a price.
        """
        today = self._clock.now().astimezone(UTC).date()
        counted = self._counting(call, way)
        if not counted:
            return Reservation(amount, today, ())
        try:
            await self._take(counted, today, amount)
        except DataUnavailable as error:
            if way.in_house and way.price is None:
                log.warning("budget.unknown", way=way.name)
                return Reservation(amount, today, ())
            raise BudgetUnknown(Retry_After="10") from error
        held = tuple((name, caller) for name, caller, _ in counted)
        return Reservation(amount, today, held)

    def settle(self, call: Call, reservation: Reservation, amount: Amount) -> None:
        """Have the budgets corrected to what was taken; written with the call's account."""
        tokens = amount.tokens - reservation.most.tokens
        micros = amount.cost_micros - reservation.most.cost_micros
        if tokens or micros:
            call.corrections += [
                Correction(reservation.day, budget, caller, tokens, micros)
                for budget, caller in reservation.held
            ]

    def _counting(self, call: Call, way: Way) -> list[tuple[str, str, Budget]]:
        caller = call.terms.caller
        return [
            (name, "" if budget.caller == "all" else caller, budget)
            # In one order for everybody, so that two calls never wait for one another.
            for name, budget in sorted(self._book.budgets.items())
            if self._book.covers(budget, way.leg) and budget.caller in ("all", "each", caller)
        ]

    async def _take(
        self, counted: Sequence[tuple[str, str, Budget]], today: date, amount: Amount
    ) -> None:
        if self._pool is None:
            raise DataUnavailable
        async with self._pool.own() as connection:
            for name, caller, budget in counted:
                tokens_max, micros_max = _limits(budget)
                row = await connection.fetchrow(
                    QUERIES.reserve,
                    today,
                    name,
                    caller,
                    amount.tokens,
                    amount.cost_micros,
                    tokens_max,
                    micros_max,
                )
                if row is None:
                    # Leaving by an error gives back what was taken from the budgets before this one.
                    raise await self._spent(connection, name, caller, budget, today)

    async def _spent(
        self, connection: "Connection", name: str, caller: str, budget: Budget, today: date
    ) -> BudgetSpent:
        row = await connection.fetchrow(QUERIES.used, today, name, caller)
        tokens, micros = (row["tokens"], row["cost_micros"]) if row else (0, 0)
        left: list[str] = []
        if budget.money_per_day is not None:
            rest = max(0.0, budget.money_per_day - micros / MICROS)
            left.append(f"{rest:.4f} of {budget.money_per_day:g} {self._book.currency}")
        if budget.tokens_per_day is not None:
            left.append(
                f"{max(0, budget.tokens_per_day - tokens)} of {budget.tokens_per_day} tokens"
            )
        resets = datetime.combine(today + timedelta(days=1), datetime.min.time(), UTC)
        seconds = max(1, math.ceil((resets - self._clock.now()).total_seconds()))
        whose = f" of {caller}" if caller else ""
        return BudgetSpent(
            f"The budget {name}{whose} has {' and '.join(left)} left, and this call may take more; "
            f"it begins anew at {resets:%Y-%m-%dT%H:%MZ}.",
            Retry_After=str(seconds),
        )


def _limits(budget: Budget) -> tuple[int, int]:
    tokens = UNLIMITED if budget.tokens_per_day is None else budget.tokens_per_day
    money = budget.money_per_day
    return tokens, UNLIMITED if money is None else round(money * MICROS)
