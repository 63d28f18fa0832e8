"""What may be spent: reserved before a call in a real Postgres, corrected after it, closed when nobody can say."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from contracts.accounts import Budgets
from kit.testing.callers import CallerFactory
from kit.testing.containers import docker
from kit.testing.data import Postgres
from model_gateway.app import build

from .conftest import Outsider, Served, book, serving
from .house_of_gpus import eventually
from .test_accounts import HELLO, SettingsFor, kept, written

pytestmark = pytest.mark.integration
PRICED = {"read_per_million": 10.0, "written_per_million": 100.0}


def budgeted(outsider: Outsider, **budgets: Any) -> dict[str, Any]:
    content = book(outsider.url, queue_max=8)
    content["models"]["talker"]["price"] = PRICED
    content["backends"]["free"] = content["backends"]["outsider"]
    content["models"]["mapper"]["backend"] = "free"
    content["backends"]["outsider"]["max_concurrency"] = 8
    return {**content, "budgets": budgets}


@pytest.fixture
def spending(
    outsider: Outsider,
    settings_for: SettingsFor,
    pg: Postgres,
    tmp_path: Path,
    caller_factory: CallerFactory,
) -> Callable[..., Any]:
    def make(**budgets: Any) -> Any:
        content = budgeted(outsider, **budgets)
        settings = kept(settings_for, pg, tmp_path, content, caller_factory.public_key_pem)
        return serving(build(settings))

    return make


async def ask(gateway: Served, service: str = "orchestrator") -> Any:
    return await gateway.client.chat.completions.create(
        model="talker",
        messages=HELLO,
        max_tokens=10,
        extra_headers={"X-Lares-Service": service},
    )


async def test_a_budget_is_reserved_before_and_corrected_after_and_shown(
    spending: Callable[..., Any], pg: Postgres, caller_factory: CallerFactory
) -> None:
    # A call takes 5 tokens in and 7 out: 750 millionths. The most that it may take is 100 in and 10 out: 2000.
    money = {"way": "outsider", "money_per_day": 0.004}
    owner = caller_factory()
    with spending(cloud=money) as gateway:
        await ask(gateway)
        await ask(gateway)
        await written(pg, 2)

        async def shown() -> Any:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{gateway.url}/v1/budgets", headers=owner.headers) as answer,
            ):
                return Budgets.model_validate_json(await answer.text()).budgets[0]

        assert (await shown()).cost == pytest.approx(0.0015)
        assert (await shown()).cost_max == 0.004
        await ask(gateway)
        rows = await written(pg, 3)
        assert [row["cost_micros"] for row in rows] == [750, 750, 750]
        # 1750 are left, and the next call may take 2000.
        with pytest.raises(openai.RateLimitError) as caught:
            await ask(gateway)
    body: Any = caught.value.body
    assert body["code"] == "inference.budget_spent"
    assert "0.0018 of 0.004 EUR left" in body["reason"]
    assert "begins anew at" in body["reason"]
    assert 0 < int(caught.value.response.headers["retry-after"]) <= 86_400


async def test_many_calls_at_once_never_pass_a_budget_together(
    spending: Callable[..., Any], outsider: Outsider, pg: Postgres
) -> None:
    with spending(cloud={"way": "all", "tokens_per_day": 300}) as gateway:
        outsider.mode = "held"
        asking = [asyncio.create_task(ask(gateway)) for _ in range(8)]
        # Each reserves 110 tokens: two fit.
        await eventually(lambda: sum(one.done() for one in asking) == 6)
        outsider.release.set()
        results = await asyncio.gather(*asking, return_exceptions=True)
    refused = [result for result in results if isinstance(result, openai.RateLimitError)]
    assert len(refused) == 6


async def test_each_caller_has_a_budget_of_its_own(spending: Callable[..., Any]) -> None:
    with spending(mine={"way": "outsider", "caller": "each", "tokens_per_day": 110}) as gateway:
        await ask(gateway, "orchestrator")
        with pytest.raises(openai.RateLimitError):
            await ask(gateway, "orchestrator")
        await ask(gateway, "memory")


async def test_a_call_that_was_refused_costs_nothing(
    spending: Callable[..., Any], outsider: Outsider, pg: Postgres
) -> None:
    with spending(cloud={"way": "outsider", "money_per_day": 0.0025}) as gateway:
        for mode in ("429", "400", "503"):
            outsider.mode = mode
            with pytest.raises(openai.APIStatusError):
                await ask(gateway)
        assert [row["cost_micros"] for row in await written(pg, 3)] == [0, 0, 0]
        outsider.mode = "well"
        await ask(gateway)


async def test_an_answer_that_nobody_counted_costs_the_most_that_it_may_have(
    spending: Callable[..., Any], outsider: Outsider, pg: Postgres
) -> None:
    with spending(cloud={"way": "outsider", "money_per_day": 1.0}) as gateway:
        outsider.mode = "stops"
        stream = await gateway.client.chat.completions.create(
            model="talker", messages=HELLO, max_tokens=10, stream=True
        )
        with pytest.raises(openai.APIError):
            async for _ in stream:
                pass
        [row] = await written(pg, 1)
    assert row["cost_micros"] == 100 * 10 + 10 * 100


async def test_an_answer_that_turns_out_to_be_nonsense_was_paid_for(
    spending: Callable[..., Any], outsider: Outsider, pg: Postgres
) -> None:
    with spending(cloud={"way": "outsider", "money_per_day": 1.0}) as gateway:
        outsider.mode = "bad event"
        stream = await gateway.client.chat.completions.create(
            model="talker", messages=HELLO, max_tokens=10, stream=True
        )
        with pytest.raises(openai.APIError):
            async for _ in stream:
                pass
        [row] = await written(pg, 1)
    assert row["outcome"] == "inference.backend_invalid"
    assert row["cost_micros"] == 100 * 10 + 10 * 100


async def test_nothing_is_spent_while_nobody_can_say_what_is_left(
    spending: Callable[..., Any], outsider: Outsider, pg: Postgres
) -> None:
    with spending(cloud={"way": "outsider", "money_per_day": 1.0}) as gateway:
        docker("pause", pg.container.name)
        try:
            with pytest.raises(openai.InternalServerError) as caught:
                await ask(gateway)
            # What costs nothing goes on.
            await gateway.client.embeddings.create(model="mapper", input="x")
        finally:
            docker("unpause", pg.container.name)
    body: Any = caught.value.body
    assert body["code"] == "inference.budget_unknown"
    assert len(outsider.asked) == 1
