"""The machine that is simulated, in virtual time: a card, models that come and go, requests that run in their slots.

It does what it is told and keeps the books of what really happens; a scheduler (`Driver`) is told what happens and
answers by calling the verbs. Memory is what a model really uses (`true_mib`), whatever the scheduler believes: it is
taken from the moment a start or wake begins until a stop or sleep has ended.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from .arrivals import Job
from .home import CARD_MIB, MODELS, RAM_BUDGET_MIB

HEARTBEAT_S = 1.0
DRAIN_S = 3 * 3600.0  # how long after the last arrival a run may go on


@dataclass(slots=True)
class Box:
    """One container of a model. `phase` is one of starting, ready, sleeping, asleep, waking, stopping, stopped."""

    id: str
    model: str
    phase: str
    since: float
    mib: int
    running: dict[str, Job] = field(default_factory=dict)
    last_used: float = float("-inf")
    took_s: float | None = None


@dataclass
class Totals:
    """What is counted while it runs. Seconds are integrals over the run."""

    starts: int = 0
    wakes: int = 0
    sleeps: int = 0
    stops: int = 0
    takebacks: int = 0
    over_commits: int = 0
    over_mib_max: int = 0
    peak_mib: int = 0
    loading_s: float = 0.0
    busy_s: float = 0.0
    used_mib_s: float = 0.0
    ended_at: float = 0.0


class Driver(Protocol):
    """A scheduler, as the machine knows it."""

    def arrived(self, job: Job) -> None: ...
    def first_byte(self, job: Job, box: Box) -> None: ...
    def done(self, job: Job, box: Box) -> None: ...
    def changed(self, box: Box) -> None: ...
    def beat(self) -> None: ...


class World:
    """Virtual time, one card, one host's memory."""

    def __init__(self, true_mib: Mapping[str, int] | None = None, card_mib: int = CARD_MIB) -> None:
        self.now = 0.0
        self.card_mib = card_mib
        self.true_mib = dict(true_mib or {name: model.mib for name, model in MODELS.items()})
        self.boxes: dict[str, Box] = {}
        self.used_mib = 0
        self.totals = Totals()
        self._driver: Driver | None = None
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._seq = 0
        self._open = 0  # jobs that have neither ended nor been refused
        self._loading = 0
        self._running = 0

    def run(self, jobs: list[Job], driver: Driver) -> Totals:
        """Play every arrival and go on until all are served or refused, or `DRAIN_S` after the last."""
        self._driver = driver
        self._open = len(jobs)
        for job in jobs:
            self._at(job.at, lambda job=job: driver.arrived(job))
        until = (jobs[-1].at if jobs else 0.0) + DRAIN_S
        self._at(0.0, self._beat)
        while self._events and self._open:
            at, _, do = heapq.heappop(self._events)
            if at > until:
                break
            self._pass(at)
            do()
        self.totals.ended_at = self.now
        return self.totals

    # what a scheduler may do

    def start(self, model: str, box_id: str) -> Box:
        """Start a container; it takes its memory at once and is ready after the model's `start_s`."""
        box = Box(box_id, model, "starting", self.now, 0)
        self.boxes[box_id] = box
        self.totals.starts += 1
        self._take(box, self.true_mib[model])
        self._come(box, MODELS[model].start_s)
        return box

    def wake(self, box: Box) -> None:
        """Bring a model back from host memory."""
        self.totals.wakes += 1
        self._to(box, "waking")
        self._take(box, self.true_mib[box.model])
        self._come(box, MODELS[box.model].wake_s)

    def sleep(self, box: Box) -> None:
        """Give the card up and keep the weights in host memory. Nothing may run."""
        self._leave(box, "sleeping", "asleep", MODELS[box.model].sleep_s)
        self.totals.sleeps += 1
        staged = sum(
            MODELS[one.model].mib
            for one in self.boxes.values()
            if one.phase in ("asleep", "sleeping")
        )
        if staged > RAM_BUDGET_MIB:
            raise RuntimeError(f"{staged} MiB are staged, {RAM_BUDGET_MIB} may be")

    def stop(self, box: Box) -> None:
        """End a container. Nothing may run."""
        self._leave(box, "stopping", "stopped", MODELS[box.model].stop_s)
        self.totals.stops += 1

    def serve(self, job: Job, box: Box) -> None:
        """Let a request run in one of the model's slots."""
        if box.phase != "ready" or len(box.running) >= MODELS[box.model].slots:
            raise RuntimeError(f"{box.model} is {box.phase} with {len(box.running)} running")
        if job.done_at is not None or job.refused_at is not None or job.id in box.running:
            raise RuntimeError(f"{job.id} is served twice")
        job.granted_at = self.now
        box.running[job.id] = job
        box.last_used = self.now
        self._running += 1
        turn = job.ended_early
        self._at(self.now + job.first_s, lambda: self._first(job, box, turn))
        self._at(self.now + job.work_s, lambda: self._end(job, box, turn))

    def take_back(self, job: Job, box: Box) -> None:
        """End a request that runs, before its first byte; it waits again."""
        if job.first_at is not None:
            raise RuntimeError(f"{job.id} had its first byte")
        del box.running[job.id]
        self._running -= 1
        job.granted_at = None
        job.ended_early += 1
        self.totals.takebacks += 1

    def refuse(self, job: Job, why: str) -> None:
        """Turn a request away for good."""
        if job.done_at is not None or job.refused_at is not None or job.granted_at is not None:
            raise RuntimeError(f"{job.id} is refused after it was served")
        job.refused_at, job.refused_why = self.now, why
        self._open -= 1

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        """Call `do` when this many seconds have passed."""
        self._at(self.now + seconds, do)

    # what happens by itself

    def _at(self, when: float, do: Callable[[], None]) -> None:
        self._seq += 1
        heapq.heappush(self._events, (when, self._seq, do))

    def _pass(self, to: float) -> None:
        seconds = to - self.now
        self.totals.used_mib_s += self.used_mib * seconds
        if self._loading:
            self.totals.loading_s += seconds
        if self._running:
            self.totals.busy_s += seconds
        self.now = to

    def _beat(self) -> None:
        assert self._driver is not None
        self._driver.beat()
        self._at(self.now + HEARTBEAT_S, self._beat)

    def _to(self, box: Box, phase: str) -> None:
        box.took_s = self.now - box.since
        box.phase, box.since = phase, self.now

    def _take(self, box: Box, mib: int) -> None:
        was_over = self.used_mib > self.card_mib
        self.used_mib += mib - box.mib
        box.mib = mib
        self.totals.peak_mib = max(self.totals.peak_mib, self.used_mib)
        over = self.used_mib - self.card_mib
        if over > 0:
            self.totals.over_mib_max = max(self.totals.over_mib_max, over)
            self.totals.over_commits += not was_over

    def _come(self, box: Box, seconds: float) -> None:
        self._loading += 1
        self._at(self.now + seconds, lambda: self._come_done(box))

    def _come_done(self, box: Box) -> None:
        self._loading -= 1
        self._to(box, "ready")
        self._driver.changed(box)

    def _leave(self, box: Box, phase: str, after: str, seconds: float) -> None:
        if box.running or box.phase not in ("ready", "asleep"):
            raise RuntimeError(f"{box.model} is {box.phase} with {len(box.running)} running")
        self._to(box, phase)
        self._at(self.now + seconds, lambda: self._left(box, after))

    def _left(self, box: Box, phase: str) -> None:
        self._to(box, phase)
        self._take(box, MODELS[box.model].asleep_mib if phase == "asleep" else 0)
        if phase == "stopped":
            del self.boxes[box.id]
        self._driver.changed(box)

    def _first(self, job: Job, box: Box, turn: int) -> None:
        if job.ended_early == turn:
            job.first_at = self.now
            self._driver.first_byte(job, box)

    def _end(self, job: Job, box: Box, turn: int) -> None:
        if job.ended_early != turn:
            return
        job.done_at = self.now
        del box.running[job.id]
        box.last_used = self.now
        self._running -= 1
        self._open -= 1
        self._driver.done(job, box)
