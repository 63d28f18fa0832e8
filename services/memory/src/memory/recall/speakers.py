"""Who speaks in a person's memories, asked of the database for every question: names are kept nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from contracts.tiers import Tier
from kit import sql

_STATEMENTS = sql.load(Path(__file__).with_name("queries.sql"))


def statements() -> Mapping[str, sql.Query]:
    """Return every statement by name, with the role and database it is prepared under."""
    return _STATEMENTS


@cache
def over(tiers: tuple[Tier, ...]) -> str:
    """Return the statement that answers the speakers of the memories the caller sees in these tiers, 200 a tier at most."""
    parts = [
        f"({str(_STATEMENTS['speakers']).replace('convenience.', f'{tier.value}.')})"
        for tier in tiers
    ]
    return " UNION ".join(part.replace(";", "") for part in parts)
