"""The life of an instance, told over HTTP to a node whose engine is played."""

from __future__ import annotations

import asyncio

from .conftest import LLM, MODEL, House


async def test_a_model_starts_answers_sleeps_wakes_and_stops(house: House) -> None:
    async with house.agent():
        instance = await house.ready()
        container = house.engine.named("a")
        assert container is not None
        reply = await house.ask()
        assert await reply.text() == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
        await house.act("sleep")
        house.engine.model(LLM).asleep = True  # llama.cpp goes by itself once it is idle
        await house.until("asleep")
        await house.act("wake")
        await house.until("ready")
        assert not house.engine.model(LLM).asleep
        await house.act("stop")
        await house.until("stopped")
        assert house.engine.containers == {}
        assert house.engine.networks == {}
        assert instance.took_seconds is not None
