"""The tools that read: recall memories, say a thing, let a model answer."""

from contextlib import aclosing

from kit import logs
from kit.clock import Clock
from kit.errors import KitError

from orchestrator.domain import IntentKind, Recalled, Step, TurnStatus
from orchestrator.errors import MemoryAway
from orchestrator.keeping import worth_keeping
from orchestrator.neighbours import Memory, Models, Usage
from orchestrator.prompt import build_prompt, fit, quotable, relevant
from orchestrator.running import unless_stopped
from orchestrator.settings import Settings
from orchestrator.store import Store
from orchestrator.turns import Work

log = logs.get(__name__)

SAVE_EVERY_SECONDS = 2.0
FORGET_RECALL_LIMIT = 20
LIST_RECALL_LIMIT = 20
NOTHING_REMEMBERED = (
    "I remember nothing about that. (Sacred memories are shown on the Memory page only.)"
)


class Answering:
    """Executors of `memory.recall`, `turn.say` and `model.answer`."""

    def __init__(
        self, settings: Settings, store: Store, memory: Memory, models: Models, clock: Clock
    ) -> None:
        self._settings = settings
        self._store = store
        self._memory = memory
        self._models = models
        self._clock = clock

    async def recall(self, work: Work, step: Step) -> None:
        """Find the memories that bear on the turn, and show them as its sources.

        A question goes on without them when memory is away, and says so; anything else ends there.
        """
        kind = work.plan.intent.kind
        limit = self._settings.recall_limit if kind is IntentKind.ASK else LIST_RECALL_LIMIT
        tiers = [str(tier) for tier in _listed(step.inputs["tiers"])]
        try:
            found = await self._memory.recall(str(step.inputs["query"]), tiers, limit)
        except MemoryAway:
            if kind is not IntentKind.ASK:
                raise
            await work.stage(
                "recall", "Your memories could not be searched; this answer does not use them."
            )
            return
        kept = relevant(str(step.inputs["query"]), found, self._settings.recall_score_min)
        work.sources = kept
        work.memories = len(kept)
        if kind is IntentKind.FORGET:
            # The confirmation shows which of them are meant.
            return
        if kept:
            await self._store.save_sources(work.caller, work.turn.turn_id, kept)
            await work.turn.feed.say("sources", [_as_source(memory) for memory in kept])

    async def say(self, work: Work, step: Step) -> None:
        """Answer without a model: a fixed sentence, or the list of what is remembered."""
        text = step.inputs.get("text")
        if text is not None:
            await work.say(str(text))
        elif not work.sources:
            await work.say(NOTHING_REMEMBERED)
        else:
            lines = [f"- {fit(memory.text, 500)}" for memory in work.sources]
            await work.say("\n".join(["Here is what I remember:", "", *lines]))

    async def answer(self, work: Work, _: Step) -> None:
        """Stream a model's answer. The stop button ends it, also upstream; what was said is kept."""
        question = work.plan.intent.subject
        history = await self._store.history(
            work.caller,
            work.turn.conversation_id,
            work.turn.turn_id,
            self._settings.history_turns_max,
        )
        quote = quotable(question, work.sources) if self._settings.quote_memories else None
        if quote is not None:
            await work.say(f"You told me: \u201c{fit(quote.text, 500)}\u201d\n\n")
        messages = build_prompt(
            question,
            work.sources,
            history,
            chars_max=self._settings.prompt_chars_max,
            identity=await self._identity(),
        )
        completed = await unless_stopped(self._stream(work, messages), work.turn.stop)
        if not completed:
            work.status = TurnStatus.STOPPED
        await self._keep(work, question)

    async def _identity(self) -> str:
        try:
            return await self._memory.identity()
        except KitError as error:
            # An answer without it is better than none.
            log.warning("turn.identity_missing", code=error.code)
            return ""

    async def _keep(self, work: Work, said: str) -> None:
        if not self._settings.keep_statements or not worth_keeping(said):
            return
        try:
            await self._memory.keep_said(said, work.turn.conversation_id, work.turn.turn_id)
        except KitError as error:
            # It stands in the conversation all the same.
            log.warning("turn.not_kept", code=error.code)

    async def _stream(self, work: Work, messages: list[dict[str, str]]) -> None:
        work.model = self._settings.model
        saved_at = self._clock.monotonic()
        async with aclosing(self._models.answer(messages)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Usage):
                    work.model = piece.model or work.model
                    work.prompt_tokens = piece.prompt_tokens
                    work.completion_tokens = piece.completion_tokens
                    continue
                now = self._clock.monotonic()
                if work.first_token_ms is None:
                    work.first_token_ms = int((now - work.started) * 1000)
                await work.say(piece)
                if now - saved_at >= SAVE_EVERY_SECONDS:
                    saved_at = now
                    await self._save_partial(work)

    async def _save_partial(self, work: Work) -> None:
        try:
            await self._store.save_partial(work.caller, work.turn.turn_id, "".join(work.answer))
        except KitError as error:
            # The answer goes on; its end is saved with patience.
            log.warning("turn.partial_not_saved", code=error.code)


def _listed(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("a list was planned")
    return list(value)  # pyright: ignore[reportUnknownArgumentType]


def _as_source(memory: Recalled) -> dict[str, object]:
    return {
        "memory_id": str(memory.memory_id),
        "text": memory.text,
        "tier": memory.tier.value,
        "score": round(memory.score, 4),
        "reasons": list(memory.reasons),
    }
