"""Recall over HTTP: names, threads, times, what replaced what, filters and tiers, through real processes."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest
from contracts.tiers import Tier
from kit.pool import Pool
from memory.recall.speakers import over, statements

pytestmark = pytest.mark.integration
PLAIN = (Tier.CONVENIENCE, Tier.SENSITIVE)


async def remember(api: httpx.AsyncClient, who: Any, text: str, **more: Any) -> str:
    answer = await api.post("/v1/memories", json={"text": text, **more}, headers=who.headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def recall(api: httpx.AsyncClient, who: Any, query: str, **more: Any) -> dict[str, Any]:
    answer = await api.post("/v1/recall", json={"query": query, **more}, headers=who.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(result: dict[str, Any]) -> list[str]:
    return [each["memory"]["id"] for each in result["results"]]


async def talk(api: httpx.AsyncClient, who: Any, thread: str, *turns: tuple[str, str]) -> list[str]:
    return [
        await remember(api, who, text, thread=thread, position=place, speaker=speaker)
        for place, (speaker, text) in enumerate(turns)
    ]


async def test_the_statements_can_be_prepared_by_the_role_that_runs_them(pg: Any) -> None:
    async with await Pool.open(pg.database("svc_memory"), max_size=1) as pool:
        for name, query in statements().items():
            async with pool.as_role(str(query.role), uuid4()) as conn:
                await conn.prepare(str(query))  # type: ignore[attr-defined]
                assert name == "speakers"


async def test_speakers_are_listed_once_and_only_ones_own(
    api: Any, caller_factory: Any, pg: Any
) -> None:
    ada, bob = caller_factory(), caller_factory(username="bob")
    await talk(
        api, ada, "t", ("Caroline", "I adopted a dog"), ("Mel", "Lovely"), ("Caroline", "Ja")
    )
    await remember(api, ada, "A private word", tier="sensitive", speaker="Zoe")
    await talk(api, bob, "t", ("Xaver", "Hello from the other side of the house"))
    async with await Pool.open(pg.database("svc_memory"), max_size=1) as pool:
        async with pool.as_role("lares_app", ada.caller.subject) as conn:
            spoken = await conn.fetch(over(PLAIN))
            assert sorted(row["speaker"] for row in spoken) == ["Caroline", "Mel", "Zoe"]
        async with pool.as_role("lares_mcp", ada.caller.subject) as conn:
            spoken = await conn.fetch(over(PLAIN[:1]))
            assert sorted(row["speaker"] for row in spoken) == ["Caroline", "Mel"]


async def test_a_name_leads_to_what_they_said_and_not_to_who_calls_them(
    api: Any, caller_factory: Any
) -> None:
    ada = caller_factory()
    turns = await talk(
        api,
        ada,
        "t",
        ("Mel", "Caroline! Hey Caroline, how have you been, Caroline?"),
        ("Caroline", "The adoption agency called about the paperwork"),
        ("Mel", "Great news about the agency"),
    )
    found = await recall(api, ada, "What did Caroline hear from the agency?")
    assert ids(found)[0] == turns[1]
    assert found["understood"]["names"] == ["caroline"]
    details = [reason["detail"] for reason in found["results"][0]["reasons"]]
    assert "said by Caroline" in details


async def test_an_answer_is_found_by_the_question_before_it(api: Any, caller_factory: Any) -> None:
    ada = caller_factory()
    turns = await talk(
        api,
        ada,
        "t",
        ("Rui", "Where did you hide the spare boiler key?"),
        ("Ana", "Behind the blue flowerpot, on the left."),
    )
    await talk(api, ada, "u", ("Ana", "The concert begins at nine."))
    found = ids(await recall(api, ada, "where is the spare boiler key hidden"))
    assert found.index(turns[1]) < 2


async def test_a_time_in_the_question_is_counted_from_when_it_is_asked(
    api: Any, caller_factory: Any
) -> None:
    ada = caller_factory()
    text = "We walked along the river and had soup"
    may = await remember(api, ada, text, occurred_at="2025-05-11T10:00:00Z")
    await remember(api, ada, text + " again", occurred_at="2025-09-02T10:00:00Z")
    for query, as_of in (
        ("Where did we walk in May?", "2025-11-01T00:00:00Z"),
        ("Where did we walk last Sunday?", "2025-05-14T00:00:00Z"),
    ):
        found = await recall(api, ada, query, as_of=as_of)
        assert ids(found)[0] == may
        assert found["understood"]["when"]["since"].startswith("2025-05")
        assert "time" in [reason["arm"] for reason in found["results"][0]["reasons"]]


@pytest.mark.parametrize("tier", ["convenience", "sensitive", "sacred"])
async def test_filters_return_as_many_as_there_are_and_nothing_else(
    api: Any, caller_factory: Any, tier: str
) -> None:
    ada = caller_factory()
    inside = {
        await remember(
            api, ada, f"The meter in the cellar shows {number}", tier=tier, thread="meter"
        )
        for number in range(5)
    }
    for number in range(5):
        await remember(api, ada, f"The meter in the attic shows {number}", tier=tier)
    found = await recall(
        api, ada, "what does the meter show", tiers=[tier], threads=["meter"], limit=5
    )
    assert set(ids(found)) == inside
    none = await recall(api, ada, "meter", tiers=[tier], until="2020-01-01T00:00:00Z")
    assert none["results"] == []


async def test_sacred_and_plain_memories_are_ranked_together(api: Any, caller_factory: Any) -> None:
    ada = caller_factory()
    secret = await remember(
        api, ada, "The safe opens with the number of the old boat", tier="sacred"
    )
    await remember(api, ada, "The old boat needs paint")
    await remember(api, ada, "Bread, milk, eggs")
    found = await recall(
        api, ada, "what number opens the safe", tiers=["convenience", "sensitive", "sacred"]
    )
    assert ids(found)[0] == secret
    assert secret not in ids(await recall(api, ada, "what number opens the safe"))


async def test_without_a_model_recall_says_that_it_goes_by_words(
    api: Any, caller_factory: Any, model: Any
) -> None:
    ada = caller_factory()
    kept = await remember(api, ada, "The dentist moved to the square")
    model.broken = True
    found = await recall(api, ada, "where is the dentist now and when")
    assert found["degraded"] == "lexical_only"
    assert ids(found) == [kept]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"query": " "}, "memory.text_empty"),
        ({"query": "x", "levels": ["wisdom"]}, "memory.level_unknown"),
        ({"query": "x", "namespaces": ["NO"]}, "memory.namespace_invalid"),
        ({"query": "x", "since": "2026-01-01T00:00:00"}, "memory.time_invalid"),
    ],
)
async def test_a_question_that_makes_no_sense_is_a_coded_error(
    api: Any, caller_factory: Any, body: dict[str, Any], code: str
) -> None:
    answer = await api.post("/v1/recall", json=body, headers=caller_factory().headers)
    assert answer.json()["error"]["code"] == code
