"""What a model is learned to use and to take, and what it is not forgiven: peaks, times, crashes, memory that ran out."""

from __future__ import annotations

from dataclasses import replace

from gpu_scheduler.core.events import InstanceSeen
from gpu_scheduler.core.ledger import measured_charge, need_of
from gpu_scheduler.core.model import Instance, ModelBook, Phase, State

SMOOTHING = 0.3  # of a new measurement in a running mean


def learn_peak(state: State, key: tuple[str, str, str], mib: int) -> None:
    """A measured peak of (node, model, fingerprint): the highest counts."""
    if mib <= state.peaks.get(key, -1):
        return
    state.peaks[key] = mib
    deployment = state.deployments.get((key[0], key[1]))
    if deployment is not None and deployment.fingerprint == key[2]:
        state.deployments[deployment.key] = replace(deployment, peak_mib=mib)


def measure(state: State, instance: Instance, told: InstanceSeen) -> None:
    """Learn its peak once it has served enough to have shown it; an instance above its charge is charged more at once."""
    if instance.phase not in (Phase.STARTING, Phase.READY, Phase.DRAINING, Phase.WAKING):
        return
    reads = [
        state.cards[c].ours_mib.get(instance.id, 0) for c in instance.cards if c in state.cards
    ]
    peak = max([instance.peak_mib, *told.peak_mib.values(), *reads])
    instance.peak_mib = peak
    most = min(
        (
            state.cards[c].total_mib - state.policy.reserve_mib
            for c in instance.cards
            if c in state.cards
        ),
        default=peak,
    )
    charge = max(peak, min(measured_charge(peak, state.policy), most))
    instance.charge_mib = max(instance.charge_mib, charge)
    deployment = state.deployments.get(instance.deployment)
    if deployment is None or told.phase is not Phase.READY:
        return
    if instance.fingerprint and instance.fingerprint != deployment.fingerprint:
        return
    if instance.served < state.policy.measured_after and deployment.peak_mib is None:
        return
    key = (deployment.node, deployment.model, deployment.fingerprint)
    if peak > state.peaks.get(key, -1):
        learn_peak(state, key, peak)
        state.peaks_unsaved.add(key)
    deployment = state.deployments[deployment.key]
    if instance.phase is Phase.READY and deployment.peak_mib is not None:
        instance.charge_mib = max(charge, min(need_of(deployment, state.policy).mib, most))
        if (book := state.books.get(deployment.key)) is not None:
            book.alone = book.oom_retried = False


def note_transition(book: ModelBook, was: Phase, took_s: float) -> None:
    """How long a start or a wake took, as a running mean."""
    if was is Phase.STARTING:
        book.start_s = (
            took_s if book.start_s is None else book.start_s + SMOOTHING * (took_s - book.start_s)
        )
    elif was is Phase.WAKING:
        book.wake_s = (
            took_s if book.wake_s is None else book.wake_s + SMOOTHING * (took_s - book.wake_s)
        )


def out_of_memory(
    state: State, instance: Instance, book: ModelBook, error: str | None, now: float
) -> None:
    """Once it is tried again with the card to itself; the second time it is given up on and reported."""
    book.error = error or "out of memory"
    if not book.oom_retried:
        book.oom_retried = book.alone = True
        return
    book.refused_why = (
        f"{instance.deployment[1]} ran out of memory twice, the second time alone on its card with "
        f"{instance.charge_mib} MiB: {book.error}"
    )
    book.not_before = now + state.policy.crash_backoff_max_s
    book.oom_retried = False


def back_off(state: State, book: ModelBook, error: str, now: float) -> None:
    """Twice as long after every crash; after so many it is given up on until then."""
    policy = state.policy
    book.crashes += 1
    book.error = error
    wait = min(
        policy.crash_backoff_max_s, policy.crash_backoff_s * 2.0 ** min(book.crashes - 1, 20)
    )
    book.not_before = now + wait
    if book.crashes >= policy.crashes_max:
        book.not_before = now + policy.crash_backoff_max_s
        book.refused_why = f"it has crashed {book.crashes} times in a row: {error}"
