"""Ways, prices and budgets in the models file, and what `GET /v1/models` and the accounts say of a way over the GPU nodes."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from contracts.inference import ModelList
from contracts.scheduling import OfferedModel
from kit.clock import FakeClock
from kit.metrics import Metrics
from model_gateway.accounts.entry import entry_of
from model_gateway.app import build
from model_gateway.call import Call
from model_gateway.catalogue import Catalogue, read
from model_gateway.errors import CatalogueInvalid
from model_gateway.numbers import Numbers
from model_gateway.terms import Terms
from model_gateway.ways import Needs, choose

from .conftest import Outsider, Served, book
from .house_of_gpus import Scheduler, eventually
from .test_catalogue import OUTSIDE, SHIPPED, VARIABLES, write
from .test_gpu import HELLO, SettingsFor, gateway, gpu_only, node, offered, proxy, scheduler

__all__ = ["gateway", "gpu_only", "node", "proxy", "scheduler"]
RUNBOOK = SHIPPED.parents[1] / "docs" / "runbooks" / "models.md"
PRICE = {"read_per_million": 1.0}


def blocks(heading: str) -> list[dict[str, Any]]:
    """Return the YAML blocks of a section of the runbook."""
    section = RUNBOOK.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    return [yaml.safe_load(block.split("```")[0]) for block in section.split("```yaml\n")[1:]]


def pasted(*given: dict[str, Any]) -> dict[str, Any]:
    content = yaml.safe_load(SHIPPED.read_text())
    for block in given:
        for part, value in block.items():
            content[part] = {**content.get(part, {}), **value} if isinstance(value, dict) else value
    return content


def test_the_runbooks_ways_go_over_a_node_and_stay_in_the_house_without_one(
    tmp_path: Path,
) -> None:
    [example] = blocks("Several ways for one model")
    catalogue = read(write(tmp_path, pasted(example)), VARIABLES)
    qwen = OfferedModel(
        model="qwen3-14b", kind="chat", available=True, resident=False, max_tier="sacred"
    )
    offers = {"qwen3-14b": qwen}
    there = choose(catalogue, "lares-small", Needs(), tier="sacred", offers=offers)
    assert [way.name for way in there] == ["gpu:qwen3-14b", "local-llm"]
    [alone] = choose(catalogue, "lares-small", Needs(), tier="sacred")
    assert alone.name == "local-llm"


def test_the_runbooks_budgets_count_the_provider_and_nothing_of_the_house(tmp_path: Path) -> None:
    provider, budgets = blocks("A model server outside")
    catalogue = read(write(tmp_path, pasted(provider, budgets)), VARIABLES)
    outside, at_home = catalogue.models["lares-small"].legs
    for budget in catalogue.budgets.values():
        assert catalogue.covers(budget, outside)
        assert not catalogue.covers(budget, at_home)
    ways = choose(catalogue, "lares-small", Needs(), tier="convenience")
    assert [way.name for way in ways] == ["provider", "local-llm"]
    [private] = choose(catalogue, "lares-small", Needs(), tier="sacred")
    assert private.in_house


def test_each_alert_has_a_section_and_speaks_of_numbers_that_there_are() -> None:
    metrics = Metrics("model-gateway", "inference")
    Numbers(metrics)
    shown = metrics.render().decode()
    rules = yaml.safe_load((RUNBOOK.parents[1] / "alerts" / "gateway.yaml").read_text())
    for rule in rules["groups"][0]["rules"]:
        assert f"### {rule['alert']}\n" in RUNBOOK.read_text()
        for name in re.findall(r"lares_inference_\w+", rule["expr"]):
            assert f"# TYPE {name.removesuffix('_total')}" in shown


def model(**changed: Any) -> dict[str, Any]:
    content = book("http://10.0.0.2:8000/v1")
    content["backends"]["cloud"] = OUTSIDE
    talker = {key: value for key, value in content["models"]["talker"].items() if key != "backend"}
    talker.pop("upstream_name")
    return {**content, "models": {"talker": {**talker, **changed}}}


@pytest.mark.parametrize(
    "wrong",
    [
        model(),
        model(backend="cloud", routes=[{"backend": "cloud"}]),
        model(routes=[]),
        model(routes=[{}]),
        model(routes=[{"gpu": "qwen", "backend": "cloud"}]),
        model(routes=[{"backend": "nowhere"}]),
        model(routes=[{"backend": "cloud"}, {"backend": "cloud"}]),
        model(routes=[{"backend": "cloud", "classes": []}]),
        model(routes=[{"backend": "cloud", "clases": ["batch"]}]),
        model(routes=[{"backend": "cloud"}], upstream_name="x"),
        model(routes=[{"backend": "cloud"}], context_tokens=None),
        {**model(backend="cloud"), "budgets": {"a": {}}},
        {**model(backend="cloud"), "budgets": {"a": {"money_per_day": 1}}},
        {**model(backend="cloud", price=PRICE), "budgets": {"a": {"money_per_day": -1}}},
        {**model(backend="cloud"), "budgets": {"a": {"way": "claud", "tokens_per_day": 1}}},
        {**model(backend="cloud"), "currency": "euro"},
    ],
    ids=str,
)
def test_a_file_that_does_not_say_what_it_means_is_refused(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    with pytest.raises(CatalogueInvalid):
        read(write(tmp_path, wrong), VARIABLES)


def test_a_backend_that_only_chats_is_asked_for_nothing_else(tmp_path: Path) -> None:
    content = model(backend="cloud")
    content["backends"]["cloud"] = {**OUTSIDE, "protocol": "anthropic"}
    assert isinstance(read(write(tmp_path, content), VARIABLES), Catalogue)
    content["models"]["talker"]["kind"] = "embeddings"
    with pytest.raises(CatalogueInvalid, match="only chats"):
        read(write(tmp_path, content), VARIABLES)


def test_budgets_without_a_database_stop_the_start(settings_for: SettingsFor) -> None:
    content = model(backend="outsider", price=PRICE)
    content["backends"].pop("cloud")
    content["budgets"] = {"a": {"way": "outsider", "money_per_day": 1}}
    with pytest.raises(CatalogueInvalid, match="no database"):
        build(settings_for(content))


async def test_the_list_of_models_shows_each_way_and_what_the_scheduler_says_of_it(
    gateway: Served, scheduler: Scheduler
) -> None:
    await offered(gateway)
    waiting = Scheduler.offer("qwen", expected_wait_seconds=2.5, context_tokens=8192)
    await scheduler.offer_now(waiting)

    async def ways() -> Any:
        raw = await gateway.client.models.with_raw_response.list()
        return ModelList.model_validate_json(raw.text).data[0].routes

    async with asyncio.timeout(8):
        while (await ways())[0].expected_wait_seconds is None:
            await asyncio.sleep(0.01)
    over, home = await ways()
    assert (over.way, over.available, over.resident) == ("gpu:qwen", True, True)
    assert (over.expected_wait_seconds, over.context_tokens) == (2.5, 8192)
    assert (home.way, home.available, home.resident) == ("outsider", True, None)
    await scheduler.offer_now()
    async with asyncio.timeout(8):
        while (await ways())[0].available:
            await asyncio.sleep(0.01)
    assert "no GPU node" in (await ways())[0].why


async def test_what_a_request_draws_is_summed_up_while_it_runs(
    gpu_only: Served, scheduler: Scheduler, node: Outsider
) -> None:
    await offered(gpu_only)
    node.mode = "endless"
    stream = await gpu_only.client.chat.completions.create(
        model="talker", messages=HELLO, stream=True
    )
    await eventually(scheduler.began)
    await scheduler.draw(360_000.0)
    async for _ in stream:
        break
    await stream.close()
    drawn = 'lares_inference_watt_hours_total{way="gpu:qwen"}'
    await eventually(lambda: gpu_only.numbers().get(drawn, 0.0) > 0.0)


def test_a_call_that_no_card_told_of_has_no_watt_hours(clock: FakeClock) -> None:
    call = Call("/chat/completions", "talker", Terms())
    names = dict(zip(LINE, entry_of(call, "ok", clock.now(), 1.0, "0" * 32).line, strict=True))
    assert names["watt_hours"] is None
    call.watt_seconds = 7200.0
    names = dict(zip(LINE, entry_of(call, "ok", clock.now(), 1.0, "0" * 32).line, strict=True))
    assert names["watt_hours"] == 2.0


LINE = (
    *("id", "at", "endpoint", "model", "way", "caller", "service", "agent", "service_class"),
    *("tier", "outcome", "tokens_read", "tokens_written", "audio_seconds", "characters"),
    *("images", "seconds", "queue_seconds", "watt_hours", "cost_micros", "falls"),
    "correlation_id",
)
