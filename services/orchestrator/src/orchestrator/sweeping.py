"""Close what nobody stands behind any more: turns of a crashed process, questions whose time is over."""

from kit import logs
from kit.clock import Clock
from kit.errors import KitError

from orchestrator.confirmations_store import ConfirmationStore
from orchestrator.confirming import Confirmations
from orchestrator.domain import Risk, Verdict
from orchestrator.errors import ConfirmationExpired, ConfirmationInterrupted
from orchestrator.numbers import Numbers
from orchestrator.running import Registry
from orchestrator.store import Audit, Row, Store

log = logs.get(__name__)

SWEEP_SECONDS = 10.0
# A turn is in the registry before its note is written, so this only covers the time between two reads below.
YOUNGEST_SECONDS = 2.0
PURGE_EVERY = 360


class Sweep:
    """The house's memory of what it was doing. One process runs it: the orchestrator is not replicated."""

    def __init__(
        self,
        store: Store,
        confirmations: ConfirmationStore,
        registry: Registry,
        deciding: Confirmations,
        clock: Clock,
        numbers: Numbers,
    ) -> None:
        self._store = store
        self._confirmations = confirmations
        self._registry = registry
        self._deciding = deciding
        self._clock = clock
        self._numbers = numbers

    async def run(self) -> None:
        """Sweep until cancelled; while Postgres is away, try again at the next round."""
        rounds = 0
        while True:
            try:
                await self.once()
                if rounds % PURGE_EVERY == 0:
                    await self._confirmations.purge()
                    await self._store.forget_processed()
                rounds += 1
            except KitError as error:
                log.warning("sweep.put_off", code=error.code)
            except Exception as error:
                # One bad row must not end the sweeping of all others.
                log.exception("sweep.broke", error)
            await self._clock.sleep(SWEEP_SECONDS)

    async def once(self) -> None:
        """Close every abandoned turn, every late question and every execution that a crash cut off."""
        for row in await self._store.abandoned_runs(self._registry.alive(), YOUNGEST_SECONDS):
            if await self._store.interrupt(row["subject_id"], row["turn_id"], _interrupted(row)):
                log.warning("turn.interrupted", turn_id=str(row["turn_id"]))
        for row in await self._confirmations.expired():
            await self._confirmations.expire(row, ConfirmationExpired.reason)
            self._numbers.confirmation("expired")
        for row in await self._confirmations.interrupted(self._deciding.alive()):
            await self._confirmations.fail(row, ConfirmationInterrupted.reason)
            self._numbers.confirmation("interrupted")


def _interrupted(row: Row) -> Audit:
    return Audit(
        subject=row["subject_id"],
        correlation_id=row["correlation_id"],
        turn_id=row["turn_id"],
        event="reconciled",
        intent=row["intent"],
        decision=Verdict.FORBIDDEN.value,
        reason="The house was interrupted during this turn.",
        risk=Risk.READ.value,
        outcome="interrupted",
        error_code="agents.interrupted",
        duration_ms=min(int(row["age_ms"]), 2**31 - 1),
    )
