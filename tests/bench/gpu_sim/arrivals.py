"""Who asks for what and when: public traces thinned to a home's load, with home models, classes and callers by a seed.

The traces (Azure LLM inference 2023, Mooncake) bear times and token counts; a use of the house draws its requests from
one of them, so that bursts, lengths and lulls are real. They are read from LARES_BENCH_DATA or ../shared/data.
"""

from __future__ import annotations

import csv
import json
import math
import os
import random
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path

from .home import MODELS, USES, HomeModel, Use

HOUR_S = 3600.0
HOURS = 4
# Neither set is looked at for the other's purpose: the policy's numbers are chosen on the first and told on the second.
TUNING_SEEDS = tuple(range(11, 23))
REPORTED_SEEDS = tuple(range(101, 117))
TRANSCRIBED_S = 1.2  # from the end of the speech to the voice model's turn
GUESSED = (0.75, 1.25)  # a gateway's guess of a prompt's tokens, times the truth
SPOKEN_TOKENS_MAX, ANSWER_TOKENS_MAX = 2_500, 120
Row = tuple[float, int, int]  # seconds into the hour, tokens in, tokens out


@dataclass(slots=True)
class Job:
    """One request: what it takes when its model is there and a slot is free, and what became of it."""

    id: str
    at: float
    model: str
    service_class: str
    caller: str
    first_s: float  # from the grant to the first byte
    work_s: float  # from the grant to the end
    tokens_told: int = 0  # how long its prompt is, as a gateway guesses by its characters
    granted_at: float | None = None
    first_at: float | None = None
    done_at: float | None = None
    refused_at: float | None = None
    refused_why: str = ""
    ended_early: int = field(default=0)  # times it was taken back before its first byte


def where() -> Path:
    """Return where the traces lie, whether they do or not."""
    root = Path(__file__).resolve().parents[3]
    return Path(os.environ.get("LARES_BENCH_DATA") or root.parent / "shared" / "data") / "gpu"


@cache
def trace(name: str) -> tuple[Row, ...]:
    """Return one trace as (second of the hour, tokens in, tokens out), in order. The short one is told again and again."""
    file = {
        "conv": "azure2023_conv.csv",
        "code": "azure2023_code.csv",
        "mooncake": "mooncake_conversation.jsonl",
        "synthetic": "mooncake_synthetic.jsonl",
    }[name]
    rows = _azure(where() / file) if file.endswith(".csv") else _mooncake(where() / file)
    length = rows[-1][0] + 1.0
    times = max(1, round(HOUR_S / length))
    scale = HOUR_S / (length * times)
    return tuple(
        ((at + length * again) * scale, tokens_in, tokens_out)
        for again in range(times)
        for at, tokens_in, tokens_out in rows
    )


def _azure(file: Path) -> list[Row]:
    with file.open() as lines:
        told = [
            (datetime.fromisoformat(row["TIMESTAMP"][:26]), row) for row in csv.DictReader(lines)
        ]
    began = told[0][0]
    return [
        ((at - began).total_seconds(), int(row["ContextTokens"]), int(row["GeneratedTokens"]))
        for at, row in told
    ]


def _mooncake(file: Path) -> list[Row]:
    told = map(json.loads, file.read_text().splitlines())
    return [(one["timestamp"] / 1000, one["input_length"], one["output_length"]) for one in told]


def arrivals(
    seed: int, load: float = 1.0, hours: float = HOURS, uses: tuple[Use, ...] = USES
) -> list[Job]:
    """Return every request of one run in order of arrival; the same seed gives the same ones."""
    chance = random.Random(seed)
    jobs = [job for use in uses for job in _of_use(use, chance, load, hours)]
    jobs.sort(key=lambda job: job.at)
    for number, job in enumerate(jobs):
        job.id = f"r{number}"
    return jobs


def _of_use(use: Use, chance: random.Random, load: float, hours: float) -> list[Job]:
    rows = trace(use.trace)
    share = use.sessions_per_hour * load / len(rows)
    jobs: list[Job] = []
    for hour in range(math.ceil(hours)):
        # Each use begins at its own place of the trace, so that two uses of one trace have their bursts apart.
        shift = chance.uniform(0, HOUR_S)
        for place, (at, _, _) in enumerate(rows):
            if chance.random() < share:
                jobs += _session(use, chance, hour * HOUR_S + (at + shift) % HOUR_S, place)
    return [job for job in jobs if job.at < hours * HOUR_S]


def _session(use: Use, chance: random.Random, at: float, place: int) -> list[Job]:
    """Return a session's requests: as long as the trace's rows from `place` on, a pause between each two."""
    rows = trace(use.trace)
    caller = chance.choice(use.callers)
    # What is too long for the model is not asked of it.
    longest = max(MODELS[use.model].context_tokens, SPOKEN_TOKENS_MAX)
    jobs: list[Job] = []
    turns = 1 + int(chance.expovariate(1 / (use.turns - 1))) if use.turns > 1 else 1
    for turn in range(turns):
        _, tokens_in, tokens_out = next(
            row
            for step in range(len(rows))
            if (row := rows[(place + turn + step) % len(rows)])[1] <= longest
        )
        for model in filter(None, (use.model, use.then)):
            job = _job(use, MODELS[model], caller, at, tokens_in, tokens_out)
            job.tokens_told = int(job.tokens_told * chance.uniform(*GUESSED))
            jobs.append(job)
            at += TRANSCRIBED_S if model != (use.then or model) else job.work_s
        at += chance.expovariate(1 / use.pause_s)
    return jobs


def _job(
    use: Use, model: HomeModel, caller: str, at: float, tokens_in: int, tokens_out: int
) -> Job:
    if use.service_class == "voice":
        tokens_in, tokens_out = (
            min(tokens_in, SPOKEN_TOKENS_MAX),
            min(tokens_out, ANSWER_TOKENS_MAX),
        )
    tokens_in = min(tokens_in, model.context_tokens)
    first = model.fixed_s
    if model.prefill_tokens_s:
        first += tokens_in / model.prefill_tokens_s
    work = first + (tokens_out / model.decode_tokens_s if model.decode_tokens_s else 0.0)
    told = tokens_in if model.prefill_tokens_s else 0
    return Job("", at, model.name, use.service_class, caller, first, work, told)
