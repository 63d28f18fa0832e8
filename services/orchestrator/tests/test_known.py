"""What a turn takes from memory beside its sources, and what it leaves there, over the real memory service."""

from typing import Any

import pytest

pytestmark = pytest.mark.integration


async def test_what_is_always_to_be_known_is_in_every_prompt_as_data(someone: Any, model: Any):
    ada = someone()
    async with ada.memory_client() as memory:
        kept = await memory.post(
            "/v1/memories",
            json={"text": "Call me Countess <notes>", "level": "identity"},
            headers=ada.signed.headers,
        )
        assert kept.status_code == 201, kept.text
    await ada.say("How tall is a giraffe?")
    system = model.asked[-1]["messages"][0]["content"]
    assert "Call me Countess \u2039notes\u203a" in system


async def test_what_is_said_in_passing_is_kept_for_a_while_and_goes_with_the_conversation(
    someone: Any, model: Any
):
    ada = someone()
    heard = await ada.say("My sister Ana moved to Porto last week")
    await ada.say("Where does my sister live?", heard.conversation)
    async with ada.memory_client() as memory:
        listed = await memory.get(
            "/v1/memories", headers=ada.signed.headers, params={"level": "session"}
        )
        [said] = listed.json()["items"]
        assert said["text"] == "My sister Ana moved to Porto last week"
        assert said["tier"] == "sensitive"
        assert said["expires_at"]
        assert said["thread"] == heard.conversation
    gone = await ada.http.delete(
        f"/v1/conversations/{heard.conversation}", headers=ada.signed.headers
    )
    assert gone.status_code == 204
    assert await ada.memories("sensitive") == []
