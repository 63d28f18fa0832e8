"""HTTP -> the desk."""

import json
import time
from dataclasses import dataclass

from kit.metrics import Metrics
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from embedder.desk import Desk
from embedder.domain import Limits, read_ask, reply
from embedder.errors import InputInvalid

TRUNCATED_HEADER = "x-lares-truncated"


class Numbers:
    """What the embedder counts."""

    def __init__(self, metrics: Metrics, desk: Desk) -> None:
        self.texts = metrics.counter("embed_texts_total", "Texts turned into vectors.")
        self.tokens = metrics.counter("embed_tokens_total", "Tokens read.")
        self.truncated = metrics.counter("embed_truncated_total", "Texts whose end was not read.")
        self.seconds = metrics.histogram(
            "embed_request_seconds", "Seconds per request, waiting included."
        )
        waiting = metrics.gauge("embed_waiting_texts", "Texts that wait.")
        waiting.set_function(lambda: desk.waiting)


@dataclass(frozen=True)
class Api:
    """The routes and what they need."""

    desk: Desk
    limits: Limits
    numbers: Numbers

    def routes(self) -> list[Route]:
        """Return the service's own routes."""
        return [Route("/v1/embeddings", self.embeddings, methods=["POST"])]

    async def embeddings(self, request: Request) -> JSONResponse:
        """`POST /v1/embeddings`, as OpenAI's."""
        ask = read_ask(await _json(request), self.limits)
        begun = time.perf_counter()
        encoded = await self.desk.encode_all(ask.texts)
        self.numbers.seconds.observe(time.perf_counter() - begun)
        self.numbers.texts.inc(len(encoded))
        self.numbers.tokens.inc(sum(one.tokens for one in encoded))
        truncated = sum(one.truncated for one in encoded)
        self.numbers.truncated.inc(truncated)
        return JSONResponse(reply(ask, encoded), headers={TRUNCATED_HEADER: str(truncated)})


async def _json(request: Request) -> object:
    body = await request.body()
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise InputInvalid("The body is not JSON.") from None
