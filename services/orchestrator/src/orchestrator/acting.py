"""The tools that act: remember, and the question that comes before forgetting."""

from uuid import UUID, uuid4

from orchestrator.confirmations_store import ConfirmationStore
from orchestrator.domain import MAX_FORGET_CANDIDATES, Recalled, Step, Tier, TurnStatus
from orchestrator.neighbours import Memory
from orchestrator.plan import FORGET
from orchestrator.policy import argument_hash
from orchestrator.prompt import fit, meant_by
from orchestrator.settings import Settings
from orchestrator.store import Store
from orchestrator.turns import Work

NOTHING_TO_FORGET = (
    "I found no memory like that, so there is nothing to forget. "
    "(Sacred memories are forgotten on the Memory page only.)"
)
MEMORY_CHARS_MAX = 8000


class Acting:
    """Executor of `memory.remember`, asker of `memory.forget`."""

    def __init__(
        self, settings: Settings, store: Store, confirmations: ConfirmationStore, memory: Memory
    ) -> None:
        self._settings = settings
        self._store = store
        self._confirmations = confirmations
        self._memory = memory

    async def remember(self, work: Work, step: Step) -> None:
        """Keep the fact, once per turn however often the turn is tried, and say so when it is durable."""
        text, tier = str(step.inputs["text"])[:MEMORY_CHARS_MAX], str(step.inputs["tier"])
        key = str(step.inputs["idempotency_key"])
        work.memory_id = await self._memory.remember(text, tier, work.turn.turn_id, key)
        work.memories = 1
        if tier == Tier.SACRED.value:
            await work.say(
                "Remembered as sacred. Its words are kept with your sacred memories only."
            )
        else:
            named = "" if tier == Tier.CONVENIENCE.value else f" (as {tier})"
            await work.say(f"I will remember{named}: {fit(text, 500)}")

    async def ask_to_forget(self, work: Work, step: Step) -> None:
        """Put to the person exactly what would be erased. Nothing is erased here; no decision means no."""
        meant = meant_by(work.plan.intent.subject, work.sources, MAX_FORGET_CANDIDATES)
        work.memories = len(meant)
        if not meant:
            await work.say(NOTHING_TO_FORGET)
            return
        # The ids let a later forgetting find this turn; the words are shown and not kept.
        await self._store.save_sources(work.caller, work.turn.turn_id, meant)
        arguments = forget_arguments(meant)
        confirmation_id = uuid4()
        expires_at = await self._confirmations.add(
            confirmation_id,
            work.caller.subject,
            work.turn.turn_id,
            step.tool,
            arguments,
            argument_hash(step.tool, arguments),
            self._settings.confirmation_seconds,
        )
        count = "this memory" if len(meant) == 1 else f"these {len(meant)} memories"
        await work.say(f"Shall I forget {count}? It cannot be undone.")
        await work.turn.feed.say(
            "confirmation_required",
            confirmation_event(confirmation_id, step.tool, describe(meant), expires_at.isoformat()),
        )
        work.status = TurnStatus.WAITING


def forget_arguments(memories: list[Recalled]) -> dict[str, object]:
    """Return what a confirmation binds: which memories, in which version."""
    return {"memories": sorted([str(m.memory_id), m.updated_at] for m in memories)}


def bound_ids(arguments: dict[str, list[list[str]]]) -> list[UUID]:
    """Return the ids that `forget_arguments` bound."""
    return [UUID(memory_id) for memory_id, _ in arguments["memories"]]


def describe(memories: list[Recalled]) -> str:
    """Return what would be erased, in words for the person who decides."""
    if len(memories) == 1:
        return f"Forget \u201c{fit(memories[0].text, 1500)}\u201d, everywhere and for good."
    lines = [f"- {fit(memory.text, 150)}" for memory in memories]
    return "\n".join([f"Forget these {len(memories)} memories, everywhere and for good:", *lines])


def confirmation_event(
    confirmation_id: UUID, action: str, description: str, expires_at: str
) -> dict[str, object]:
    """Return the `confirmation_required` event, as it streams and as a kept turn shows it."""
    return {
        "confirmation_id": str(confirmation_id),
        "action": action,
        "description": description,
        "reversible": FORGET.reversible,
        "expires_at": expires_at,
    }
