"""The statements of a search, as they read for the tiers and the vectors it is about."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from contracts.tiers import Tier
from kit import sql

NAMED = sql.load(Path(__file__).with_name("queries.sql"))
# There is an index for vectors of each of these lengths.
DIMENSIONS = (256, 384, 512, 768, 1024)


def of(name: str, tier: Tier) -> str:
    """Return a statement as it reads for one tier."""
    return str(NAMED[name]).replace("convenience.", f"{tier.value}.")


@cache
def joined(name: str, tiers: tuple[Tier, ...]) -> str:
    """Return a statement over several tiers at once: a round trip costs more than most of them."""
    parts: list[str] = []
    for number, tier in enumerate(tiers):
        text = of(name, tier)
        if name == "found" and number:
            # Numbers of memories are a tier's own.
            text = text.replace("$11::", "$13::").replace("$12::", "$14::")
        parts.append(f"SELECT '{tier.value}' AS tier, each.* FROM ({text}) AS each")  # noqa: S608
    return " UNION ALL ".join(parts)


@cache
def opened(beside: str) -> str:
    """Return the first statement of a search, together with one that answers texts."""
    return f"SELECT each.*, ARRAY({beside}) AS beside FROM ({NAMED.opened}) AS each"  # noqa: S608


@cache
def shaped(text: str, dimensions: int, model: int) -> str:
    """Return a statement on vectors for one length and slot, as the index of that length and slot is defined."""
    if dimensions not in DIMENSIONS:
        raise ValueError("there is no index for vectors of this length")
    return text.replace("(384)", f"({dimensions})").replace(
        "= 384 AND model % 2 = 1", f"= {dimensions} AND model % 2 = {model % 2}"
    )
