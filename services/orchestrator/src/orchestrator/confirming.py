"""A person decides: approve carries out exactly what was shown, deny ends the intent, silence means no."""

from dataclasses import dataclass
from uuid import UUID

from contracts.agents import ConfirmationOutcome
from contracts.identity import Caller
from kit import logs
from kit.clock import Clock
from kit.errors import KitError

from orchestrator.acting import bound_ids, confirmation_event, describe, forget_arguments
from orchestrator.confirmations_store import ConfirmationStore, Row
from orchestrator.domain import (
    Approval,
    Decision,
    IntentKind,
    PolicyContext,
    Recalled,
    Risk,
    Step,
    TurnStatus,
    Verdict,
)
from orchestrator.errors import (
    ConfirmationChanged,
    ConfirmationExpired,
    ConfirmationInterrupted,
    ConfirmationNotFound,
    ConfirmationUsed,
)
from orchestrator.neighbours import Memory
from orchestrator.normalize import FORGOTTEN_PLACEHOLDER
from orchestrator.numbers import Numbers
from orchestrator.policy import argument_hash, decide
from orchestrator.store import Audit, Ending, Store
from orchestrator.turns import policy_context, refusal

log = logs.get(__name__)

DENIED = "Nothing was forgotten."
LATE = ConfirmationExpired.reason
# What a turn says whose question was settled just before a crash could write it down.
_SETTLED = {
    "executed": "Forgotten.",
    "denied": DENIED,
    "failed": ConfirmationInterrupted.reason,
    "executing": "It is being forgotten now.",
}
NO_WORDS = "The words cannot be shown now, because memory is not answering."


@dataclass(frozen=True, slots=True)
class Question:
    """What a waiting turn shows: the open question, or in `settled` what became of it."""

    event: dict[str, object] | None
    settled: str


class Confirmations:
    """The use case behind `POST /v1/confirmations/{id}`, and the only one that erases."""

    def __init__(
        self,
        store: Store,
        confirmations: ConfirmationStore,
        memory: Memory,
        clock: Clock,
        numbers: Numbers,
    ) -> None:
        self._store = store
        self._confirmations = confirmations
        self._memory = memory
        self._clock = clock
        self._numbers = numbers
        self._executing: set[UUID] = set()

    def alive(self) -> list[UUID]:
        """Return the confirmations that this process carries out now."""
        return list(self._executing)

    async def decide(
        self, caller: Caller, confirmation_id: UUID, approve: bool, correlation_id: str
    ) -> ConfirmationOutcome:
        """Return what came of the decision, once it is durable.

        Raises ConfirmationNotFound, ConfirmationExpired, ConfirmationUsed, ConfirmationChanged, Forbidden,
        ActionsOff, MemoryAway.
        """
        row = await self._confirmations.get(confirmation_id, caller.subject)
        if row is None:
            raise ConfirmationNotFound()
        if row["state"] == "expired" or (row["state"] == "pending" and row["is_late"]):
            raise ConfirmationExpired()
        if row["state"] != "pending":
            raise ConfirmationUsed()
        if not approve:
            return await self._deny(caller, row, correlation_id)
        return await self._approve(caller, row, correlation_id)

    async def _deny(self, caller: Caller, row: Row, correlation_id: str) -> ConfirmationOutcome:
        await self._claim(caller, row, "denied")
        decision = Decision(Verdict.REQUIRES_APPROVAL, "The person said no.", Risk.DESTRUCTIVE)
        await self._close(
            caller, row, Ending(TurnStatus.DONE, DENIED), decision, "denied", correlation_id
        )
        return ConfirmationOutcome(
            confirmation_id=row["id"], turn_id=row["turn_id"], state="denied", answer=DENIED
        )

    async def _approve(self, caller: Caller, row: Row, correlation_id: str) -> ConfirmationOutcome:
        """1. Read what it is about again. 2. Ask policy, with the approval. 3. Claim it. 4. Carry it out."""
        started = self._clock.monotonic()
        meant = await self._read(row)
        arguments = forget_arguments(meant)
        digest = argument_hash(row["action"], arguments)
        if digest != row["argument_hash"]:
            await self._claim(caller, row, "failed")
            changed = ConfirmationChanged()
            ending = Ending(TurnStatus.DONE, changed.reason)
            nothing = Decision(Verdict.FORBIDDEN, changed.reason, Risk.DESTRUCTIVE)
            await self._close(
                caller, row, ending, nothing, "failed", correlation_id, code=changed.code
            )
            raise changed
        decision = await self._judge(caller, row, digest)
        if decision.verdict is not Verdict.AUTO_EXECUTE_LOW_RISK:
            raise refusal(decision)
        # Noted before it is claimed, so that the sweep never takes it for one that a crash left behind.
        self._executing.add(row["id"])
        try:
            await self._claim(caller, row, "executing")
            return await self._erase(caller, row, meant, decision, correlation_id, started)
        finally:
            self._executing.discard(row["id"])

    async def _judge(self, caller: Caller, row: Row, digest: str) -> Decision:
        here: PolicyContext = await policy_context(self._store, caller)
        with_approval = PolicyContext(
            subject=here.subject,
            caller_kind=here.caller_kind,
            read_only=here.read_only,
            actions_enabled=here.actions_enabled,
            argument_hash=digest,
            approval=Approval(caller.subject, row["argument_hash"]),
        )
        decision = decide(Step(row["action"]), with_approval)
        self._numbers.decision(decision.verdict.value)
        return decision

    async def _erase(
        self,
        caller: Caller,
        row: Row,
        meant: list[Recalled],
        decision: Decision,
        correlation_id: str,
        started: float,
    ) -> ConfirmationOutcome:
        erased: dict[str, int] = {}
        done = 0
        try:
            for memory in meant:
                for kind, count in (await self._memory.forget(memory.memory_id)).items():
                    erased[kind] = erased.get(kind, 0) + count
                done += 1
                await self._store.redact(caller.subject, memory.memory_id, FORGOTTEN_PLACEHOLDER)
        except KitError as error:
            answer = f"Forgotten: {done} of {len(meant)}. Then it failed; ask again for the rest."
            await self._confirmations.settle(row["id"], "failed")
            ending = Ending(TurnStatus.FAILED, answer, error.code)
            await self._close(
                caller,
                row,
                ending,
                decision,
                "failed",
                correlation_id,
                code=error.code,
                started=started,
            )
            raise
        await self._confirmations.settle(row["id"], "executed")
        answer = f"Forgotten: {done} {'memory' if done == 1 else 'memories'}."
        ending = Ending(TurnStatus.DONE, answer)
        await self._close(
            caller,
            row,
            ending,
            decision,
            "executed",
            correlation_id,
            started=started,
            memories=done,
        )
        return ConfirmationOutcome(
            confirmation_id=row["id"],
            turn_id=row["turn_id"],
            state="executed",
            answer=answer,
            erased=erased,
        )

    async def _claim(self, caller: Caller, row: Row, state: str) -> None:
        if not await self._confirmations.claim(row["id"], caller.subject, state):
            raise ConfirmationUsed()

    async def _close(
        self,
        caller: Caller,
        row: Row,
        ending: Ending,
        decision: Decision,
        outcome: str,
        correlation_id: str,
        *,
        code: str | None = None,
        started: float | None = None,
        memories: int = 0,
    ) -> None:
        took = 0 if started is None else int((self._clock.monotonic() - started) * 1000)
        audit = Audit(
            subject=caller.subject,
            correlation_id=correlation_id,
            turn_id=row["turn_id"],
            event="confirmation",
            intent=IntentKind.FORGET.value,
            action=row["action"],
            decision=decision.verdict.value,
            reason=decision.reason,
            risk=decision.risk.value,
            outcome=outcome,
            error_code=code,
            duration_ms=took,
            memories=memories,
        )
        await self._store.close_waiting(caller, row["turn_id"], ending, audit)
        self._numbers.confirmation(outcome)
        log.info("confirmation.decided", outcome=outcome, turn_id=str(row["turn_id"]))

    async def of_turns(self, caller: Caller, turns: list[UUID]) -> dict[UUID, Question]:
        """Return the questions of these waiting turns; the words of an open one are looked up afresh."""
        questions: dict[UUID, Question] = {}
        for row in await self._confirmations.of_turns(caller.subject, turns):
            if row["state"] != "pending" or row["is_late"]:
                questions[row["turn_id"]] = Question(None, _SETTLED.get(row["state"], LATE))
                continue
            questions[row["turn_id"]] = Question(await self._shown(row), "")
        return questions

    async def open(self, caller: Caller) -> list[dict[str, object]]:
        """Return every question to the caller that still waits, newest first."""
        return [
            {
                **await self._shown(row),
                "turn_id": row["turn_id"],
                "conversation_id": conversation_id,
            }
            for row, conversation_id in await self._confirmations.open(caller)
        ]

    async def _shown(self, row: Row) -> dict[str, object]:
        try:
            found = await self._read(row)
            text = describe(found) if found else "What this was about is gone already."
        except KitError:
            text = NO_WORDS
        return confirmation_event(row["id"], row["action"], text, row["expires_at"].isoformat())

    async def _read(self, row: Row) -> list[Recalled]:
        ids = bound_ids(row["arguments"])
        return [found for id_ in ids if (found := await self._memory.get(id_)) is not None]
