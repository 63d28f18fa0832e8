"""One turn, from words to account: normalize -> plan -> policy -> execute -> audit."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from contracts.identity import Caller
from kit import logs
from kit.clock import Clock
from kit.errors import Internal, KitError

from orchestrator.domain import (
    Decision,
    Plan,
    PolicyContext,
    Recalled,
    Step,
    TurnStatus,
    Verdict,
)
from orchestrator.errors import (
    ActionsOff,
    ConversationNotFound,
    Forbidden,
    NotSaved,
    TurnDiffers,
    TurnTimedOut,
)
from orchestrator.normalize import normalize, title_from, visible_text
from orchestrator.numbers import Numbers
from orchestrator.plan import make_plan
from orchestrator.policy import SWITCH_UNREADABLE, SWITCHED_OFF, decide
from orchestrator.running import Registry, RunningTurn
from orchestrator.settings import Settings
from orchestrator.store import Audit, Ending, NewTurn, Row, Store

log = logs.get(__name__)

_NAMESPACE = uuid5(NAMESPACE_URL, "lares:turn")
_SAVE_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0, 6.0)
ANSWER_CHARS_MAX = 40_000


@dataclass(slots=True)
class Work:
    """What a turn has gathered while it runs."""

    turn: RunningTurn
    caller: Caller
    plan: Plan
    started: float
    answer: list[str] = field(default_factory=list[str])
    sources: list[Recalled] = field(default_factory=list[Recalled])
    status: TurnStatus = TurnStatus.DONE
    error: KitError | None = None
    decision: Decision = field(
        default_factory=lambda: Decision(Verdict.FORBIDDEN, "No step was decided.")
    )
    action: str | None = None
    memory_id: UUID | None = None
    memories: int = 0
    first_token_ms: int | None = None
    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    async def say(self, text: str) -> None:
        """Add to the answer and stream it, up to the most that an answer may be."""
        left = ANSWER_CHARS_MAX - sum(map(len, self.answer))
        piece = storable(text)[: max(0, left)]
        if piece:
            self.answer.append(piece)
            await self.turn.feed.say("delta", {"text": piece})

    async def stage(self, name: str, detail: str = "") -> None:
        """Tell the person what is done now."""
        await self.turn.feed.say("stage", {"name": name, "detail": detail})


def storable(text: str) -> str:
    """Return text that UTF-8 and Postgres can hold: a model may answer with halves of characters, or with NUL."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


Executor = Callable[[Work, Step], Awaitable[None]]


class Turns:
    """The use case behind `POST /v1/turns`.

    `executors` maps a tool's name to what carries it out, `askers` to what puts it to the person first. A tool that
    needs approval has no executor here: no turn, whatever its words, can reach the code that erases.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        registry: Registry,
        clock: Clock,
        numbers: Numbers,
        *,
        executors: Mapping[str, Executor],
        askers: Mapping[str, Executor],
    ) -> None:
        self._settings = settings
        self._store = store
        self._registry = registry
        self._clock = clock
        self._numbers = numbers
        self._by_verdict = {
            Verdict.AUTO_EXECUTE_LOW_RISK: executors,
            Verdict.REQUIRES_APPROVAL: askers,
        }

    async def begin(
        self,
        caller: Caller,
        text: str,
        conversation_id: UUID | None,
        key: str | None,
        correlation_id: str,
    ) -> RunningTurn | Row:
        """Commit the person's words and start the turn. Return it, or the kept row when it ended before.

        When this returns, the words are durable. Raises TooManyTurns, Busy, ConversationNotFound, TurnDiffers,
        `data.unavailable`.
        """
        turn_id = uuid5(_NAMESPACE, f"{caller.subject}:{key}") if key else uuid4()
        intent = normalize(text)
        live = self._registry.get(turn_id, caller.subject)
        if live is not None:
            if live.intent != intent:
                raise TurnDiffers()
            return live
        # Admitted before the first await: of two equal requests at once the second joins the first.
        turn = RunningTurn(
            turn_id, conversation_id or uuid4(), caller.subject, correlation_id, intent
        )
        self._registry.add(turn)
        try:
            kept = await self._commit(
                caller, turn, text, is_new=conversation_id is None, may_exist=key is not None
            )
        except BaseException as error:
            self._registry.remove(turn)
            await turn.feed.say("error", _as_event(error, correlation_id))
            await turn.feed.close()
            raise
        if kept is not None:
            self._registry.remove(turn)
            await turn.feed.close()
            return kept
        await turn.feed.say("turn.accepted", _accepted(turn))
        self._registry.start(turn, self._run(turn, caller))
        return turn

    async def _commit(
        self, caller: Caller, turn: RunningTurn, text: str, *, is_new: bool, may_exist: bool
    ) -> Row | None:
        """Make the turn durable; return the kept row instead when it had its end before."""
        new = NewTurn(
            turn_id=turn.turn_id,
            conversation_id=turn.conversation_id,
            is_new_conversation=is_new,
            title=title_from(text, turn.intent),
            intent=turn.intent.kind.value,
            visible_text=visible_text(text, turn.intent),
            correlation_id=turn.correlation_id,
        )
        kept = await self._store.get_turn(caller, turn.turn_id) if may_exist else None
        if kept is None:
            if not await self._store.begin_turn(caller, new):
                await self._store.drop_run(turn.turn_id)
                raise ConversationNotFound()
            return None
        if kept["user_text"] != new.visible_text:
            raise TurnDiffers()
        if kept["status"] not in ("failed", "interrupted", "running"):
            return kept
        turn.conversation_id = kept["conversation_id"]
        return None if await self._store.restart_turn(caller, new) else kept

    async def _run(self, turn: RunningTurn, caller: Caller) -> None:
        work = Work(
            turn, caller, make_plan(turn.intent, turn_id=turn.turn_id), self._clock.monotonic()
        )
        try:
            async with asyncio.timeout(self._settings.turn_seconds_max):
                await self._carry_out(work)
        except TimeoutError:
            work.status, work.error = TurnStatus.FAILED, TurnTimedOut()
        except KitError as error:
            work.status, work.error = TurnStatus.FAILED, error
        except asyncio.CancelledError:
            # The house is stopping: the sweep at the next start says so; what was answered is kept as it is.
            work.status = TurnStatus.INTERRUPTED
        except Exception as error:
            log.exception("turn.broke", error, turn_id=str(turn.turn_id))
            work.status, work.error = TurnStatus.FAILED, Internal()
        await self._end(work)

    async def _carry_out(self, work: Work) -> None:
        intent = work.plan.intent
        await work.stage("normalize", intent.kind.value)
        await work.stage("plan", ", ".join(step.tool for step in work.plan.steps))
        for step in work.plan.steps:
            if work.turn.stop.is_set():
                work.status = TurnStatus.STOPPED
            if work.status is not TurnStatus.DONE:
                return
            await self._take(work, step)

    async def _take(self, work: Work, step: Step) -> None:
        """Decide on one step; then run it, put it to the person, or refuse it."""
        decision = decide(step, await policy_context(self._store, work.caller))
        work.decision, work.action = decision, step.tool
        await work.stage("policy", f"{step.tool}: {decision.reason}")
        self._numbers.decision(decision.verdict.value)
        # FORBIDDEN has no entry, nor has a tool that nobody registered for this verdict.
        run = self._by_verdict.get(decision.verdict, {}).get(step.tool)
        if run is None:
            raise refusal(decision)
        await work.stage("execute", step.tool)
        await run(work, step)

    async def _end(self, work: Work) -> None:
        """Keep the end before it is told: what a person was told is done must be there tomorrow."""
        turn = work.turn
        duration_ms = int((self._clock.monotonic() - work.started) * 1000)
        code = work.error.code if work.error else None
        if work.status is TurnStatus.INTERRUPTED:
            code = "agents.interrupted"
        ending = Ending(work.status, "".join(work.answer), code, work.memory_id)
        try:
            saved = await self._save(work, ending, _audit(work, code, duration_ms))
            if not saved:
                work.status, work.error = TurnStatus.FAILED, NotSaved()
            if work.error is not None:
                await turn.feed.say("error", _as_event(work.error, turn.correlation_id))
            status = TurnStatus.FAILED if work.status is TurnStatus.INTERRUPTED else work.status
            finished = {
                "turn_id": str(turn.turn_id),
                "status": status.value,
                "duration_ms": duration_ms,
            }
            await turn.feed.say("turn.finished", finished)
            kind = turn.intent.kind.value
            self._numbers.turn(kind, work.status.value, duration_ms, work.first_token_ms)
            log.info(
                "turn.finished", intent=kind, status=work.status.value, duration_ms=duration_ms
            )
        finally:
            await turn.feed.close()
            if turn.abandonment is not None:
                turn.abandonment.cancel()
            self._registry.remove(turn)

    async def _save(self, work: Work, ending: Ending, audit: Audit) -> bool:
        """Keep the end, trying for a bounded time while Postgres is away. False: the sweep will close the turn."""
        for pause_s in (*_SAVE_PAUSES_S, None):
            try:
                await self._store.finish_turn(work.caller, work.turn.turn_id, ending, audit)
                return True
            except KitError as error:
                log.warning("turn.not_saved_yet", code=error.code)
            except Exception as error:
                # Whatever it is, the person is told that it was not kept: a stream never just ends.
                log.exception("turn.not_saved", error, turn_id=str(work.turn.turn_id))
                return False
            if pause_s is not None:
                await self._clock.sleep(pause_s)
        return False


async def policy_context(store: Store, caller: Caller) -> PolicyContext:
    """Return what policy may look at, with the off switch read just now; None when it cannot be read."""
    enabled: bool | None = None
    try:
        enabled = await store.actions_enabled()
    except KitError:
        log.warning("switch.unreadable")
    return PolicyContext(
        subject=caller.subject,
        caller_kind=caller.kind,
        read_only=caller.read_only,
        actions_enabled=enabled,
    )


def refusal(decision: Decision) -> KitError:
    """Return the coded error that says why policy forbade a step."""
    if decision.reason in (SWITCHED_OFF, SWITCH_UNREADABLE):
        return ActionsOff()
    return Forbidden(decision.reason)


def _accepted(turn: RunningTurn) -> dict[str, Any]:
    return {
        "turn_id": str(turn.turn_id),
        "conversation_id": str(turn.conversation_id),
        "correlation_id": turn.correlation_id,
    }


def _as_event(error: BaseException, correlation_id: str) -> dict[str, Any]:
    known = error if isinstance(error, KitError) else Internal()
    return {
        "code": known.code,
        "reason": known.reason,
        "fix": known.fix,
        "correlation_id": correlation_id,
    }


def _audit(work: Work, code: str | None, duration_ms: int) -> Audit:
    return Audit(
        subject=work.caller.subject,
        correlation_id=work.turn.correlation_id,
        turn_id=work.turn.turn_id,
        event="turn",
        intent=work.plan.intent.kind.value,
        action=work.action,
        decision=work.decision.verdict.value,
        reason=work.decision.reason,
        risk=work.decision.risk.value,
        outcome=work.status.value,
        error_code=code,
        duration_ms=duration_ms,
        first_token_ms=work.first_token_ms,
        model=work.model,
        prompt_tokens=work.prompt_tokens,
        completion_tokens=work.completion_tokens,
        memories=work.memories,
    )
