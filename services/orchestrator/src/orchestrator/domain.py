"""The vocabulary of a turn: typed records, no I/O, no clocks, no logging."""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from contracts.memory import Tier

MAX_TURN_CHARS = 8000
MAX_FORGET_CANDIDATES = 10


class IntentKind(StrEnum):
    """What a person wants from one turn."""

    ASK = "ask"
    RECALL = "recall"
    REMEMBER = "remember"
    FORGET = "forget"
    UNCLEAR = "unclear"


PROMPT_TIERS = (Tier.CONVENIENCE, Tier.SENSITIVE)
"""The tiers whose words may enter a prompt or a conversation. Sacred is absent, always."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What `normalize` understood: a kind, and the words that the kind is about."""

    kind: IntentKind
    subject: str
    tier: Tier = Tier.CONVENIENCE

    @property
    def is_sacred(self) -> bool:
        """True when the words of this turn may be kept with the sacred memories only."""
        return self.tier is Tier.SACRED


class Risk(StrEnum):
    """What a tool can do to a person's things, at worst."""

    READ = "read"
    WRITE = "write"
    DESTRUCTIVE = "destructive"


class Verdict(StrEnum):
    """The three answers that policy can give."""

    AUTO_EXECUTE_LOW_RISK = "AUTO_EXECUTE_LOW_RISK"
    REQUIRES_APPROVAL = "REQUIRES_APPROVAL"
    FORBIDDEN = "FORBIDDEN"


@dataclass(frozen=True, slots=True)
class Tool:
    """A thing that a plan may do. `reversible` is what blocks: it lives in source, not in configuration."""

    name: str
    risk: Risk
    reversible: bool
    acts: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One use of one tool, with its inputs and what a good outcome looks like."""

    tool: str
    inputs: dict[str, object] = field(default_factory=dict[str, object])
    expected: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of one intent, in order."""

    intent: Intent
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's yes, bound to who said it and to exactly what was shown."""

    subject: UUID
    argument_hash: str


@dataclass(frozen=True, slots=True)
class PolicyContext:
    """Everything policy may look at. `actions_enabled` is None when the switch could not be read."""

    subject: UUID
    caller_kind: str
    read_only: bool
    actions_enabled: bool | None
    argument_hash: str = ""
    approval: Approval | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict on one step, and why, in words that a person can read."""

    verdict: Verdict
    reason: str
    risk: Risk = Risk.DESTRUCTIVE


class TurnStatus(StrEnum):
    """Where a turn is; every state but `running` and `waiting` is final."""

    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Recalled:
    """A memory that came back from recall, with why it did."""

    memory_id: UUID
    text: str
    tier: Tier
    score: float
    reasons: tuple[str, ...] = ()
    updated_at: str = ""
    created_at: str = ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """An earlier turn of the conversation, as far as a prompt is concerned."""

    user_text: str
    answer_text: str
