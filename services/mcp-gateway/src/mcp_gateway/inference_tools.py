"""The tools that look at the GPU cards, and the two that give an order."""

from __future__ import annotations

from typing import Annotated

from contracts.base import Contract, Instant
from contracts.gpustatus import CardBrief, OrderTaken
from contracts.scheduling import CardView, ModelView, Name, NodeView, Status
from pydantic import Field

from mcp_gateway.asking import House, given

Model = Annotated[Name, Field(description="The model's name, as `inference_status` lists it.")]
Node = Annotated[
    Name | None, Field(description="Only on this GPU node; without it, wherever it is offered.")
]


class InferenceStatus(Contract):
    """What a client needs to know of the cards: nothing of who asks for what."""

    at: Instant
    paused: bool
    nodes: tuple[NodeView, ...]
    cards: tuple[CardBrief, ...]
    models: tuple[ModelView, ...]
    waiting: int
    held: int


def _brief(card: CardView) -> CardBrief:
    return CardBrief(
        id=card.id,
        total_mib=card.total_mib,
        used_mib=card.used_mib,
        booked_mib=card.booked_mib,
        foreign_mib=card.foreign_mib,
        free_mib=card.free_mib,
    )


class InferenceTools:
    """Each method is a tool of its own name; what a model reads of it stands in `tools.DESCRIPTIONS`."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def inference_status(self) -> InferenceStatus:
        status = await self._house.ask(Status, "GET", "/v1/status")
        return InferenceStatus(
            at=status.at,
            paused=status.paused,
            nodes=status.nodes,
            cards=tuple(_brief(card) for card in status.cards),
            models=status.models,
            waiting=status.queue_total,
            held=len(status.leases),
        )

    async def load_model(self, model: Model, node: Node = None) -> OrderTaken:
        return await self._order(verb="load", on=model, node=node)

    async def unload_model(
        self,
        model: Model,
        node: Node = None,
        sleep: Annotated[
            bool, Field(description="Keep its weights in the node's memory, if it can sleep.")
        ] = False,
    ) -> OrderTaken:
        return await self._order(verb="sleep" if sleep else "evict", on=model, node=node)

    async def _order(self, **order: str | None) -> OrderTaken:
        return await self._house.ask(OrderTaken, "POST", "/v1/orders", json=given(**order))
