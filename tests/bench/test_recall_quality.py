"""How much of the evidence recall finds in months of talk, through the real HTTP API; writes results/recall_quality.json.

Every turn is one memory. Beside it, in the same run and with the same embedder: the vector alone, BM25 alone, and mem0
(`infer=False`, pgvector). The dialogues are development data: the folder is LARES_BENCH_DATA, else ../shared/data.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
import time
import venv
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest
from kit.testing.containers import run_apart, wait_until
from kit.testing.data import start_postgres

from .dialogues import Dialogue, Tally, by_words, dialogues, where
from .memory_corpus import embed
from .memory_house import ROOT, House, address, open_house
from .recall_quality import Material, leave_one_out, read_questions
from .report import percentile, record

pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not where().exists(), reason=f"no dialogues at {where()}: LARES_BENCH_DATA"),
]
LIMIT = 20
BATCH = 128
FLOORS = {"recall@5": 75.0, "recall@10": 83.0, "recall@20": 89.0, "adversarial@10": 88.0}
MEM0 = ("mem0ai==2.2.1", "psycopg[binary,pool]==3.3.9")
LEXEMES = """
SELECT place, lexeme, cardinality(positions) AS uses
FROM unnest($1::text[]) WITH ORDINALITY AS given (text, place), unnest(to_tsvector('english', text))
"""
# As many as a minute takes: the limit is for clients that run wild.
UNLIMITED = {"LARES_MEMORY_WRITES_PER_MINUTE": "1000000"}


@pytest.fixture(scope="module")
def house(valkey_server: Any, caller_factory: Any, tmp_path_factory: Any) -> Iterator[House]:
    """Empty stores, the service and a worker over them."""
    folder = tmp_path_factory.mktemp("memory")
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    pg = start_postgres(tmp_path_factory.mktemp("pg-secrets"), "1g")
    before = {name: os.environ.get(name) for name in UNLIMITED}
    os.environ.update(UNLIMITED)
    try:
        pg.migrate()
        with (
            open_house(pg, valkey_server, caller_factory, folder) as house,
            _worker(house, valkey_server, tmp_path_factory.mktemp("worker"), key),
        ):
            yield house
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        pg.container.remove()


@contextmanager
def _worker(house: House, valkey: Any, folder: Path, key: str) -> Iterator[None]:
    told = {
        "db_password": house.pg.password("svc_memory"),
        "valkey_password": valkey.password("memory_worker"),
        "sacred_data_key": key,
    }
    for name, secret in told.items():
        (folder / name).write_text(secret)
    env = {
        "PYTHONPATH": os.pathsep.join(str(path) for path in sorted(ROOT.glob("services/*/src"))),
        "LARES_SECRETS_DIR": str(folder),
        "LARES_HEARTBEAT": str(folder / "heartbeat"),
        "LARES_POSTGRES_HOST": address(house.pg.container.name),
        "LARES_VALKEY_HOST": address(valkey.container.name),
        "LARES_MODEL_GATEWAY_URL": house.gateway,
        "LARES_MEMORY_SWEEP_SECONDS": "1",
    }
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "memory", "worker"],
            env={**os.environ, **env},
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.kill()
        process.wait(30)


def test_recall_finds_the_evidence_in_months_of_talk(
    house: House, caller_factory: Any, tmp_path: Path
) -> None:
    told = dialogues()
    ours, times = Tally.of("lares, over HTTP"), list[float]()
    vector, words = Tally.of("vector alone"), Tally.of("BM25 alone")
    for dialogue in told:
        person = uuid4()
        _through_http(house, dialogue, lambda: caller_factory(subject=person).headers, ours, times)  # noqa: B023
        texts = [turn.text for turn in dialogue.turns]
        asked = [question.text for question in dialogue.questions]
        nearest = embed(house.embedder, texts) @ embed(house.embedder, asked).T
        terms = _lexemes(house, [*texts, *asked])
        for place, question in enumerate(dialogue.questions):
            vector.add(question, np.argsort(-nearest[:, place])[:LIMIT].tolist())
            words.add(question, by_words(terms[: len(texts)], list(terms[len(texts) + place])))
    tallies, note = [ours, vector, words], "run"
    try:
        tallies.append(_mem0(house, told, tmp_path))
    except Unreachable as error:
        note = f"skipped: {error}"
    row = ours.row()
    record(
        "recall_quality",
        {f"{name} >= {least:g}": f"{row[name]}" for name, least in FLOORS.items()},
        [tally.row() for tally in tallies],
        turns=sum(len(dialogue.turns) for dialogue in told),
        questions=sum(len(dialogue.questions) for dialogue in told),
        recall_ms={"p50": percentile(times, 0.5), "p95": percentile(times, 0.95)},
        mem0=note,
    )
    assert row["recall@5"] >= FLOORS["recall@5"]
    assert row["recall@10"] >= FLOORS["recall@10"]
    assert row["adversarial@10"] >= FLOORS["adversarial@10"]


@pytest.mark.skipif(not os.environ.get("LARES_BENCH_LEARN"), reason="learning takes minutes")
def test_weights_are_learned_on_dialogues_that_they_are_not_read_on(house: House) -> None:
    materials: list[Material] = []
    for dialogue in dialogues():
        texts = [turn.text for turn in dialogue.turns]
        asked = read_questions(dialogue)
        terms = _lexemes(house, [*texts, *(each.bare for each in asked)])
        materials.append(
            Material(
                dialogue,
                embed(house.embedder, texts),
                embed(house.embedder, [each.spoken for each in asked]),
                terms[: len(texts)],
                [list(each) for each in terms[len(texts) :]],
            )
        )
    tallies, weights = leave_one_out(materials)
    record("recall_learning", {}, [tally.row() for tally in tallies], weights=weights)
    left_out = tallies[0].row()
    assert left_out["recall@10"] >= 80
    assert left_out["adversarial@10"] >= FLOORS["adversarial@10"]


def _through_http(
    house: House,
    dialogue: Dialogue,
    sign: Callable[[], dict[str, str]],
    tally: Tally,
    times: list[float],
) -> None:
    with httpx.Client(base_url=house.memory, trust_env=False, timeout=60) as http:
        http.headers.update(sign())
        places = _remember(http, dialogue)
        wait_until(lambda: _waiting(house) == 0, lambda: f"{_waiting(house)} wait", seconds=900)
        for question in dialogue.questions:
            # A token lives for minutes.
            http.headers.update(sign())
            begun = time.perf_counter()
            answer = http.post("/v1/recall", json={"query": question.text, "limit": LIMIT})
            times.append(round(1000 * (time.perf_counter() - begun), 1))
            assert answer.status_code == 200, answer.text
            assert answer.json()["degraded"] is None
            found = [places[each["memory"]["id"]] for each in answer.json()["results"]]
            # Turns that were merged are all found with the one that stayed.
            tally.add(question, [turn for turns in found for turn in turns])


def _remember(http: httpx.Client, dialogue: Dialogue) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    memories = [
        {
            "text": turn.text,
            "thread": f"{dialogue.name}/{turn.session}",
            "position": place,
            "speaker": turn.speaker,
            "occurred_at": turn.at.isoformat(),
            "source": {"kind": "turn", "ref": f"{dialogue.name}/{place}"},
            # A greeting is junk, and a turn all the same.
            "force": True,
        }
        for place, turn in enumerate(dialogue.turns)
    ]
    for start in range(0, len(memories), BATCH):
        body = {"memories": memories[start : start + BATCH]}
        answer = http.post("/v1/memories/batch", json=body)
        assert answer.status_code == 200, answer.text
        for each in answer.json()["results"]:
            assert each["outcome"] != "refused", each
            places.setdefault(each["id"], []).append(start + each["index"])
    return places


def _waiting(house: House) -> int:
    async def count() -> int:
        connection = await house.pg.connect()
        try:
            return await connection.fetchval("SELECT count(*) FROM memory.pending_embedding")
        finally:
            await connection.close()

    return run_apart(count)


def _lexemes(house: House, texts: list[str]) -> list[Counter[str]]:
    """Return the terms of each text as Postgres knows them."""

    async def read() -> list[Any]:
        connection = await house.pg.connect()
        try:
            return await connection.fetch(LEXEMES, texts)
        finally:
            await connection.close()

    found = [Counter[str]() for _ in texts]
    for row in run_apart(read):
        found[row["place"] - 1][row["lexeme"]] = row["uses"]
    return found


def _mem0_database(house: House) -> dict[str, Any]:
    """Make a database with pgvector in the same server; return how it is reached."""

    async def make() -> None:
        connection = await house.pg.connect()
        await connection.execute("CREATE DATABASE mem0")
        await connection.close()
        connection = await house.pg.connect(name="mem0")
        await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        await connection.close()

    run_apart(make)
    return {
        "dbname": "mem0",
        "user": "postgres",
        "password": house.pg.password("postgres"),
        "host": house.pg.host,
        "port": house.pg.port,
    }


class Unreachable(Exception):
    """What mem0 is installed from cannot be reached."""


def _mem0(house: House, told: list[Dialogue], folder: Path) -> Tally:
    """Return what mem0 finds, from an interpreter of its own. Raises Unreachable."""
    python = folder / "mem0" / "bin" / "python"
    venv.create(folder / "mem0", with_pip=True)
    installed = subprocess.run(
        [python, "-m", "pip", "install", "-q", *MEM0], capture_output=True, text=True, check=False
    )
    if installed.returncode:
        raise Unreachable(f"pip could not install {MEM0[0]} from the package index")
    task = {
        "embedder": house.embedder,
        "folder": str(folder),
        "postgres": _mem0_database(house),
        "dialogues": [
            {
                "name": dialogue.name,
                "turns": [turn.text for turn in dialogue.turns],
                "questions": [question.text for question in dialogue.questions],
            }
            for dialogue in told
        ],
    }
    ran = subprocess.run(
        [python, Path(__file__).with_name("mem0_recall.py")],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    tally = Tally.of("mem0, infer=False on pgvector")
    for dialogue, answers in zip(told, json.loads(ran.stdout)["found"], strict=True):
        for question, places in zip(dialogue.questions, answers, strict=True):
            tally.add(question, places)
    return tally
