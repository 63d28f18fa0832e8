"""The policies to compare with, on the same machine and the same arrivals. They know every model's true size, or
believe what they are told of it.

B is what llama-swap's FIFO scheduler does, with eviction by least recent use among idle models, as strong as its rules
allow: a request for a model that is there (or on its way) is served there at once, whoever waits; any other starts a
swap as soon as enough idle models can be evicted for it, swaps of different models side by side; else it waits until
a model has become idle. Requests beyond a model's slots wait in the model's own server, which keeps it busy.
"""

from __future__ import annotations

from collections.abc import Mapping

from .arrivals import Job
from .home import MODELS, PEERS_MIB
from .world import Box, World


class ResidentsFirst:
    """B: serve residents first, evict the least recently used. `staging`: evict to host memory, not to disk."""

    def __init__(
        self, world: World, staging: bool, believed_mib: Mapping[str, int] | None = None
    ) -> None:
        self.world = world
        self.mib = believed_mib or world.true_mib
        self.staging = staging
        self.budget_mib = PEERS_MIB
        self.queue: list[Job] = []
        self.inside: dict[str, list[Job]] = {
            name: [] for name in MODELS
        }  # waits in the model's server
        self.boxes: dict[str, Box] = {}
        self.promised: dict[
            str, set[str]
        ] = {}  # a model on its way in -> the models that make room
        self.number = 0

    def arrived(self, job: Job) -> None:
        self.queue.append(job)
        self._pump()

    def first_byte(self, job: Job, box: Box) -> None:
        pass

    def done(self, job: Job, box: Box) -> None:
        self._fill(box)
        if not box.running:
            self._pump()

    def changed(self, box: Box) -> None:
        if box.phase == "stopped":
            self.boxes.pop(box.model, None)
        if box.phase in ("stopped", "asleep"):
            for leaving in self.promised.values():
                leaving.discard(box.model)
        for model in [model for model, leaving in self.promised.items() if not leaving]:
            del self.promised[model]
            self._bring(model)
        if box.phase == "ready":
            self._fill(box)
            self._pump()

    def beat(self) -> None:
        pass

    def _pump(self) -> None:
        waiting: list[Job] = []
        for job in self.queue:
            if self._join(job) or self._swap(job):
                continue
            waiting.append(job)
        self.queue = waiting

    def _join(self, job: Job) -> bool:
        """Whether the job could go to its model: there, on its way, or about to be."""
        box = self.boxes.get(job.model)
        coming = job.model in self.promised or (box and box.phase in ("starting", "waking"))
        if not coming and (box is None or box.phase != "ready" or self._leaving(job.model)):
            return False
        self.inside[job.model].append(job)
        if box is not None and box.phase == "ready":
            self._fill(box)
        return True

    def _leaving(self, model: str) -> bool:
        return any(model in leaving for leaving in self.promised.values())

    def _fill(self, box: Box) -> None:
        waiting = self.inside[box.model]
        while waiting and box.phase == "ready" and len(box.running) < MODELS[box.model].slots:
            self.world.serve(waiting.pop(0), box)

    def _has(self, box: Box) -> int:
        return MODELS[box.model].asleep_mib if box.phase == "asleep" else self.mib[box.model]

    def _used(self) -> int:
        return sum(map(self._has, self.boxes.values()))

    def _gain(self, box: Box) -> int:
        return self._has(box) - (MODELS[box.model].asleep_mib if self.staging else 0)

    def _need(self, model: str) -> int:
        box = self.boxes.get(model)
        return self.mib[model] - (self._has(box) if box else 0)

    def _swap(self, job: Job) -> bool:
        """Begin to bring the job's model in, if idle models can make room; the job then waits in its server."""
        begun = self._begin(job.model)
        if begun:
            self.inside[job.model].append(job)
        return begun

    def _begin(self, model: str) -> bool:
        box = self.boxes.get(model)
        if box is not None and box.phase != "asleep":
            return False  # it is just going
        free = self.budget_mib - self._used() - sum(map(self._need, self.promised))
        going = {name for leaving in self.promised.values() for name in leaving}
        free += sum(self._gain(self.boxes[name]) for name in going)
        victims: list[Box] = []
        idle = [
            one
            for one in self.boxes.values()
            if one.phase == "ready" and not one.running and not self._leaving(one.model)
        ]
        for one in sorted(idle, key=lambda one: one.last_used):
            if free >= self._need(model):
                break
            victims.append(one)
            free += self._gain(one)
        if free < self._need(model):
            return False
        for one in victims:
            self.world.sleep(one) if self.staging else self.world.stop(one)
        # What is leaving anyway may be more than was asked for; it is waited for too.
        room = self.budget_mib - self._used() - sum(map(self._need, self.promised))
        leaving = {one.model for one in victims}
        if room < self._need(model):
            leaving |= going
        self.promised[model] = leaving
        if not leaving:
            del self.promised[model]
            self._bring(model)
        return True

    def _bring(self, model: str) -> None:
        box = self.boxes.get(model)
        if box is not None:
            self.world.wake(box)
            return
        self.number += 1
        self.boxes[model] = self.world.start(model, f"{model}-{self.number}")


class StrictFifo(ResidentsFirst):
    """First come, first served: nobody is served before one who came earlier. For reference only."""

    def done(self, job: Job, box: Box) -> None:
        self._pump()

    def _pump(self) -> None:
        while self.queue:
            model = self.queue[0].model
            box = self.boxes.get(model)
            if box is None or box.phase == "asleep":
                if model not in self.promised:
                    self._begin(model)
                return
            if box.phase != "ready" or len(box.running) >= MODELS[model].slots:
                return
            self.world.serve(self.queue.pop(0), box)


class Infinite(ResidentsFirst):
    """A card on which everything fits: the bound. Every model is loaded once."""

    def __init__(self, world: World) -> None:
        super().__init__(world, staging=False)
        self.budget_mib = world.card_mib = sum(world.true_mib.values())
