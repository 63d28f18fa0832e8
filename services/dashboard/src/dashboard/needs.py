"""What needs me? Asked of every service that may know, answered with what could be learnt."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from contracts.agents import ConfirmationList
from contracts.gpustatus import Trouble, TroubleList
from contracts.system import ContainerList, ContainerState
from kit import logs
from kit.client import Reply
from kit.errors import KitError
from pydantic import BaseModel, ValidationError

from dashboard.neighbours import Neighbours
from dashboard.schemas import Need, Needs

log = logs.get(__name__)
NEEDS_MAX = 20
T = TypeVar("T", bound=BaseModel)


async def gather(behind: Neighbours, *, owner: bool) -> Needs:
    """Return what waits for a person: decisions first, then what is broken in the house (its owner's concern)."""
    confirmations, containers, troubles = await asyncio.gather(
        _ask(behind.orchestrator.get("/v1/confirmations"), ConfirmationList, "orchestrator"),
        _ask(behind.registry.get("/v1/containers"), ContainerList, "state-registry"),
        _troubles(behind, owner=owner),
    )
    needs: list[Need] = []
    unknown: list[str] = []
    if isinstance(confirmations, str):
        unknown.append(confirmations)
    else:
        needs += [
            Need(
                kind="confirmation",
                title="A decision waits for you",
                detail=pending.description,
                href=f"/?c={pending.conversation_id}",
            )
            for pending in confirmations.confirmations
        ]
    if isinstance(containers, str):
        unknown.append(containers)
    elif owner:
        needs += broken(containers)
    if isinstance(troubles, str):
        unknown.append(troubles)
    else:
        needs += [about(trouble) for trouble in troubles.troubles]
    return Needs(needs=tuple(needs[:NEEDS_MAX]), unknown=tuple(unknown))


def broken(reading: ContainerList) -> list[Need]:
    """Return a need for each container that is not well, or one for a reading too old to tell."""
    if reading.stale:
        detail = "The reader of container states has gone quiet. What System shows is old."
        return [
            Need(
                kind="snapshot",
                title="The state of the house is unknown",
                detail=detail,
                href="/system",
            )
        ]
    return [
        Need(kind="container", title=f"{container.name} is {ill}", href="/system")
        for container in reading.containers
        if (ill := illness(container)) is not None
    ]


async def _troubles(behind: Neighbours, *, owner: bool) -> TroubleList | str:
    # What the cards do is shown to the owner alone, and asked for by nobody else.
    if not owner:
        return TroubleList(troubles=())
    return await _ask(behind.scheduler.get("/v1/troubles"), TroubleList, "gpu-scheduler")


def about(trouble: Trouble) -> Need:
    """Return the need for what is wrong with a card, a node or a model."""
    title = {
        "card_over_budget": f"{trouble.on} is over its budget",
        "node_away": f"{trouble.on} cannot be reached",
        "crash_loop": f"{trouble.on} does not start",
    }[trouble.kind]
    return Need(kind="cards", title=title[:200], detail=trouble.why, href="/inference")


def illness(container: ContainerState) -> str | None:
    """Return in a word what is wrong with a container, or None. A finished one-shot job is well."""
    if container.state == "finished":
        return None
    if container.state != "running":
        return container.state
    return "unhealthy" if container.health == "unhealthy" else None


async def _ask(call: Awaitable[Reply], model: type[T], service: str) -> T | str:
    """Return the answer, or the name of the service that gave none."""
    try:
        reply = await call
        return model.model_validate_json(reply.body)
    except KitError as error:
        log.info("needs.unknown", service_asked=service, code=error.code)
    except ValidationError:
        log.warning("needs.unreadable", service_asked=service)
    return service
