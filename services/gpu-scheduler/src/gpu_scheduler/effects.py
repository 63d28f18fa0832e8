"""Carries out what was decided: words to gateways and holders of leases, actions to nodes. Nothing waits in here."""

from __future__ import annotations

from contracts.gpunode import INSTANCES_PATH, NodeAction
from contracts.scheduling import Granted
from kit import logs
from kit.clock import Clock

from gpu_scheduler.core.actions import (
    Action,
    Drain,
    Grant,
    Hold,
    Preempt,
    Refuse,
    Revoke,
    Sleep,
    Start,
    Stop,
    Wake,
    WakeNode,
)
from gpu_scheduler.core.codes import NODE_AWAY
from gpu_scheduler.core.events import Done
from gpu_scheduler.core.model import Request, State
from gpu_scheduler.fleet import Fleet
from gpu_scheduler.gateways import Gateways
from gpu_scheduler.journal import Journal
from gpu_scheduler.leases import Leases
from gpu_scheduler.loop import Loop
from gpu_scheduler.numbers import Numbers

log = logs.get(__name__)


class Hands:
    """The real effects."""

    def __init__(self, clock: Clock, numbers: Numbers, journal: Journal) -> None:
        self._clock = clock
        self._numbers = numbers
        self._journal = journal
        self._sent = 0
        self._loop: Loop
        self._gateways: Gateways
        self._leases: Leases
        self._fleet: Fleet

    def wire(self, loop: Loop, gateways: Gateways, leases: Leases, fleet: Fleet) -> None:
        """Name those who carry things out; they in turn need the loop."""
        self._loop, self._gateways, self._leases, self._fleet = loop, gateways, leases, fleet

    def do(self, action: Action, request: Request | None, state: State) -> None:
        """Begin to carry out an action; failures come back as events."""
        self._journal.note(action, request, state)
        match action:
            case Grant():
                if request is not None:
                    self._grant(action, request, state)
            case Refuse():
                if request is not None:
                    self._refuse(action, request)
            case Preempt():
                self._numbers.preempted.inc()
                if request is not None and not request.lease:
                    self._gateways.preempted(request, action.why)
            case Revoke():
                if request is not None:
                    self._leases.revoked(request, action.why)
            case Start() | Wake() | Sleep() | Drain() | Stop():
                self._tell_node(action, state)
            case WakeNode():
                self._fleet.wake(action.node)
            case Hold():
                pass  # it is kept in the state, and nobody else needs to know

    def _grant(self, action: Grant, request: Request, state: State) -> None:
        waited = max(0.0, self._clock.monotonic() - request.arrived)
        self._numbers.granted.labels(request.service_class.value).inc()
        self._numbers.waited.labels(request.service_class.value).observe(waited)
        if request.lease:
            self._leases.granted(request, action.why, state)
            return
        name = state.instances[action.instance_id].deployment[0]
        node = self._fleet.node(name)
        if node is None:
            # It has left the house between its last word and now.
            self._loop.follow(Done(request.id, "lost", action.fence))
            self._gateways.refused(request, NODE_AWAY, f"{name} has left the house", None)
            return
        self._gateways.say(
            request,
            Granted(
                request_id=request.id.partition(":")[2],
                node=name,
                node_url=node.url,
                tls_name=node.tls_name,
                instance_id=action.instance_id,
                path=f"{INSTANCES_PATH}/{action.instance_id}",
                fence=action.fence,
                waited_seconds=waited,
                why=action.why[:500],
            ),
        )

    def _refuse(self, action: Refuse, request: Request) -> None:
        self._numbers.refused.labels(action.code, request.service_class.value).inc()
        if request.lease:
            self._leases.refused(request, action.code, action.why)
        else:
            self._gateways.refused(request, action.code, action.why, action.retry_after_s)

    def _tell_node(self, action: Start | Wake | Sleep | Drain | Stop, state: State) -> None:
        verb = type(action).__name__.lower()
        self._sent += 1
        instance = state.instances[action.instance_id]
        node, model = instance.deployment
        self._numbers.switches.labels(verb).inc()
        log.info("model.moved", verb=verb, instance_id=action.instance_id, model=model, node=node)
        self._fleet.send(
            node,
            NodeAction(
                action_id=f"{state.epoch}-{self._sent}-{verb}",
                fence=action.fence,
                verb=verb,  # type: ignore[arg-type]
                instance_id=action.instance_id,
                model=model,
                cards=instance.cards,
                charge_mib=instance.charge_mib,
            ),
        )
