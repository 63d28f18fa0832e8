"""What no memory could have is refused with a code wherever it is sent, and leaves every list readable."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.integration
ENDS = ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"]


async def send(
    api: Any, who: Any, method: str, path: str, body: Any = None
) -> tuple[int, str | None]:
    content = json.dumps(body) if body is not None else None
    headers = {**who.headers, "content-type": "application/json"}
    answer = await api.request(method, path, content=content, headers=headers)
    code = answer.json()["error"]["code"] if answer.is_error else None
    return answer.status_code, code


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/recall", {"query": "key", "sources": ["\0"]}),
        ("POST", "/v1/recall", {"query": "key", "threads": ["a\0b"]}),
        ("POST", "/v1/recall", {"query": "key", "threads": ["a" * 201]}),
        ("POST", "/v1/forget", {"thread": "\0"}),
        ("PUT", "/v1/namespaces/work", {"clients": ["\0"]}),
        ("GET", "/v1/memories?source=%00", None),
        ("GET", "/v1/memories?thread=%1f", None),
        ("GET", "/v1/facts?predicate=%00", None),
    ],
)
async def test_a_word_that_nothing_could_have_is_refused(
    api: Any, caller_factory: Any, method: str, path: str, body: Any
) -> None:
    refused = (422, "memory.label_invalid")
    assert await send(api, caller_factory(), method, path, body) == refused


async def test_whatever_a_memory_may_have_as_its_thread_can_be_asked_for(
    api: Any, caller_factory: Any
) -> None:
    ada = caller_factory()
    body = {"text": "The boat is in the harbour", "thread": "a\u202eb", "source": {"kind": "mail"}}
    assert await send(api, ada, "POST", "/v1/memories", body) == (201, None)
    listed = await api.get("/v1/memories", params={"thread": "a\u202eb"}, headers=ada.headers)
    assert len(listed.json()["items"]) == 1


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("field", ["occurred_at", "valid_from", "valid_to"])
async def test_the_ends_of_the_calendar_are_no_time_of_a_memory(
    api: Any, caller_factory: Any, field: str, end: str
) -> None:
    ada = caller_factory()
    refused = (422, "memory.time_invalid")
    body = {"text": "The boat is in the harbour", field: end}
    assert await send(api, ada, "POST", "/v1/memories", body) == refused
    kept = await api.post("/v1/memories", json={"text": "The key hangs here"}, headers=ada.headers)
    ident = kept.json()["id"]
    assert await send(api, ada, "PATCH", f"/v1/memories/{ident}", {field: end}) == refused
    line = json.dumps({"text": "The oar is in the shed", field: end})
    report = await api.post(
        "/v1/import?dry_run=false",
        content=line,
        headers={**ada.headers, "content-type": "application/x-ndjson"},
    )
    assert report.json()["reasons"] == {"time_invalid": 1}
    for order in ("created", "occurred"):
        listed = await api.get("/v1/memories", params={"order": order}, headers=ada.headers)
        assert [item["id"] for item in listed.json()["items"]] == [ident]
