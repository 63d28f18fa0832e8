"""Everything at once: gateways that come and go, callers that give up, models that die, a link that is cut.

Whatever happens, a request is granted to one place at a time, every one of them ends, a card is never booked beyond what
it has, and nothing is left behind.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contracts.scheduling import Ask, Began, Cancel, Ended, Hello, Running
from gpu_scheduler.core.ledger import by_card, card_sum
from gpu_scheduler.core.model import State
from gpu_scheduler.loop import Turn
from kit.testing.bus import until

from .a_house import Gateway, House
from .a_node import model

pytestmark = pytest.mark.integration
CLASSES = ("voice", "interactive", "agent", "batch")
MODELS = ("a", "b", "c", "d", "e")
STORM_SECONDS = 8.0


class Player:
    """A gateway that behaves, with callers that do not."""

    def __init__(self, gateway: Gateway, dice: random.Random) -> None:
        self.gateway, self.dice = gateway, dice
        self.waiting: dict[str, Ask] = {}
        self.running: dict[str, Running] = {}
        self.over: dict[str, str] = {}
        self.wrong: list[str] = []
        self.count = 0
        self.link = asyncio.Lock()
        self.tasks: set[asyncio.Task[None]] = set()

    async def say(self, message: Any) -> None:
        """Say something over a connection that has said hello."""
        async with self.link:
            await self.gateway.say(message)

    async def ask(self) -> None:
        """Ask for something."""
        self.count += 1
        name = f"{self.count}"
        self.waiting[name] = Ask(
            request_id=name,
            model=self.dice.choice(MODELS),
            service_class=self.dice.choice(CLASSES),
            caller=f"person:{self.dice.randrange(4)}",
            work_seconds=0.2,
        )
        await self.say(self.waiting[name])

    async def cancel(self) -> None:
        """A caller gives up."""
        names = [*self.waiting, *self.running]
        if names:
            name = self.dice.choice(names)
            self.waiting.pop(name, None)
            self.running.pop(name, None)
            self.over[name] = "cancelled"
            await self.say(Cancel(request_id=name))

    async def reconnect(self) -> None:
        """Lose the connection and come back within the grace: name what runs at that moment, ask for what waits."""
        async with self.link:
            await self.gateway.cut()
            self.gateway.told.clear()
            await self.gateway.connect(hello=False)
            running = tuple(self.running.values())
            await self.gateway.say(Hello(gateway=self.gateway.name, running=running))
            for name in list(self.waiting):
                if name in self.waiting:
                    await self.gateway.say(self.waiting[name])

    def listen(self) -> None:
        """Take in what was told."""
        told, self.gateway.told = self.gateway.told, []
        for word in told:
            name = getattr(word, "request_id", "")
            if word.type == "granted" and name in self.waiting:
                ask = self.waiting.pop(name)
                self.running[name] = Running(
                    ask=ask, instance_id=word.instance_id, fence=word.fence, first_byte=False
                )
                self._soon(self._work(name, word.fence))
            elif word.type == "granted" and name not in self.over:
                self.wrong.append(f"{name} was granted twice")
            elif word.type == "refused" and name not in self.over:
                self.waiting.pop(name, None)
                self.running.pop(name, None)
                self.over[name] = word.code
            elif word.type == "preempted" and name in self.running:
                one = self.running[name]
                if not one.first_byte:
                    del self.running[name]
                    self.waiting[name] = one.ask
                    ended = Ended(request_id=name, fence=one.fence, outcome="preempted")
                    self._soon(self.say(ended))

    async def _work(self, name: str, fence: int) -> None:
        await asyncio.sleep(self.dice.uniform(0, 0.1))
        if (one := self.running.get(name)) is None or one.fence != fence:
            return
        self.running[name] = one.model_copy(update={"first_byte": True})
        await self.say(Began(request_id=name))
        await asyncio.sleep(self.dice.uniform(0, 0.3))
        if (one := self.running.get(name)) is None or one.fence != fence:
            return
        del self.running[name]
        self.over[name] = "ok"
        await self.say(Ended(request_id=name, fence=fence, outcome="ok", seconds=0.2))

    def _soon(self, work: Any) -> None:
        async def run() -> None:
            try:
                await work
            except (ConnectionError, RuntimeError):
                pass  # said into a connection that is gone: it is said again by the next hello

        task = asyncio.create_task(run())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class Watch:
    """Looks at the state after every turn."""

    def __init__(self) -> None:
        self.wrong: set[str] = set()
        self.turns = 0

    def __call__(self, state: State, turn: Turn) -> float | None:
        self.turns += 1
        on = by_card(state)
        for card in state.cards.values():
            sums = card_sum(state, card, on[card.id], False, turn.now)
            if sums.booked + sums.foreign > card.total_mib:
                self.wrong.add(f"{sums.booked} + {sums.foreign} are booked of {card.total_mib}")
        for instance in state.instances.values():
            deployment = state.deployments.get(instance.deployment)
            if deployment and len(instance.running) > deployment.slots:
                self.wrong.add(f"{instance.id} has {len(instance.running)} of {deployment.slots}")
        return None


async def _trouble(house: House, dice: random.Random, player: Player) -> None:
    """One thing goes wrong."""
    what = dice.choice(("die", "die", "refuse", "drop", "cut", "reconnect", "reconnect"))
    ready = [one for one in house.node.instances.values() if one.phase == "ready"]
    if what == "die" and ready:
        one = dice.choice(ready)
        one.phase, one.error = "failed", "killed"
        house.node.changed()
    elif what == "refuse":
        house.node.refuse = {"sleep": (503, "node.busy")}
        await asyncio.sleep(0.2)
        house.node.refuse = {}
    elif what == "drop":
        house.node.drop = 1
    elif what == "cut":
        house.proxy.cut()
        await asyncio.sleep(0.2)
        house.proxy.closed = False
    elif what == "reconnect":
        await player.reconnect()


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_storm_leaves_nothing_behind_and_never_overbooks(
    start: Callable[..., Any], gateways: Callable[..., Gateway], tmp_path: Path, seed: int
) -> None:
    policy = tmp_path / "scheduling.yaml"
    # Models die so often here that a household's patience with them would outlast the test's.
    policy.write_text("{version: 1, crash_backoff_s: 0.3, crash_backoff_max_s: 2}")
    async with start(LARES_SCHEDULING_FILE=str(policy)) as house:
        await _storm(house, gateways, seed)


async def _storm(house: House, gateways: Callable[..., Gateway], seed: int) -> None:
    dice = random.Random(seed)
    sleeps = {
        "can_sleep": True,
        "asleep_mib": 200,
        "asleep_ram_mib": 1000,
        "min_dwell_seconds": 0.1,
    }
    house.node.models.clear()
    for number, name in enumerate(MODELS):
        house.node.offer(model(name, 5000 + 700 * number, slots=1 + number % 3, **sleeps))
    watch = Watch()
    house.scheduler.house.loop.watch(watch)
    players = [Player(gateways(house.url, f"g{n}"), dice) for n in range(3)]
    for player in players:
        await player.gateway.connect()
        await player.gateway.offered("a", available=True)

    async def listen() -> None:
        while True:
            for player in players:
                player.listen()
            await asyncio.sleep(0.005)

    listening = asyncio.create_task(listen())
    clock = asyncio.get_running_loop().time
    end = clock() + STORM_SECONDS
    while clock() < end:
        player = dice.choice(players)
        throw = dice.random()
        if throw < 0.8:
            await player.ask()
        elif throw < 0.93:
            await player.cancel()
        else:
            await _trouble(house, dice, player)
        await asyncio.sleep(dice.uniform(0, 0.06))
    state = house.scheduler.house.loop.state
    try:
        await until(lambda: not any(player.waiting or player.running for player in players), 60)
        await until(lambda: not state.requests, 10)
    except TimeoutError:
        left = [(player.gateway.name, player.waiting, player.running) for player in players]
        pytest.fail(
            f"left behind: {left}\n{state.requests}\n{state.instances}\n{state.books}\n"
            f"{house.node.state()}\n{list(state.journal)[-20:]}"
        )
    listening.cancel()
    assert watch.turns > 100
    assert not watch.wrong
    assert [player.wrong for player in players] == [[], [], []]
    assert sum(player.count for player in players) == sum(len(player.over) for player in players)
    assert not state.granted
    assert not state.queue
    assert not state.doomed
    assert all(not instance.running for instance in state.instances.values())
    served = [how for player in players for how in player.over.values()]
    assert served.count("ok") > len(served) / 3
