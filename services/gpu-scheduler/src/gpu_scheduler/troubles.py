"""What the owner should know of the cards without looking: a node away, a card over its budget, a model that will not start.

The same three as the alerts GpuNodeGone, GpuCardOverBudget and GpuModelCrashLoop, in sentences. Reads only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from contracts.gpustatus import TROUBLES_MAX, Trouble
from contracts.scheduling import CardView

from gpu_scheduler.core.model import State

# A link that breaks for a moment needs nobody.
AWAY_SECONDS = 30.0
OVER_SECONDS = 15.0
CRASHES = 3


def over_mib(card: CardView) -> int:
    """Return how much more is booked or in use on a card than it has."""
    return max(0, max(card.booked_mib + card.foreign_mib, card.used_mib) - card.total_mib)


def troubles(
    state: State, joined: Iterable[str], cards: Sequence[CardView], now: float
) -> tuple[Trouble, ...]:
    """Return what is wrong now, the most urgent first."""
    found = [
        *_over(state, cards, now),
        *_away(state, joined, now),
        *_failing(state, now),
    ]
    return tuple(found[:TROUBLES_MAX])


def _over(state: State, cards: Sequence[CardView], now: float) -> Iterable[Trouble]:
    for card in cards:
        since = state.cards[card.id].over_since
        over = over_mib(card)
        if over > 0 and since is not None and now - since >= OVER_SECONDS:
            why = (
                f"{over} MiB more than it has: {card.booked_mib} MiB are booked, and others use {card.foreign_mib} MiB "
                f"of {card.total_mib} MiB."
            )
            on = f"{card.name} of {card.node}"[:200]
            yield Trouble(kind="card_over_budget", on=on, why=why)


def _away(state: State, joined: Iterable[str], now: float) -> Iterable[Trouble]:
    for name in sorted(joined):
        node = state.nodes.get(name)
        if node is not None and node.up:
            continue
        if sleeps(state, name, now):
            continue
        if node is not None and node.wakeable:
            why = "It was woken, and has not answered since."
        else:
            heard = max(node.last_seen if node else float("-inf"), state.started_at)
            if now - heard < AWAY_SECONDS:
                continue
            why = (
                "Its models are answered in the house or, where allowed, outside, until it is back."
            )
        yield Trouble(kind="node_away", on=name, why=why)


def sleeps(state: State, name: str, now: float) -> bool:
    """Whether a node is off and may be: it can be woken, and was not woken in vain."""
    node = state.nodes.get(name)
    if node is None or node.up or not node.wakeable:
        return False
    tried = node.wake_tried_at
    return tried is None or now - tried <= state.policy.node_wake_s


def _failing(state: State, now: float) -> Iterable[Trouble]:
    for (node, model), book in sorted(state.books.items()):
        if (node, model) not in state.deployments or model in state.banned:
            continue
        given_up = book.refused_why is not None and now < book.not_before
        if book.crashes >= CRASHES or given_up:
            why = book.refused_why or book.error or "Its log on the node says why."
            yield Trouble(kind="crash_loop", on=f"{model} on {node}"[:200], why=why[:500])
