"""A program that a test starts where one of the house's containers stands (`nsenter`): see crowd.py, which reads it.

    inside.py crowd GATEWAY MODEL,MODEL STREAMS      people who ask, one after another, until stdin closes
    inside.py watch SCHEDULER                        what the scheduler shows, twice a second, until stdin closes

Each line of its output is one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from collections.abc import Coroutine
from typing import Any

import aiohttp

ANSWER_TOKENS_MAX = 16
# A request that takes longer is stuck, and the test is to say so.
ANSWER_SECONDS_MAX = 90.0
PAUSE_SECONDS = 0.1
# After anything but an answer.
PATIENCE_SECONDS = 0.5
LOOK_SECONDS = 0.5
CLASSES = ("interactive", "agent", "interactive", "batch")


def say(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


async def ask(client: Any, model: str, service_class: str) -> bool:
    """Ask once, to the end, and say how it went. Returns whether there was a whole answer."""
    import openai

    trace = secrets.token_hex(16)
    told: dict[str, Any] = {"id": trace, "model": model, "began": time.time()}
    pieces, finish = 0, ""
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            stream = await client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": "Count from one to ten."}],
                max_tokens=ANSWER_TOKENS_MAX,
                stream=True,
                extra_headers={
                    "traceparent": f"00-{trace}-{secrets.token_hex(8)}-01",
                    "X-Lares-Service": "orchestrator",
                    "X-Lares-Max-Tier": "sensitive",
                    "X-Lares-Class": service_class,
                },
            )
            async for chunk in stream:
                for choice in chunk.choices:
                    pieces += bool(choice.delta.content)
                    finish += choice.finish_reason or ""
        told["outcome"] = "whole" if finish in ("stop", "length") else "half"
    except openai.APIStatusError as error:
        told |= {"outcome": "refused", "code": code_of(error), "status": error.status_code}
    except openai.APIConnectionError as error:
        told |= {"outcome": "cut", "detail": type(error.__cause__).__name__}
    except openai.APIError as error:
        told |= {"outcome": "refused", "code": code_of(error), "status": 200}
    except TimeoutError:
        told |= {"outcome": "stuck"}
    except Exception as error:  # httpx's, from the middle of a body: the line broke
        told |= {"outcome": "cut", "detail": type(error).__name__}
    say(**told, ended=time.time(), pieces=pieces, finish=finish)
    return told["outcome"] == "whole"


def code_of(error: Any) -> str:
    """Return the code that the house gave, or nothing."""
    body: Any = error.body
    return str(body.get("code") or "") if isinstance(body, dict) else ""


async def crowd(done: asyncio.Event, gateway: str, models: str, streams: str) -> None:
    """Let so many people ask, each one model after another, until `done`; then wait for the last answers."""
    import openai  # here: it takes seconds to load, and who watches does not need it

    names = models.split(",")
    client = openai.AsyncOpenAI(base_url=f"{gateway}/v1", api_key="none", max_retries=0)

    async def person(number: int) -> None:
        service_class, turn = CLASSES[number % len(CLASSES)], number
        while not done.is_set():
            # Most stay with a model for a while, as people and agents do.
            answered = await ask(client, names[turn // 3 % len(names)], service_class)
            turn += 1
            await asyncio.sleep(PAUSE_SECONDS if answered else PATIENCE_SECONDS)

    await asyncio.gather(*(person(3 * number) for number in range(int(streams))))


async def watch(done: asyncio.Event, scheduler: str) -> None:
    """Say what the scheduler shows, or that it does not answer."""
    patience = aiohttp.ClientTimeout(total=3)
    async with aiohttp.ClientSession(timeout=patience) as session:
        while not done.is_set():
            try:
                headers = {"X-Lares-Service": "orchestrator"}
                async with session.get(f"{scheduler}/v1/status", headers=headers) as answer:
                    shown = await answer.json()
                    said = shown if answer.status == 200 else None
            except (aiohttp.ClientError, TimeoutError, ValueError):
                said = None
            say(at=time.time(), status=said)
            await asyncio.sleep(LOOK_SECONDS)


async def main(verb: str, *words: str) -> None:
    done, loop = asyncio.Event(), asyncio.get_running_loop()

    def closed() -> None:
        loop.remove_reader(sys.stdin)
        done.set()

    loop.add_reader(sys.stdin, closed)
    work: dict[str, Any] = {"crowd": crowd, "watch": watch}
    doing: Coroutine[Any, Any, None] = work[verb](done, *words)
    await doing


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
