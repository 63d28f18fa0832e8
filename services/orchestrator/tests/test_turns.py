"""A turn, seen by the person who talks: over HTTP, with the real memory service, Postgres and Valkey."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

pytestmark = pytest.mark.integration


async def test_a_question_is_answered_word_by_word_and_kept(someone: Any, model: Any):
    ada = someone()
    heard = await ada.say("How tall is a giraffe?")
    assert heard.events[0][0] == "turn.accepted"
    assert [stage["name"] for stage in heard.all("stage")][:3] == ["normalize", "plan", "policy"]
    assert len(heard.all("delta")) == 5
    assert heard.ending == "done"
    kept = await ada.get(f"/v1/conversations/{heard.conversation}")
    assert kept["conversation"]["title"] == "How tall is a giraffe?"
    assert kept["turns"][0]["text"] == "How tall is a giraffe?"
    assert kept["turns"][0]["answer"] == heard.answer
    assert kept["turns"][0]["status"] == "done"
    assert model.headers[-1]["x-lares-max-tier"] == "sensitive"


async def test_a_remembered_fact_is_found_again_in_a_new_conversation(someone: Any, model: Any):
    ada = someone()
    told = await ada.say("Remember that my dog is called Rex")
    assert told.ending == "done"
    assert "Rex" in told.answer
    asked = await ada.say("What is my dog's name?")
    assert asked.conversation != told.conversation
    source = asked.one("sources")[0]
    assert source["text"] == "my dog is called Rex"
    assert source["tier"] == "convenience"
    assert "Rex" in asked.answer
    assert "my dog is called Rex" in model.last_prompt()


async def test_what_is_remembered_can_be_listed_without_a_model(someone: Any, model: Any):
    ada = someone()
    await ada.say("Remember that my dog is called Rex")
    before = len(model.asked)
    heard = await ada.say("What do you remember about my dog?")
    assert "my dog is called Rex" in heard.answer
    assert len(model.asked) == before


async def test_the_conversation_so_far_is_part_of_the_next_prompt(someone: Any, model: Any):
    ada = someone()
    first = await ada.say("Tell me of zebras")
    await ada.say("And their stripes?", first.conversation)
    said = [m["content"] for m in model.asked[-1]["messages"]]
    assert "Tell me of zebras" in said
    assert first.answer in said


async def test_sacred_words_reach_memory_and_nothing_else(
    someone: Any, model: Any, orchestrator_process: Any, pg_dump: Any
):
    ada = someone()
    canary = f"canary{uuid4().hex}"
    heard = await ada.say(f"Remember as sacred that my {canary} is sore")
    assert heard.ending == "done"
    assert canary not in heard.answer
    assert any(canary in text for text in await ada.memories("sacred"))
    await ada.say("What hurts me?", heard.conversation)
    asked = await ada.say(f"What do you remember about my {canary}?")
    assert "nothing" in asked.answer
    # The canary of the question itself is the person's own doing; look at what the first turn left.
    kept = await ada.get(f"/v1/conversations/{heard.conversation}")
    assert canary not in str(kept)
    assert canary not in model.prompts()
    assert canary not in orchestrator_process.log.read_text()
    assert canary not in await pg_dump(but=asked.conversation)


async def test_forgetting_asks_first_and_erases_only_on_approval(someone: Any):
    ada = someone()
    told = await ada.say("Remember that my dog is called Rex")
    await ada.say("Remember that I like tea")
    heard = await ada.say("Forget that my dog is called Rex")
    assert heard.ending == "waiting"
    question = heard.one("confirmation_required")
    assert "my dog is called Rex" in question["description"]
    assert question["reversible"] is False
    assert "my dog is called Rex" in await ada.memories()
    waiting = (await ada.get("/v1/confirmations"))["confirmations"]
    assert [w["confirmation_id"] for w in waiting] == [question["confirmation_id"]]
    kept = await ada.get(f"/v1/conversations/{heard.conversation}")
    assert kept["turns"][0]["status"] == "waiting"
    assert kept["turns"][0]["confirmation"]["description"] == question["description"]

    reply = await ada.post(f"/v1/confirmations/{question['confirmation_id']}", decision="approve")
    assert reply.status_code == 200, reply.text
    assert reply.json()["state"] == "executed"
    assert reply.json()["erased"]["rows"] == 1
    assert await ada.memories() == ["I like tea"]
    # What had repeated the memory is gone from the conversations too, titles included.
    for conversation in (told.conversation, heard.conversation):
        assert "Rex" not in str(await ada.get(f"/v1/conversations/{conversation}"))
    assert "Rex" not in str(await ada.get("/v1/conversations"))


async def test_a_denial_ends_the_matter(someone: Any):
    ada = someone()
    await ada.say("Remember that my dog is called Rex")
    question = (await ada.say("Forget my dog")).one("confirmation_required")
    path = f"/v1/confirmations/{question['confirmation_id']}"
    assert (await ada.post(path, decision="deny")).json()["state"] == "denied"
    again = await ada.post(path, decision="approve")
    assert again.status_code == 409
    assert again.json()["error"]["code"] == "agents.confirmation_used"
    assert await ada.memories() == ["my dog is called Rex"]


async def test_a_confirmation_belongs_to_the_person_who_was_asked(someone: Any):
    ada, eve = someone(), someone()
    await ada.say("Remember that my dog is called Rex")
    question = (await ada.say("Forget my dog")).one("confirmation_required")
    stolen = await eve.post(f"/v1/confirmations/{question['confirmation_id']}", decision="approve")
    assert stolen.status_code == 404
    assert await ada.memories() == ["my dog is called Rex"]


async def test_of_many_approvals_at_once_one_counts(someone: Any):
    ada = someone()
    await ada.say("Remember that my dog is called Rex")
    question = (await ada.say("Forget my dog")).one("confirmation_required")
    path = f"/v1/confirmations/{question['confirmation_id']}"
    replies = await asyncio.gather(*(ada.post(path, decision="approve") for _ in range(8)))
    assert sorted(r.status_code for r in replies) == [200] + [409] * 7


async def test_what_changed_after_it_was_shown_is_not_erased(someone: Any):
    ada = someone()
    await ada.say("Remember that my dog is called Rex")
    heard = await ada.say("Forget my dog")
    source = (await ada.get(f"/v1/conversations/{heard.conversation}"))["turns"][0]["sources"][0]
    async with ada.memory_client() as memory:
        edited = await memory.patch(
            f"/v1/memories/{source['memory_id']}",
            json={"text": "my dog is called Max"},
            headers=ada.signed.headers,
        )
        assert edited.status_code == 200, edited.text
    path = f"/v1/confirmations/{heard.one('confirmation_required')['confirmation_id']}"
    reply = await ada.post(path, decision="approve")
    assert reply.status_code == 409
    assert reply.json()["error"]["code"] == "agents.confirmation_changed"
    assert await ada.memories() == ["my dog is called Max"]


async def test_no_decision_means_no(someone: Any, sql: Any):
    ada = someone()
    await ada.say("Remember that my dog is called Rex")
    heard = await ada.say("Forget my dog")
    confirmation = heard.one("confirmation_required")["confirmation_id"]
    await sql(
        "UPDATE agents.confirmation SET expires_at = now() - interval '1 s' WHERE id = $1",
        confirmation,
    )
    reply = await ada.post(f"/v1/confirmations/{confirmation}", decision="approve")
    assert reply.status_code == 410
    assert await ada.memories() == ["my dog is called Rex"]

    async def closed() -> bool:
        kept = await ada.get(f"/v1/conversations/{heard.conversation}")
        return kept["turns"][0]["status"] == "done"

    await eventually(closed)


async def test_forgetting_on_the_memory_page_takes_the_words_from_the_conversation(someone: Any):
    ada = someone()
    told = await ada.say("Remember that my dog is called Rex")
    asked = await ada.say("What is my dog's name?")
    memory_id = asked.one("sources")[0]["memory_id"]
    async with ada.memory_client() as memory:
        gone = await memory.delete(f"/v1/memories/{memory_id}", headers=ada.signed.headers)
        assert gone.status_code == 200

    async def redacted() -> bool:
        pages = [
            await ada.get(f"/v1/conversations/{c}") for c in (told.conversation, asked.conversation)
        ]
        return "Rex" not in str(pages)

    await eventually(redacted)


async def test_the_stop_button_ends_the_answer_upstream_too_and_keeps_what_was_said(
    someone: Any, model: Any
):
    ada = someone()
    cancelled = model.cancelled
    heard = ada.record()
    async for name in ada.saying(heard, "SLOW please"):
        if name == "delta" and len(heard.all("delta")) == 3:
            turn_id = heard.one("turn.accepted")["turn_id"]
            assert (await ada.post(f"/v1/turns/{turn_id}/stop")).status_code == 202
    assert heard.ending == "stopped"
    assert 3 <= len(heard.all("delta")) < 60
    kept = await ada.get(f"/v1/conversations/{heard.conversation}")
    assert kept["turns"][0]["status"] == "stopped"
    assert kept["turns"][0]["answer"] == heard.answer
    await eventually(lambda: model.cancelled > cancelled)


async def test_nobody_else_can_stop_or_read_a_turn(someone: Any):
    ada, eve = someone(), someone()
    heard = ada.record()
    async for name in ada.saying(heard, "SLOW please"):
        if name == "delta" and len(heard.all("delta")) == 2:
            turn_id = heard.one("turn.accepted")["turn_id"]
            assert (await eve.post(f"/v1/turns/{turn_id}/stop")).status_code == 404
            path = f"/v1/conversations/{heard.conversation}"
            reply = await eve.http.get(path, headers=eve.signed.headers)
            assert reply.status_code == 404
            await ada.post(f"/v1/turns/{turn_id}/stop")
    assert (await eve.get("/v1/conversations"))["conversations"] == []


async def test_a_person_cannot_write_into_somebody_elses_conversation(someone: Any):
    ada, eve = someone(), someone()
    heard = await ada.say("hello")
    refused = await eve.say("let me in", heard.conversation)
    assert refused.status == 404
    assert refused.refusal["code"] == "agents.conversation_not_found"


async def test_an_answer_nobody_listens_to_stops_and_is_kept(someone: Any, model: Any):
    ada = someone()
    heard, cancelled = ada.record(), model.cancelled
    async for name in ada.saying(heard, "SLOW please"):
        if name == "delta":
            break
    await ada.http.aclose()
    again = ada.again()
    await eventually(lambda: model.cancelled > cancelled)

    async def stopped() -> bool:
        kept = await again.get(f"/v1/conversations/{heard.conversation}")
        turn = kept["turns"][0]
        return turn["status"] == "stopped" and turn["answer"].startswith("word0")

    await eventually(stopped)


async def test_too_many_answers_at_once_are_refused_with_a_code(someone: Any):
    ada = someone()
    running = [asyncio.create_task(ada.say("SLOW please")) for _ in range(2)]
    await asyncio.sleep(1.0)
    refused = await ada.say("one more")
    assert refused.status == 429
    assert refused.refusal["code"] == "agents.too_many_turns"
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def test_a_repeated_request_replays_the_turn_and_remembers_once(someone: Any):
    ada = someone()
    key = uuid4().hex
    first = await ada.say("Remember that my dog is called Rex", key=key)
    second = await ada.say("Remember that my dog is called Rex", key=key)
    assert second.one("turn.accepted")["turn_id"] == first.one("turn.accepted")["turn_id"]
    assert second.answer == first.answer
    assert second.ending == "done"
    assert await ada.memories() == ["my dog is called Rex"]
    other = await ada.say("Something else", key=key)
    assert other.refusal["code"] == "agents.turn_differs"


async def test_equal_requests_at_once_are_one_turn(someone: Any):
    ada = someone()
    key = uuid4().hex
    heard = await asyncio.gather(*(ada.say("Remember that I like tea", key=key) for _ in range(4)))
    assert {h.one("turn.accepted")["turn_id"] for h in heard if h.status == 200}
    assert len({h.one("turn.accepted")["turn_id"] for h in heard if h.status == 200}) == 1
    assert await ada.memories() == ["I like tea"]


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("AWAY", "agents.model_away"),
        ("REFUSE", "agents.model_refused"),
        ("CUT", "agents.model_away"),
    ],
)
async def test_a_failing_model_is_a_coded_error_and_keeps_what_was_said(
    someone: Any, word: str, code: str
):
    ada = someone()
    heard = await ada.say(f"{word} now")
    assert heard.ending == "failed"
    error = heard.one("error")
    assert error["code"] == code
    assert error["fix"]
    kept = (await ada.get(f"/v1/conversations/{heard.conversation}"))["turns"][0]
    assert kept["status"] == "failed"
    assert kept["error"]["code"] == code
    assert kept["answer"] == heard.answer


async def test_the_off_switch_refuses_actions_while_questions_work(someone: Any, sql: Any):
    ada = someone()
    await sql("UPDATE agents.switch SET enabled = false")
    try:
        heard = await ada.say("Remember that I like tea")
        assert heard.ending == "failed"
        assert heard.one("error")["code"] == "agents.actions_off"
        assert (await ada.say("How tall is a giraffe?")).ending == "done"
    finally:
        await sql("UPDATE agents.switch SET enabled = true")
    assert await ada.memories() == []


async def test_the_off_switch_stops_an_approval_given_before_it(someone: Any, sql: Any):
    ada = someone()
    await ada.say("Remember that I like tea")
    question = (await ada.say("Forget tea")).one("confirmation_required")
    await sql("UPDATE agents.switch SET enabled = false")
    try:
        path = f"/v1/confirmations/{question['confirmation_id']}"
        reply = await ada.post(path, decision="approve")
        assert reply.status_code == 403
        assert reply.json()["error"]["code"] == "agents.actions_off"
    finally:
        await sql("UPDATE agents.switch SET enabled = true")
    assert await ada.memories() == ["I like tea"]


async def test_every_turn_leaves_one_row_in_the_account_without_a_word_of_it(someone: Any):
    ada = someone()
    heard = await ada.say("Remember that my dog is called Rex")
    await ada.say("What is my dog's name?")
    await ada.say("Forget my dog")
    rows = (await ada.get("/v1/audit"))["rows"]
    assert [row["intent"] for row in rows] == ["forget", "ask", "remember"]
    assert rows[2]["correlation_id"] == heard.one("turn.accepted")["correlation_id"]
    assert [row["decision"] for row in rows] == [
        "REQUIRES_APPROVAL",
        "AUTO_EXECUTE_LOW_RISK",
        "AUTO_EXECUTE_LOW_RISK",
    ]
    assert rows[1]["model"] == "scripted"
    assert rows[1]["completion_tokens"] == 5
    assert "Rex" not in str(rows)
    older = (await ada.get("/v1/audit", before=rows[0]["id"], limit=1))["rows"]
    assert [row["id"] for row in older] == [rows[1]["id"]]


async def test_conversations_are_listed_renamed_and_erased(someone: Any):
    ada = someone()
    ids = [(await ada.say(f"question {n}")).conversation for n in range(3)]
    page = await ada.get("/v1/conversations", limit=2)
    assert [c["id"] for c in page["conversations"]] == ids[:0:-1]
    rest = await ada.get("/v1/conversations", limit=2, cursor=page["next_cursor"])
    assert [c["id"] for c in rest["conversations"]] == ids[:1]
    assert rest["next_cursor"] is None
    path = f"/v1/conversations/{ids[0]}"
    renamed = await ada.http.patch(path, json={"title": "Zebras"}, headers=ada.signed.headers)
    assert renamed.json()["title"] == "Zebras"
    assert (await ada.http.delete(path, headers=ada.signed.headers)).status_code == 204
    assert (await ada.http.get(path, headers=ada.signed.headers)).status_code == 404


async def test_a_token_has_no_conversation_with_the_house(someone: Any):
    bot = someone(kind="token", db_role="lares_mcp", scopes=("memory:read",), read_only=True)
    heard = await bot.say("hello")
    assert heard.status == 403
    assert heard.refusal["code"] == "agents.forbidden"


@pytest.mark.parametrize("text", ["", "   ", "x" * 8001])
async def test_words_out_of_bounds_are_refused(someone: Any, text: str):
    assert (await someone().say(text)).status == 422


async def test_a_cursor_that_was_not_made_here_is_refused(someone: Any):
    ada = someone()
    reply = await ada.http.get("/v1/conversations?cursor=AAAA", headers=ada.signed.headers)
    assert reply.status_code == 422


async def eventually(check: Any, seconds: float = 30.0) -> None:
    """Return when `check` holds; fail when it does not within `seconds`."""
    for _ in range(int(seconds / 0.1)):
        held = check()
        if asyncio.iscoroutine(held):
            held = await held
        if held:
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"it did not come about within {seconds} s")
