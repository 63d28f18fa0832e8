"""The canary: a marked sacred memory goes in through the front door, and is then looked for everywhere else."""

from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Stack
from tests.hostile.hiding_places import HidingPlaces
from tests.hostile.house import HOST, Browser, House
from tests.hostile.stack import stack_command

pytestmark = pytest.mark.stack
EMBEDDED_SECONDS_MAX = 60


@dataclass
class Canary:
    """What was put in: words that stand nowhere else in the world, and one that is allowed to be found."""

    person: Browser
    # One word per way in, so that a find says which way leaked.
    words: dict[str, str] = field(default_factory=dict)
    allowed: str = ""
    memory_id: str = ""

    def word(self, way: str) -> str:
        """A fresh word for one way into the house."""
        return self.words.setdefault(way, f"zibaldone{way}{secrets.token_hex(8)}")

    def found_in(self, places: Iterable[tuple[str, bytes]]) -> list[str]:
        """The places that hold any of the words that must not be there."""
        found: list[str] = []
        for place, content in places:
            lowered = content.lower()
            found += [
                f"{way}: {place}" for way, word in self.words.items() if word.encode() in lowered
            ]
        return found


@pytest.fixture(scope="module")
def places(stack: Stack) -> HidingPlaces:
    return HidingPlaces(stack)


@pytest.fixture(scope="module")
def canary(stack: Stack, places: HidingPlaces) -> Canary:
    """A person with sacred memories that came in by every door there is."""
    certificate = httpx.get(
        f"http://127.0.0.1:{stack.http_port}/lares-ca.crt",
        headers={"host": f"{HOST}:{stack.http_port}"},
        trust_env=False,
    )
    tls = ssl.create_default_context(cadata=certificate.raise_for_status().text)
    house = House(stack.https_port, stack.http_port, tls, stack_command)
    house.forgive()
    canary = Canary(house.person())
    canary.allowed = f"pomegranate{secrets.token_hex(8)}"
    _remember(canary, {"text": f"The {canary.allowed} blooms in May", "tier": "convenience"})

    told = _remember(
        canary,
        {
            "text": f"In therapy I spoke of {canary.word('text')}",
            "tier": "sacred",
            "source": {"kind": "journal", "ref": canary.word("source")},
        },
    )
    canary.memory_id = told["id"]
    changed = canary.person.request(
        "PATCH",
        f"/api/memories/{canary.memory_id}",
        {"text": f"In therapy I spoke of {canary.word('text')} and {canary.word('edit')}"},
    )
    assert changed.status_code == 200, changed.text
    _fail_on_purpose(canary)
    _carry(canary)
    _search(canary)
    _say(canary)
    _wait_until_embedded(canary)
    return canary


def _remember(canary: Canary, body: dict[str, Any]) -> dict[str, Any]:
    said = canary.person.post(
        "/api/memories", body, headers={"idempotency-key": secrets.token_hex(16)}
    )
    assert said.status_code == 201, said.text
    return said.json()


def _carry(canary: Canary) -> None:
    """In and out as files: what is sacred passes through lines, archives and wherever those lie meanwhile."""
    row = {
        "text": f"In my diary I wrote of {canary.word('import')}",
        "tier": "sacred",
        "source": {"kind": "diary", "ref": canary.word("importsource")},
    }
    lines = {"content-type": "application/x-ndjson"}
    taken = canary.person.post("/api/memory/import?dry_run=false", row, headers=lines)
    assert taken.status_code == 200, taken.text
    assert taken.json()["inserted"] == 1
    refused = {"text": canary.word("importrefused"), "tier": "sacred", "level": "nowhere"}
    report = canary.person.post("/api/memory/import?dry_run=false", refused, headers=lines)
    assert report.json()["reasons"] == {"level_unknown": 1}
    assert canary.word("importrefused") not in report.text
    for kind in ("jsonl", "markdown"):
        file = canary.person.get(f"/api/memory/export?format={kind}&tiers=convenience,sacred")
        assert file.status_code == 200, file.text
        assert kind == "markdown" or canary.word("import").encode() in file.content


def _fail_on_purpose(canary: Canary) -> None:
    """Errors quote what they refuse, unless somebody took care."""
    word = canary.word("refused")
    for body in (
        {"text": f"{word} " * 2000, "tier": "sacred"},
        {"text": word, "tier": word},
        {"text": word, "tier": "sacred", "occurred_at": word},
        {"text": {"deep": word}, "tier": "sacred"},
    ):
        refused = canary.person.post("/api/memories", body)
        assert 400 <= refused.status_code < 500, refused.text
        assert word not in refused.text
    canary.person.get(f"/api/memories/{word}")


def _search(canary: Canary) -> None:
    body = {"query": f"what did I say of {canary.word('text')}", "tiers": ["sacred"]}
    found = canary.person.post("/api/recall", body)
    assert found.status_code == 200, found.text
    texts = [result["memory"]["text"] for result in found.json()["results"]]
    assert any(canary.word("edit") in text for text in texts), "the owner was to find it"


def _say(canary: Canary) -> None:
    """The same in conversation: the turn is kept, the words are not."""
    sacred = {"text": f"remember as sacred: my dream of {canary.word('turn')}"}
    said = canary.person.post("/api/turns", sacred, headers={"accept": "text/event-stream"})
    assert said.status_code == 200, said.text
    assert "turn.finished" in said.text


def _wait_until_embedded(canary: Canary) -> None:
    deadline = time.monotonic() + EMBEDDED_SECONDS_MAX
    while time.monotonic() < deadline:
        kept = canary.person.get(f"/api/memories/{canary.memory_id}")
        if kept.json().get("embedded"):
            return
        time.sleep(0.5)
    pytest.fail("the sacred memory was never embedded")


def test_the_owner_reads_every_canary_again(canary: Canary) -> None:
    """Without this the tests below would pass over a house that lost everything."""
    page = canary.person.get("/api/memories?tier=sacred").json()
    texts = " ".join(f"{item['text']} {item['source']}" for item in page["items"])
    for way in ("text", "edit", "source", "turn"):
        assert canary.word(way) in texts, way


def test_the_search_finds_what_is_not_sacred(canary: Canary, places: HidingPlaces) -> None:
    """Without this the tests below could be looking in the wrong house."""
    assert canary.allowed.encode() in places.dump("lares")
    assert places.postgres_files_with(canary.allowed)


def test_no_container_wrote_a_word_of_it_into_its_log(canary: Canary, places: HidingPlaces) -> None:
    assert canary.found_in(places.logs()) == []


def test_no_command_line_environment_or_label_holds_it(
    canary: Canary, places: HidingPlaces
) -> None:
    assert canary.found_in(places.processes()) == []
    assert canary.found_in(places.engine()) == []


def test_no_file_in_a_container_s_scratch_space_holds_it(
    canary: Canary, places: HidingPlaces
) -> None:
    assert canary.found_in(places.scratch()) == []


def test_the_nightly_files_hold_no_word_of_it(canary: Canary, places: HidingPlaces) -> None:
    assert canary.found_in(places.nightly_files()) == []


def test_no_metric_is_labelled_with_it(canary: Canary, places: HidingPlaces) -> None:
    assert canary.found_in(places.metrics()) == []


def test_valkey_s_disk_holds_neither_it_nor_any_sentence(
    canary: Canary, places: HidingPlaces, tmp_path: Path
) -> None:
    assert canary.found_in(places.valkey_files()) == []
    entries = list(places.valkey_entries(tmp_path))
    assert any("lares:stream:memory.changed.v1" in place for place, _ in entries)
    assert any(canary.memory_id.encode() in content for _, content in entries), (
        "ids are what it holds"
    )
    assert canary.found_in(entries) == []
    assert not any(canary.allowed.encode() in content for _, content in entries)


def test_the_open_database_holds_no_word_of_it(canary: Canary, places: HidingPlaces) -> None:
    assert canary.found_in([("dump of lares", places.dump("lares"))]) == []


def test_the_sacred_database_holds_it_sealed_alone(canary: Canary, places: HidingPlaces) -> None:
    dump = places.dump("lares_sacred")
    assert canary.memory_id.encode() in dump
    assert canary.found_in([("dump of lares_sacred", dump)]) == []
    hexed = [word.encode().hex().encode() for word in canary.words.values()]
    assert not any(word in dump for word in hexed), "bytea is dumped as hex: not sealed"


def test_no_file_of_the_cluster_holds_it_the_write_ahead_log_included(
    canary: Canary, places: HidingPlaces
) -> None:
    assert places.postgres_files_with(*canary.words.values()) == []


def test_the_conversation_keeps_a_placeholder_where_the_sacred_words_were(canary: Canary) -> None:
    page = canary.person.get("/api/conversations").json()
    texts: list[str] = []
    for item in page["conversations"]:
        texts.append(canary.person.get(f"/api/conversations/{item['id']}").text)
    assert texts
    assert not any(word in text for word in canary.words.values() for text in texts)
    assert any("acred" in text for text in texts)


def test_forgetting_leaves_not_even_the_sealed_bytes(canary: Canary, places: HidingPlaces) -> None:
    """Last: the memory goes. Of what was sealed nothing is left in any table's or index's file."""
    where = f"WHERE id = '{canary.memory_id}'"
    sealed = bytes.fromhex(
        places.ask("lares_sacred", f"SELECT encode(sealed, 'hex') FROM sacred.memory {where}")
    )
    assert len(sealed) > 28
    gone = canary.person.request("DELETE", f"/api/memories/{canary.memory_id}")
    assert gone.status_code == 200, gone.text
    assert gone.json()["erased"]["rows"] == 1
    assert places.ask("lares_sacred", f"SELECT count(*) FROM sacred.memory {where}") == "0"
    places.ask("lares_sacred", "VACUUM FULL sacred.memory")
    places.ask("lares_sacred", "CHECKPOINT")
    folder = places.ask(
        "lares_sacred", "SELECT oid FROM pg_database WHERE datname = 'lares_sacred'"
    )
    files = places.postgres_folder(f"/var/lib/postgresql/data/17/base/{folder}")
    assert len(files) > 1_000_000, "nothing was looked at"
    assert sealed[12:44] not in files
