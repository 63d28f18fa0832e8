"""How soon a model will be asked for again, and how fast it reads: learned from what was asked of it.

A model that rests is asked again after a gap; the gaps so far, given how long it has rested already, tell how soon the
next ask will probably come. So an agent's model in the pause between two calls stays, and one whose session is over goes.
And what is asked for by those who cannot wait tells what they will ask for next: a voice that is transcribed is answered a
moment later by another model, which is brought up meanwhile.
"""

from __future__ import annotations

from gpu_scheduler.core.model import Before, Demand, ModelBook, Request, State

GAP_LEAST_S = 1.0  # sooner is no worse than that
PRIOR = 0.5  # how many gaps not knowing counts for
READ_KEPT = 0.9  # of what was measured before, at each new measurement
FOLLOWS_S = 5.0  # an ask that comes later than that after another does not follow it
FOLLOWS_SHARE, FOLLOWS_ASKS = (
    0.5,
    3.0,
)  # how often it has to have followed to be expected, and of how many
FOLLOWS_KEPT = 0.97


def note_ask(state: State, request: Request, now: float) -> None:
    """A request has come that is not yet in the queue: if its model rested, a gap is over."""
    if not any(model == request.model for _, model in state.deployments):
        return  # nothing is kept for names that anybody may think up
    demand = state.demand.setdefault(request.model, Demand())
    busy = request.model in state.queue or any(
        i.running for i in state.instances.values() if i.deployment[1] == request.model
    )
    if not busy and demand.rests_since is not None:
        demand.gaps.append(now - demand.rests_since)
    demand.rests_since = now
    protect_s = state.policy.classes[request.service_class].protect_s
    if protect_s > 0:
        demand.protected_until = max(demand.protected_until, now + protect_s)
        _note_succession(state, request.model, demand, now, protect_s)


def _note_succession(
    state: State, model: str, demand: Demand, now: float, protect_s: float
) -> None:
    """One of a class that cannot wait: whom does it follow, and who will probably follow it?"""
    for before in state.before:
        if before.model != model and now - before.at <= FOLLOWS_S and model not in before.followed:
            before.followed.add(model)
            followers = state.demand[before.model].followers
            followers[model] = followers.get(model, 0.0) + 1.0
    state.before.append(Before(model, now))
    demand.asks = demand.asks * FOLLOWS_KEPT + 1.0
    for name, count in list(demand.followers.items()):
        demand.followers[name] = count * FOLLOWS_KEPT
        if demand.asks >= FOLLOWS_ASKS and count >= FOLLOWS_SHARE * (demand.asks - 1.0):
            follower = state.demand[name]
            follower.expected_until = now + FOLLOWS_S
            follower.protected_until = max(follower.protected_until, now + protect_s)


def note_end(state: State, model: str, now: float) -> None:
    """A request has ended: if it was the last, its model rests from now on."""
    if (demand := state.demand.get(model)) is not None:
        demand.rests_since = now


def soonness(state: State, model: str, now: float) -> float:
    """Return the expected 1 / (seconds until it is asked for again), at most 1; 0 for one that was never asked for."""
    demand = state.demand.get(model)
    if demand is None or demand.rests_since is None:
        return 0.0
    rested = now - demand.rests_since
    total, count = PRIOR / max(rested, GAP_LEAST_S), PRIOR
    for gap in demand.gaps:
        if gap > rested:
            total += 1.0 / max(gap - rested, GAP_LEAST_S)
            count += 1.0
    return total / count


def protected(state: State, model: str, now: float) -> bool:
    """Whether somebody of a class that cannot wait has asked for it so lately that it will probably be asked again."""
    demand = state.demand.get(model)
    return demand is not None and now < demand.protected_until


def note_first_byte(state: State, request: Request, now: float) -> None:
    """Measure how fast a model reads; one that reads no prompt (a picture, a voice) has one token to read."""
    instance = state.instances.get(request.instance or "")
    if instance is None or request.granted_at is None:
        return
    book = state.books.setdefault(instance.deployment, ModelBook())
    book.read_s = book.read_s * READ_KEPT + (now - request.granted_at)
    book.read_tokens = book.read_tokens * READ_KEPT + max(1, request.prompt_tokens)


def first_byte_s(state: State, request: Request) -> float:
    """Return how long its first byte will probably take from its grant; 0 where nobody knows."""
    return min(
        (
            max(1, request.prompt_tokens) * book.read_s / book.read_tokens
            for (_, model), book in state.books.items()
            if model == request.model and book.read_tokens > 0
        ),
        default=0.0,
    )
