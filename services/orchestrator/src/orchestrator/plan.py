"""Stage 2: an Intent -> a Plan. The list of tools is here, in source: a plan can name nothing else."""

from uuid import UUID

from orchestrator.domain import PROMPT_TIERS, Intent, IntentKind, Plan, Risk, Step, Tool

RECALL = Tool("memory.recall", Risk.READ, reversible=True, acts=False)
ANSWER = Tool("model.answer", Risk.READ, reversible=True, acts=False)
SAY = Tool("turn.say", Risk.READ, reversible=True, acts=False)
REMEMBER = Tool("memory.remember", Risk.WRITE, reversible=True, acts=True)
FORGET = Tool("memory.forget", Risk.DESTRUCTIVE, reversible=False, acts=True)

TOOLS = {tool.name: tool for tool in (RECALL, ANSWER, SAY, REMEMBER, FORGET)}

_UNCLEAR = {
    "remember": "What should I remember? Say, for example: remember that the bins go out on Tuesday.",
    "forget": "What should I forget? Say, for example: forget that the bins go out on Tuesday. "
    "To erase many things at once, use the Memory page.",
}


def make_plan(intent: Intent, *, turn_id: UUID) -> Plan:
    """Return the steps that serve the intent. The turn's id keys the write, so that a retry never doubles it."""
    tiers = [tier.value for tier in PROMPT_TIERS]
    match intent.kind:
        case IntentKind.REMEMBER:
            steps = (
                Step(
                    REMEMBER.name,
                    {
                        "text": intent.subject,
                        "tier": intent.tier.value,
                        "idempotency_key": str(turn_id),
                    },
                    "one memory, kept once",
                ),
            )
        case IntentKind.FORGET:
            steps = (
                Step(
                    RECALL.name,
                    {"query": intent.subject, "tiers": tiers},
                    "the memories that are meant",
                ),
                Step(FORGET.name, {}, "these memories erased everywhere"),
            )
        case IntentKind.RECALL:
            steps = (
                Step(RECALL.name, {"query": intent.subject, "tiers": tiers}, "what is remembered"),
                Step(SAY.name, {}, "a list of memories"),
            )
        case IntentKind.UNCLEAR:
            steps = (Step(SAY.name, {"text": _UNCLEAR[intent.subject]}, "a question back"),)
        case IntentKind.ASK:
            steps = (
                Step(
                    RECALL.name,
                    {"query": intent.subject, "tiers": tiers},
                    "memories that bear on it",
                ),
                Step(ANSWER.name, {}, "an answer, word by word"),
            )
    return Plan(intent, steps)
