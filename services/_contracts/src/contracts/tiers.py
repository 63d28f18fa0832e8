"""The privacy tiers, the levels and the names around them, without pydantic: a worker needs the words and none of the models."""

from enum import StrEnum

CHANGED_TOPIC = "memory.changed.v1"
TEXT_CHARS_MAX = 8000
QUERY_CHARS_MAX = 2000
RECALL_LIMIT_MAX = 50
LIST_LIMIT_MAX = 200
IDENTITY_TOKENS_MAX = 6000


class Tier(StrEnum):
    """How private a memory is; it follows the memory into every copy."""

    CONVENIENCE = "convenience"
    SENSITIVE = "sensitive"
    SACRED = "sacred"


class Level(StrEnum):
    """How long a memory stays: always in context, half an hour, an hour, as long as it is used, for good."""

    IDENTITY = "identity"
    SESSION = "session"
    WORKING = "working"
    EPISODIC = "episodic"
    KNOWLEDGE = "knowledge"
