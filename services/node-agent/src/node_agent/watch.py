"""What runs on the engine against what is known: taken over after a restart, missed when it dies, removed when it is a stray."""

from __future__ import annotations

import asyncio

from kit import logs
from pydantic import ValidationError

from node_agent import containers, phases
from node_agent.catalogue import Model
from node_agent.containers import labels_of
from node_agent.engine import Found
from node_agent.errors import EngineRefused, EngineUnavailable
from node_agent.node import Node

log = logs.get(__name__)

RETRY_SECONDS = 0.5
RECONCILE_SECONDS = 5.0
CATALOGUE_SECONDS = 2.0
WEIGH_EVERY = 15  # looks


async def adopt(node: Node) -> None:
    """Take over every container of an agent before this one that can be accounted for, and remove the others.

    Tries until the engine answers. Returns when all that runs is known; what it is at is found out after that.
    """
    while True:
        try:
            # Whose cards they are decides what a model's driver takes of them.
            node.vendor = await node.look_at_cards()
            await node.shelf.look()
            await node.shelf.weigh()
            await _adopt_once(node)
            node.engine_error = None
            break
        except (EngineUnavailable, EngineRefused) as error:
            node.engine_error = error.reason
            log.warning("node.not_adopted", code=error.code)
            await node.clock.sleep(RETRY_SECONDS)
    node.adopted.set()
    node.hub.changed()


async def _adopt_once(node: Node) -> None:
    found = await node.engine.containers()
    kept: set[str] = set()
    strays: list[Found] = []
    for one in found:
        network = _take_over(node, one)
        if network is None:
            strays.append(one)
        else:
            kept.add(network)
    await asyncio.gather(*(_remove(node, one) for one in strays))
    for network in await node.engine.networks():
        if network not in kept:
            await node.engine.remove_network(network, node.settings.own_container)
    log.info("node.adopted", instances=len(node.instances), strays=len(strays))


def _take_over(node: Node, found: Found) -> str | None:
    """Make a running container an instance again and return its network; None when it must go."""
    labels = labels_of(found.labels)
    if labels is None or found.state != "running" or node.settings.disabled:
        return None
    try:
        model = Model.model_validate_json(labels.entry)
    except ValidationError:
        return None
    # Another instance of its id, or its network's number twice, cannot be accounted for.
    nets = {instance.labels.net for instance in node.instances.values()}
    if (
        not node.shelf.keeps(labels.model)
        or labels.instance_id in node.instances
        or labels.net in nets
    ):
        return None
    instance = node.instance(labels, model)
    node.instances[labels.instance_id] = instance
    node.fence = max(node.fence, labels.fence)
    instance.resume(found.id)
    return instance.network


async def _remove(node: Node, found: Found) -> None:
    log.warning("node.stray_removed", container=found.name, state=found.state)
    await node.engine.remove(found.id)


async def watch_deaths(node: Node) -> None:
    """Tell instances when their process ends, as the engine says it. Until cancelled."""
    await node.adopted.wait()
    while True:
        try:
            async for container_id in node.engine.deaths():
                for instance in tuple(node.instances.values()):
                    if instance.container_id == container_id:
                        instance.died()
        except EngineUnavailable as error:
            log.warning("engine.silent", code=error.code)
        await node.clock.sleep(RETRY_SECONDS)


async def reconcile(node: Node) -> None:
    """Compare with the engine every few seconds: an event can be missed, and others use the engine too."""
    await node.adopted.wait()
    while True:
        await node.clock.sleep(RECONCILE_SECONDS)
        try:
            await compare(node)
            if node.engine_error is not None:
                log.info("engine.answers_again")
            node.engine_error = None
        except (EngineUnavailable, EngineRefused) as error:
            node.engine_error = error.reason
            node.hub.changed()


async def compare(node: Node) -> None:
    """Once: who is gone has died, and what nobody knows is removed."""
    before = {one.id: one.container_id for one in node.instances.values()}
    found = await node.engine.containers()
    running = {one.id for one in found if one.state == "running"}
    for instance in tuple(node.instances.values()):
        known = before.get(instance.id)
        if (
            known is not None
            and known not in running
            and instance.phase in phases.RUNNING - {"starting"}
        ):
            instance.died()
        elif known is not None and instance.phase == "starting":
            await _look_closer(node, instance.id, known, running)
    names = {containers.container_name(one.id) for one in node.instances.values()}
    for one in found:
        if one.name not in names:
            await _remove(node, one)


async def _look_closer(node: Node, instance_id: str, container_id: str, running: set[str]) -> None:
    """A container that is starting may just not have been started when the list was made."""
    if container_id in running:
        return
    ended = await node.engine.inspect(container_id)
    instance = node.instances.get(instance_id)
    if instance is not None and (ended is None or (not ended.running and ended.exit_code != 0)):
        instance.died()


async def watch_catalogue(node: Node) -> None:
    """Read the catalogue again when it changes; look now and then for images and files that have come."""
    await node.adopted.wait()
    looks = 0
    while True:
        await node.clock.sleep(CATALOGUE_SECONDS)
        await node.shelf.look()
        looks += 1
        if looks % WEIGH_EVERY == 0:
            await node.shelf.weigh()
