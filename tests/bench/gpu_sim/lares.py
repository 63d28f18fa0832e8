"""gpu-scheduler's real core on the simulated machine: what happens becomes events, its actions become deeds.

The node says how it is at every change, once more a moment after (so that the card is read again when something has
left it) and once a second, as node-agent does. Beside that the core is asked to plan every quarter of a second while
somebody waits.
"""

from __future__ import annotations

from collections.abc import Mapping

from gpu_scheduler.core import Policy, State, apply, commit, plan
from gpu_scheduler.core import actions as told
from gpu_scheduler.core.events import (
    Asked,
    CardSeen,
    Done,
    Event,
    FirstByte,
    InstanceSeen,
    NodeSeen,
    PeaksLearned,
)
from gpu_scheduler.core.model import Deployment, Phase, Request, ServiceClass

from .arrivals import Job
from .home import MODELS, RAM_BUDGET_MIB
from .world import Box, World

NODE, CARD, ORIGIN = "sim", "GPU-0", "gateway"
TICK_S, READ_AGAIN_S = 0.25, 0.2


class Lares:
    """The scheduler's loop without its clock and its network.

    `predicted_mib`: what the node predicts of each model; without `measured` nothing has been measured yet.
    """

    def __init__(
        self,
        world: World,
        policy: Policy,
        staging: bool,
        predicted_mib: Mapping[str, int] | None = None,
        measured: bool = True,
    ) -> None:
        self.world = world
        self.state = State(policy, epoch=1, started_at=0.0)
        self.jobs: dict[str, Job] = {}
        self.fences: dict[str, int] = {}  # box -> its fence
        self.peaks: dict[str, int] = {}  # box -> the most that was read
        self._read_again = False
        self._ticking = False
        predicted = predicted_mib or world.true_mib
        self.deployments = tuple(
            deployment_of(name, predicted[name], staging) for name in sorted(MODELS)
        )
        if measured:
            peaks = {
                (NODE, d.model, d.fingerprint): world.true_mib[d.model] for d in self.deployments
            }
            apply(self.state, PeaksLearned(peaks), 0.0)
        self._node_seen()

    # what the machine says

    def arrived(self, job: Job) -> None:
        self.jobs[job.id] = job
        request = Request(
            id=job.id,
            origin=ORIGIN,
            model=job.model,
            service_class=ServiceClass(job.service_class),
            caller=job.caller,
            arrived=self.world.now,
            seq=len(self.jobs),
            prompt_tokens=job.tokens_told,
        )
        self._take(Asked(request))

    def first_byte(self, job: Job, box: Box) -> None:
        self._take(FirstByte(job.id))

    def done(self, job: Job, box: Box) -> None:
        seconds = job.work_s
        self._take(Done(job.id, "ok", self.state.requests[job.id].fence or 0, seconds))

    def changed(self, box: Box) -> None:
        self._node_seen(left=box if box.phase == "stopped" else None)
        self._decide()
        if not self._read_again:
            self._read_again = True
            self.world.later(READ_AGAIN_S, self._again)

    def beat(self) -> None:
        self._node_seen()
        self._decide()

    # what the core is told

    def _again(self) -> None:
        self._read_again = False
        self.beat()

    def _tick(self) -> None:
        self._ticking = False
        self._decide()

    def _take(self, event: Event) -> None:
        apply(self.state, event, self.world.now)
        self._decide()

    def _decide(self) -> None:
        now = self.world.now
        for action in plan(self.state, now):
            commit(self.state, action, now)
            self._do(action)
        if self.state.queue and not self._ticking:
            self._ticking = True
            self.world.later(TICK_S, self._tick)

    def _node_seen(self, left: Box | None = None) -> None:
        boxes = [*self.world.boxes.values(), *([left] if left else [])]
        for box in boxes:
            self.peaks[box.id] = max(self.peaks.get(box.id, 0), box.mib)
        card = CardSeen(
            CARD,
            0,
            self.world.card_mib,
            self.world.used_mib,
            {box.id: box.mib for box in boxes if box.mib},
        )
        apply(
            self.state,
            NodeSeen(
                NODE,
                "boot",
                self.world.now,
                (card,),
                self.deployments,
                tuple(self._instance_seen(box) for box in boxes),
                ram_budget_mib=RAM_BUDGET_MIB,
            ),
            self.world.now,
        )

    def _instance_seen(self, box: Box) -> InstanceSeen:
        return InstanceSeen(
            box.id,
            box.model,
            (CARD,),
            Phase(box.phase),
            self.fences[box.id],
            {CARD: self.peaks[box.id]},
            took_s=box.took_s,
            in_flight=len(box.running),
            fingerprint=fingerprint_of(box.model),
        )

    # what the core decides

    def _do(self, action: told.Action) -> None:
        world = self.world
        match action:
            case told.Grant():
                world.serve(self.jobs[action.request_id], world.boxes[action.instance_id])
            case told.Refuse():
                world.refuse(self.jobs[action.request_id], action.why)
            case told.Preempt():
                world.later(0.0, lambda: self._give_back(action.request_id))
            case told.Start():
                self.fences[action.instance_id] = action.fence
                world.start(action.deployment[1], action.instance_id)
            case told.Wake():
                self.fences[action.instance_id] = action.fence
                world.wake(world.boxes[action.instance_id])
            case told.Sleep():
                self.fences[action.instance_id] = action.fence
                world.sleep(world.boxes[action.instance_id])
            case told.Stop():
                self.fences[action.instance_id] = action.fence
                world.stop(world.boxes[action.instance_id])
            case told.Hold():
                pass  # nothing is sent for it
            case _:
                raise RuntimeError(f"not of this simulation: {action}")

    def _give_back(self, request_id: str) -> None:
        """The gateway ends the upstream and gives the place back; it may have begun to answer meanwhile."""
        job, request = self.jobs[request_id], self.state.requests.get(request_id)
        if request is None or request.queued or job.first_at is not None:
            return
        world = self.world
        box = world.boxes[request.instance or ""]
        seconds = world.now - (job.granted_at or world.now)
        world.take_back(job, box)
        self._take(Done(request_id, "preempted", request.fence or 0, seconds))


def fingerprint_of(model: str) -> str:
    """Return what stands for a model's weights and settings."""
    return f"{model}-1"


def deployment_of(name: str, predicted_mib: int, staging: bool) -> Deployment:
    """Return a home model as its node declares it. Without staging it cannot sleep."""
    model = MODELS[name]
    return Deployment(
        node=NODE,
        model=name,
        kind=model.kind,
        fingerprint=fingerprint_of(name),
        predicted_mib=predicted_mib,
        asleep_mib=model.asleep_mib if staging else 0,
        ram_mib=1_000 if not staging else model.mib,
        asleep_ram_mib=model.mib if staging else 0,
        can_sleep=staging,
        slots=model.slots,
        start_s=model.start_s,
        wake_s=model.wake_s,
        sleep_s=model.sleep_s,
        stop_s=model.stop_s,
        min_dwell_s=model.min_dwell_s,
        idle_sleep_s=None,  # nothing rests unless somebody needs its room, as with the others
        idle_stop_s=None,
    )
