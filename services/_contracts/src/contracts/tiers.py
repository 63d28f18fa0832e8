"""The privacy tiers and the names around them, without pydantic: a worker needs the words and none of the models."""

from enum import StrEnum

CHANGED_TOPIC = "memory.changed.v1"
TEXT_CHARS_MAX = 8000
QUERY_CHARS_MAX = 2000
RECALL_LIMIT_MAX = 50
LIST_LIMIT_MAX = 200


class Tier(StrEnum):
    """How private a memory is; it follows the memory into every copy."""

    CONVENIENCE = "convenience"
    SENSITIVE = "sensitive"
    SACRED = "sacred"
