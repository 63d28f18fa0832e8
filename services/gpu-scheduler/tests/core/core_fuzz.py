"""A random house, lived in for a while: seeds make houses, faults and callers; then all faults end and it must come to rest."""

from __future__ import annotations

import random
from dataclasses import replace

from core_callers import Asking, FakeAgent, Gateway, Holder
from core_node import FakeCard, FakeNode, Faults
from core_world import World
from gpu_scheduler.core.events import AgentGone, Asked, Ordered, Withdrawn
from gpu_scheduler.core.model import Deployment, Phase, Policy, Request, ServiceClass
from gpu_scheduler.core.policy import household

CLASSES = list(ServiceClass)
GRACE_S = 2.0
QUIET_S = 3000.0


def patient() -> Policy:
    """The household's, but nobody is refused for having waited: whoever is stuck stays stuck, and is found."""
    policy = household()
    return replace(
        policy,
        classes={
            kind: replace(one, wait_max_s=1e9, queue_max=10**6)
            for kind, one in policy.classes.items()
        },
        queue_max=10**6,
        caller_queue_max=10**6,
        crash_backoff_max_s=60.0,
    )


class Fuzz:
    """One seed's house."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed * 7919 + 1)
        self.world = World(seed, patient())
        self.faulty = rng.random() < 0.8
        self.faults = self._faults()
        self.asked: list[tuple[Gateway, Asking]] = []
        self.agents: list[FakeAgent] = []
        self.pace = rng.choice((1.0, 3.0, 8.0))
        self.number = 0
        self.quiet = False
        self.models: list[str] = []
        for index in range(rng.choice((1, 1, 2, 3))):
            self._node(f"node{index}")
        for index in range(rng.choice((1, 2, 3))):
            gateway = Gateway(f"gw{index}", self.world, random.Random(rng.random()))
            self.world.gateways[gateway.name] = gateway

    def _faults(self) -> Faults:
        rng = self.rng
        if not self.faulty:
            return Faults()
        return Faults(
            crash=rng.choice((0.0, 0.01, 0.05)),
            oom=rng.choice((0.0, 0.05)),
            fail_start=rng.choice((0.0, 0.1)),
            action_lost=rng.choice((0.0, 0.05)),
            action_refused=rng.choice((0.0, 0.03)),
            sleep_keeps=rng.choice((0.0, 0.05)),
            slow_free=rng.choice((0.0, 0.3)),
            foreign=rng.random() < 0.4,
            unread=rng.choice((0.0, 0.05)),
        )

    def _node(self, name: str) -> None:
        rng = self.rng
        cards = [
            FakeCard(f"{name}-c{i}", i, rng.choice((12288, 16384, 24576)))
            for i in range(rng.choice((1, 1, 2, 3)))
        ]
        deployments: list[Deployment] = []
        truth: dict[str, int] = {}
        budget = rng.choice((8000, 24000, 64000))
        for index in range(rng.randint(3, 9)):
            # Some models are to be had on several nodes.
            model = f"m{index}" if rng.random() < 0.4 else f"{name}-m{index}"
            wide = rng.random() < 0.15 and len(cards) > 1
            predicted = rng.choice(
                (rng.randint(300, 3000), rng.randint(2000, 9000), rng.randint(3000, 13000))
            )
            truth[model] = max(100, int(predicted * rng.uniform(0.7, 1.3)))
            sleeps = rng.random() < 0.6
            deployments.append(
                Deployment(
                    name,
                    model,
                    "chat",
                    f"{index:016x}",
                    predicted,
                    asleep_mib=rng.choice((0, 150, 400)) if sleeps else 0,
                    ram_mib=rng.choice((0, 300, 1500)),
                    asleep_ram_mib=int(predicted * 0.9) if sleeps else 0,
                    can_sleep=sleeps,
                    cards=(rng.choice(cards).id,) if rng.random() < 0.1 and not wide else (),
                    cards_needed=2 if wide else 1,
                    slots=rng.choice((1, 1, 2, 4, 8)),
                    start_s=rng.choice((0.5, 3.0, 12.0)),
                    wake_s=rng.choice((0.2, 1.5)),
                    sleep_s=rng.choice((0.2, 1.0)),
                    stop_s=rng.choice((0.1, 1.0)),
                    group="big" if rng.random() < 0.15 else None,
                    pinned=rng.random() < 0.05,
                    min_dwell_s=rng.choice((0.0, 2.0, 5.0)),
                    idle_sleep_s=rng.choice((None, 5.0, 60.0)),
                    idle_stop_s=rng.choice((None, 30.0, 300.0)),
                )
            )
        node = FakeNode(
            name,
            cards,
            deployments,
            truth,
            budget,
            random.Random(rng.random()),
            self.faults,
            self.world.later,
            lambda: self.world.now,
        )
        node.tell = self.world.tell  # type: ignore[assignment]
        node.wakeable = rng.random() < 0.3
        self.world.nodes[name] = node
        self.models.extend(d.model for d in deployments)
        self.world.later(rng.uniform(0.0, 1.0), lambda: self.world.heartbeat(node))

    # Life.

    def run(self, seconds: float) -> World:
        """Live for a while, then let all faults end, and look whether the house comes to rest."""
        self.world.later(1.0, self._somebody)
        if self.faulty:
            self.world.later(5.0, self._something)
        self.world.run_until(seconds)
        self.calm()
        self.world.run_until(seconds + 20.0)
        until = seconds + QUIET_S
        while self.world.now < until and self._unrest():
            self.world.run_until(self.world.now + 20.0)
        self.world.run_until(self.world.now + 90.0)  # what is remembered of failures ends, too
        self.at_rest()
        return self.world

    def _somebody(self) -> None:
        if self.quiet:
            return
        rng = self.rng
        burst = rng.choice((1, 1, 1, 2, 6))
        for _ in range(burst):
            if rng.random() < 0.06:
                self._lease()
            else:
                self._ask()
        if rng.random() < 0.02 and len(self.agents) < 8:
            self.agents.append(FakeAgent(f"agent{len(self.agents)}", self.world, 20.0))
        self.world.later(rng.expovariate(self.pace / burst), self._somebody)

    def _request(self, model: str, origin: str, lease: bool) -> Request:
        rng = self.rng
        self.number += 1
        alive = [a for a in self.agents if a.alive]
        return Request(
            id=f"r{self.number}",
            origin=origin,
            model=model,
            service_class=rng.choice(CLASSES),
            caller=f"caller{rng.randint(0, 3)}",
            arrived=self.world.now,
            seq=0,
            work_s=rng.choice((0.5, 2.0)),
            agent=rng.choice(alive).name if alive and rng.random() < 0.2 else None,
            lease=lease,
            deadline=self.world.now + rng.uniform(1, 60) if rng.random() < 0.1 else None,
        )

    def _ask(self) -> None:
        rng = self.rng
        gateways = [g for g in self.world.gateways.values() if g.connected]
        if not gateways:
            return
        gateway = rng.choice(gateways)
        # A few models are what most ask for.
        model = self.models[min(int(rng.expovariate(0.4)), len(self.models) - 1)]
        if rng.random() < 0.01:
            model = "nobody-has-it"
        request = self._request(model, gateway.name, False)
        seconds = rng.choice((0.1, 0.3, 1.0, 4.0))
        asking = Asking(request, seconds, rng.uniform(0.0, seconds))
        self.asked.append((gateway, asking))
        gateway.ask(asking)
        if rng.random() < 0.05:
            self.world.later(
                rng.uniform(0.0, 10.0),
                lambda: gateway.cancel(request.id) if asking.state != "ended" else None,
            )

    def _lease(self) -> None:
        rng = self.rng
        bare = rng.random() < 0.4
        request = self._request("" if bare else rng.choice(self.models), "", True)
        request.origin = f"lease:{request.id}"
        request.lease_ttl_s = 6.0
        if bare:
            request.lease_mib = rng.randint(200, 6000)
            if rng.random() < 0.3:
                node = rng.choice(list(self.world.nodes.values()))
                request.lease_card = rng.choice(list(node.cards))
        holder = Holder(replace(request), self.world, rng.uniform(1.0, 20.0), rng.random() < 0.2)
        self.world.holders[request.id] = holder
        if self.world.stalled:
            holder.over()
            return
        self.world.tell(Asked(request))
        if rng.random() < 0.1:
            self.world.later(5.0, lambda: self._give_up(holder))

    def _give_up(self, holder: Holder) -> None:
        if holder.state == "waiting" and not self.world.stalled:
            holder.over()
            self.world.tell(Withdrawn(holder.request.id))

    def _something(self) -> None:
        """Something goes wrong, or is ordered."""
        if self.quiet:
            return
        node = self.rng.choice(list(self.world.nodes.values()))
        what = self.rng.choice(
            (
                lambda: self._crash(node),
                lambda: self._crash(node),
                lambda: self._silence(node),
                self._cut,
                self._cut,
                self._kill_gateway,
                self._agent_dies,
                lambda: self._order(node.name),
                lambda: self._order(node.name),
                lambda: self._foreign(node) if self.faults.foreign else None,
                self._restart,
                lambda: None,
            )
        )
        what()
        self.world.later(self.rng.expovariate(1 / 3.0), self._something)

    def _crash(self, node: FakeNode) -> None:
        instances = list(node.instances)
        if instances and self.rng.random() < self.faults.crash * 20:
            node.crash(self.rng.choice(instances))

    def _silence(self, node: FakeNode) -> None:
        if node.up:
            node.down()
            rebooted = self.rng.random() < 0.4
            self.world.later(
                self.rng.choice((1.0, 5.0, 40.0)),
                lambda: node.back(rebooted) if not node.up else None,
            )

    def _cut(self) -> None:
        gateway = self.rng.choice(list(self.world.gateways.values()))
        gateway.cut(self.rng.choice((0.2, 1.0, 5.0)), GRACE_S)

    def _kill_gateway(self) -> None:
        gateway = self.rng.choice(list(self.world.gateways.values()))
        if gateway.connected:
            gateway.killed()

    def _agent_dies(self) -> None:
        if self.agents:
            agent = self.rng.choice(self.agents)
            agent.alive = False
            if self.rng.random() < 0.5:
                self.world.tell(AgentGone(agent.name))

    def _restart(self) -> None:
        if not self.world.stalled and self.rng.random() < 0.3:
            self.world.restart(self.rng.uniform(0.1, 4.0))

    def _order(self, node: str) -> None:
        rng = self.rng
        model = rng.choice(self.models)
        verb = rng.choice(("load", "sleep", "evict", "pin", "unpin", "ban", "pause", "drain_node"))
        tell = self.world.tell
        tell(Ordered(verb, node if verb == "drain_node" else model))
        undo = {"ban": "allow", "pause": "resume", "drain_node": "resume_node", "pin": "unpin"}
        if verb in undo:
            on = node if verb == "drain_node" else model
            self.world.later(rng.uniform(1.0, 15.0), lambda: tell(Ordered(undo[verb], on)))

    def _foreign(self, node: FakeNode) -> None:
        """Somebody plays: they get only what is physically there."""
        card = self.rng.choice(list(node.cards.values()))
        ours = sum(
            i.true_mib
            for i in node.instances.values()
            if card.id in i.cards and i.phase is not Phase.ASLEEP
        )
        want = self.rng.choice((0, 0, 500, 3000))
        card.foreign_mib = max(0, min(want, card.total_mib - ours - 1500))
        node.changed()

    # Rest.

    def calm(self) -> None:
        """No faults any more, everything is back, nothing new is asked for."""
        self.quiet = True
        for name in vars(self.faults):
            setattr(self.faults, name, 0.0)
        # A scheduler that is being restarted hears nothing.
        self.world.later(6.0, self._take_back)

    def _take_back(self) -> None:
        """The owner's orders and the others' use of the cards end, and whoever was away is back."""
        world = self.world
        for model in self.models:
            world.tell(Ordered("allow", model))
            world.tell(Ordered("unpin", model))
        world.tell(Ordered("resume"))
        for node in world.nodes.values():
            world.tell(Ordered("resume_node", node.name))
            for card in node.cards.values():
                card.foreign_mib = 0
            if not node.up:
                world.later(1.0, lambda n=node: n.back(False) if not n.up else None)

    def _unrest(self) -> bool:
        return bool(self.world.state.requests) or any(
            asking.state != "ended" for _, asking in self.asked
        )

    def at_rest(self) -> None:
        """Everybody has an answer, and nothing is left over."""
        world, state = self.world, self.world.state
        for gateway, asking in self.asked:
            if asking.state != "ended":
                world.wrong(
                    f"{asking.request.id} of {gateway.name} has no answer: {asking}; "
                    f"{state.requests.get(asking.request.id)}; {state.instances.values()}"
                )
        for holder in world.holders.values():
            if holder.state in ("waiting", "held"):
                world.wrong(f"the lease {holder.request.id} is {holder.state}")
        if state.requests or state.granted or state.queue or state.doomed:
            world.wrong(f"left over: {list(state.requests.values())[:3]} {state.doomed}")
        for instance in state.instances.values():
            resting = instance.phase in (Phase.READY, Phase.ASLEEP)
            # Who has idled for long may be going to sleep at this very moment.
            if instance.running or not (resting or world.now - instance.since < 10.0):
                world.wrong(f"not at rest: {instance}")
            node = world.nodes[instance.deployment[0]]
            if resting and instance.id not in node.instances:
                world.wrong(f"{instance.id} does not run")
        for card in state.cards.values():
            if any(world.now - remnant.since > 10.0 for remnant in card.remnants.values()):
                world.wrong(f"{card.id} still has {card.remnants}")
        for node in world.nodes.values():
            if node.overcommits:
                world.wrong(f"over-committed: {node.overcommits}")


def fuzz(seed: int, seconds: float = 120.0) -> World:
    """Live through one seed; raises Wrong, naming it."""
    return Fuzz(seed).run(seconds)
