"""The statements of this package, as they read for one tier or over all tiers that a role has a part in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from contracts.tiers import Tier
from kit import sql

from memory.domain import allowed_tiers

PLAIN_TIERS = (Tier.CONVENIENCE, Tier.SENSITIVE)
_FOLDER = Path(__file__).parent
_EVERY = re.compile(r"\bevery\.([a-z_]+)")
_ARM = "SELECT '$tier'::text AS tier, own.* FROM $tier.$table AS own"
_NODE = (
    "SELECT '$tier'::text AS tier, part.id AS entity_id, root.id AS root_id, $twin AS node_id"
    " FROM $tier.entity AS part JOIN $tier.entity AS root ON root.id = part.root"
)
_TWIN = (
    "coalesce((SELECT twin.id FROM convenience.entity AS twin WHERE twin.merged_into IS NULL"
    " AND twin.namespace = root.namespace AND twin.key = root.key AND twin.kind = root.kind"
    " ORDER BY twin.created_at, twin.id LIMIT 1), root.id)"
)
_FILES = ("queries.sql", "asking.sql", "changing.sql")


@lru_cache(maxsize=1)
def _statements() -> Mapping[str, sql.Query]:
    return {name: query for file in _FILES for name, query in sql.load(_FOLDER / file).items()}


def _node(tiers: Sequence[Tier]) -> str:
    """Return each entity with its root and the node that it is shown as; see asking.sql."""
    arms: list[str] = []
    for tier in tiers:
        text = _NODE.replace("$tier", tier.value)
        twin = _TWIN if tier is Tier.SENSITIVE and Tier.CONVENIENCE in tiers else "root.id"
        arms.append(text.replace("$twin", twin))
    return " UNION ALL ".join(arms)


def statements() -> Mapping[str, sql.Query]:
    """Return every statement by name, able to be prepared: over both tiers where it is over several."""
    return {
        name: sql.Query(over(name, PLAIN_TIERS), name, query.role, query.database)
        for name, query in _statements().items()
    }


@lru_cache(maxsize=128)
def one(name: str, tier: Tier) -> str:
    """Return a statement as it reads for one tier's tables."""
    return str(_statements()[name]).replace("convenience.", f"{tier.value}.")


@lru_cache(maxsize=128)
def over(name: str, tiers: Sequence[Tier]) -> str:
    """Return a statement over the tables of all of `tiers`, each row with its tier."""

    def union(match: re.Match[str]) -> str:
        if match.group(1) == "node":
            return f"({_node(tiers)})"
        arms = (
            _ARM.replace("$tier", tier.value).replace("$table", match.group(1)) for tier in tiers
        )
        return "(" + " UNION ALL ".join(arms) + ")"

    return _EVERY.sub(union, str(_statements()[name]))


def plain_tiers(db_role: str) -> tuple[Tier, ...]:
    """Return the tiers in which a role may see entities and facts: never sacred, where nothing is derived."""
    return tuple(tier for tier in allowed_tiers(db_role) if tier in PLAIN_TIERS)
