"""What is left after a power cut, a restart, or a neighbour that went away: nothing lost, nothing doubled."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

pytestmark = pytest.mark.integration


@pytest.fixture
def fragile(orchestrator_process: Any, tmp_path: Path) -> Iterator[Any]:
    """A second orchestrator on the same tables, for a test to kill."""
    env = {**orchestrator_process.env, "LARES_PORT": "0", "LARES_HEARTBEAT": str(tmp_path / "beat")}
    process = orchestrator_process.another(env, tmp_path / "log")
    process.start()
    yield process
    process.stop(signal.SIGKILL)


@pytest.fixture
async def ada(someone: Any, fragile: Any) -> AsyncGenerator[Any]:
    """A person who talks to the orchestrator that is going to be killed."""
    person = someone()
    person.http = httpx.AsyncClient(base_url=fragile.url, timeout=30)
    yield person
    await person.http.aclose()


@pytest.fixture(scope="module", autouse=True)
def alone(orchestrator_process: Any) -> Iterator[None]:
    """Only one orchestrator sweeps at a time: the shared one rests during these tests."""
    orchestrator_process.stop()
    yield
    orchestrator_process.start()


async def settled(ada: Any, conversation: str, status: str) -> Any:
    for _ in range(200):
        turn = (await ada.get(f"/v1/conversations/{conversation}"))["turns"][-1]
        if turn["status"] == status:
            return turn
        await asyncio.sleep(0.1)
    pytest.fail(f"the turn never became {status}")


async def test_a_turn_cut_off_by_a_crash_says_so_and_keeps_what_was_said(ada: Any, fragile: Any):
    heard = ada.record()
    with pytest.raises(httpx.TransportError):
        async for name in ada.saying(heard, "SLOW please"):
            # Past the first time that a partial answer is kept.
            if name == "delta" and len(heard.all("delta")) == 60:
                fragile.kill()
    fragile.start()
    turn = await settled(ada, heard.conversation, "interrupted")
    assert turn["text"] == "SLOW please"
    assert turn["answer"].startswith("word0 word1 ")
    assert turn["error"]["code"] == "agents.interrupted"
    rows = (await ada.get("/v1/audit"))["rows"]
    assert [row["outcome"] for row in rows] == ["interrupted"]


async def test_a_fact_told_during_a_crash_is_kept_once_when_it_is_told_again(
    ada: Any, fragile: Any
):
    facts = [f"fact {number} is {uuid4().hex}" for number in range(12)]
    keys = [uuid4().hex for _ in facts]

    async def tell(number: int) -> Any:
        for _ in range(100):
            try:
                heard = await ada.say(f"Remember that {facts[number]}", key=keys[number])
            except httpx.TransportError:
                await asyncio.sleep(0.1)
                continue
            if heard.status == 200 and heard.ending == "done":
                return heard
            await asyncio.sleep(0.1)
        return pytest.fail("the fact was never taken")

    async def cut() -> None:
        for pause_s in (0.05, 0.4, 0.2):
            await asyncio.sleep(pause_s)
            await asyncio.to_thread(fragile.kill)
            await asyncio.to_thread(fragile.start)

    await asyncio.gather(cut(), *(tell(number) for number in range(len(facts))))
    assert sorted(await ada.memories()) == sorted(facts)


async def test_a_turn_cut_off_after_its_fact_was_kept_does_not_keep_it_twice(ada: Any, sql: Any):
    key = uuid4().hex
    heard = await ada.say("Remember that I like tea", key=key)
    # What is in the tables when the power goes after memory's answer and before the turn's end.
    turn_id = heard.one("turn.accepted")["turn_id"]
    await sql(
        "UPDATE sensitive.turn SET status = 'running', answer_text = '' WHERE id = $1", turn_id
    )
    again = await ada.say("Remember that I like tea", key=key)
    assert again.ending == "done"
    assert again.one("turn.accepted")["turn_id"] == turn_id
    assert await ada.memories() == ["I like tea"]


async def test_an_approval_can_be_given_after_a_restart(ada: Any, fragile: Any):
    await ada.say("Remember that my dog is called Rex")
    question = (await ada.say("Forget my dog")).one("confirmation_required")
    fragile.kill()
    fragile.start()
    assert len((await ada.get("/v1/confirmations"))["confirmations"]) == 1
    reply = await ada.post(f"/v1/confirmations/{question['confirmation_id']}", decision="approve")
    assert reply.json()["state"] == "executed"
    assert await ada.memories() == []


async def test_an_erasing_that_a_crash_cut_off_says_that_nobody_knows(
    ada: Any, fragile: Any, sql: Any
):
    await ada.say("Remember that my dog is called Rex")
    heard = await ada.say("Forget my dog")
    confirmation = heard.one("confirmation_required")["confirmation_id"]
    # What is in the table when the power goes between the claim and its end.
    await sql("UPDATE agents.confirmation SET state = 'executing' WHERE id = $1", confirmation)
    fragile.kill()
    fragile.start()
    turn = await settled(ada, heard.conversation, "interrupted")
    assert turn["error"]["code"] == "agents.confirmation_interrupted"


async def test_an_orderly_stop_keeps_the_answer_so_far(ada: Any, fragile: Any):
    heard = ada.record()
    fragile.env["LARES_STOP_SECONDS"] = "1"
    fragile.kill()
    fragile.start()

    async def listen() -> None:
        try:
            async for _ in ada.saying(heard, "SLOW please"):
                pass
        except httpx.TransportError:
            return

    listening = asyncio.create_task(listen())
    while len(heard.all("delta")) < 3:
        await asyncio.sleep(0.05)
    await asyncio.to_thread(fragile.stop)
    await listening
    fragile.start()
    turn = (await ada.get(f"/v1/conversations/{heard.conversation}"))["turns"][0]
    assert turn["status"] in ("interrupted", "stopped")
    assert turn["answer"].startswith("word0 word1 ")


async def test_while_memory_is_away_questions_work_and_orders_say_why_not(
    ada: Any, memory_process: Any
):
    await ada.say("Remember that my dog is called Rex")
    key = uuid4().hex
    memory_process.stop()
    try:
        asked = await ada.say("What is my dog's name?")
        assert asked.ending == "done"
        assert any("could not be searched" in stage["detail"] for stage in asked.all("stage"))
        told = await ada.say("Remember that I like tea", key=key)
        assert told.ending == "failed"
        assert told.one("error")["code"] == "agents.memory_away"
    finally:
        memory_process.start()
    again = await ada.say("Remember that I like tea", key=key)
    assert again.ending == "done"
    assert sorted(await ada.memories()) == ["I like tea", "my dog is called Rex"]


async def test_while_postgres_is_away_the_person_reads_a_code_and_nothing_is_lost(
    ada: Any, postgres_server: Any
):
    await ada.say("Remember that my dog is called Rex")
    postgres_server.container.kill()
    try:
        refused = await ada.say("hello?")
        assert refused.status == 503
        assert refused.refusal["code"] == "data.unavailable"
    finally:
        postgres_server.container.start()
        postgres_server.wait()
    assert await ada.memories() == ["my dog is called Rex"]
    assert (await ada.say("hello again")).ending == "done"


async def test_an_answer_that_ends_while_postgres_is_away_is_kept_when_it_is_back(
    ada: Any, postgres_server: Any
):
    heard = ada.record()

    async def outage() -> None:
        while len(heard.all("delta")) < 5:
            await asyncio.sleep(0.05)
        turn_id = heard.one("turn.accepted")["turn_id"]
        await asyncio.to_thread(postgres_server.container.kill)
        stop = ada.again()
        await stop.post(f"/v1/turns/{turn_id}/stop")
        await asyncio.sleep(1)
        await asyncio.to_thread(postgres_server.container.start)
        await asyncio.to_thread(postgres_server.wait)

    async def listen() -> None:
        async for _ in ada.saying(heard, "SLOW please"):
            pass

    await asyncio.gather(listen(), outage())
    assert heard.ending == "stopped"
    turn = (await ada.get(f"/v1/conversations/{heard.conversation}"))["turns"][0]
    assert turn["answer"] == heard.answer
