"""`/v1/rerank`, `/v2/rerank`: documents in the order in which they answer a query.

The shape that llama.cpp, vLLM, Infinity, Jina and Cohere share. `/v2` is Cohere's later one, which never returns texts.
"""

import math
from dataclasses import dataclass
from typing import Any

from model_gateway.body import Fields, read_json, to_json
from model_gateway.catalogue import Model
from model_gateway.endpoint import Answer, Ask, Endpoint, Form, Outgoing, Tally, Whole
from model_gateway.endpoints.fields import (
    DROPPED_FIELDS,
    extra_fields,
    needed_text,
    number_of,
    refuse_unknown,
)
from model_gateway.errors import BackendInvalid, RequestInvalid
from model_gateway.ways import Needs, Way

RERANK_FIELDS = frozenset({"model", "query", "documents", "top_n", "return_documents"})
QUERY_CHARS_MAX = 64 * 1024


@dataclass(frozen=True)
class RerankAsk(Ask):
    """A checked request: what is asked, and the texts that may answer it."""

    query: str = ""
    documents: tuple[str, ...] = ()
    top: int = 0
    texts_wanted: bool = False


class Rerank(Endpoint[RerankAsk]):
    """A query and documents to scores."""

    path = "/rerank"
    aliases = ("/v2/rerank", "/rerank")
    kinds = frozenset({"rerank"})

    def read(self, form: Form, model: Model) -> RerankAsk:
        """Return the checked request. Raises RequestInvalid."""
        fields = form.fields
        refuse_unknown(fields, RERANK_FIELDS | DROPPED_FIELDS | extra_fields(model))
        query = needed_text(fields, "query", QUERY_CHARS_MAX)
        documents = _documents(fields.get("documents"))
        top = number_of(fields, "top_n", 1, 1_000_000, whole=True)
        wanted = fields.get("return_documents") or False
        if not isinstance(wanted, bool):
            raise RequestInvalid("`return_documents` is neither true nor false.")
        longest = max(len(document) for document in documents)
        return RerankAsk(
            form,
            # A document is read beside the query, each pair by itself.
            Needs(prompt_chars=len(query) + longest, inputs=len(documents)),
            query=query,
            documents=documents,
            top=min(int(top or len(documents)), len(documents)),
            texts_wanted=wanted,
        )

    def outgoing(self, ask: RerankAsk, way: Way) -> Outgoing:
        """Return query and texts under the way's name for the model."""
        known = RERANK_FIELDS | DROPPED_FIELDS
        more = {
            key: value
            for key, value in ask.form.fields.items()
            if key in way.extra_fields and key not in known
        }
        payload = {
            **more,
            "model": way.upstream_name,
            "query": ask.query,
            "documents": list(ask.documents),
            "top_n": ask.top,
        }
        return Outgoing(self.path, to_json(payload))

    async def whole(self, ask: RerankAsk, way: Way, answer: Answer, tally: Tally) -> Whole:
        """Return the scores, best first. Raises BackendInvalid."""
        reply = await read_json(answer.pieces())
        results = _results(reply, ask)
        usage = _usage(reply)
        tally.take(usage)
        body: Fields = {"object": "list", "model": way.model, "results": results}
        if isinstance(reply.get("id"), str):
            body["id"] = reply["id"]
        if usage:
            body["usage"] = usage
        return Whole(to_json(body))


def _documents(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or not given:
        raise RequestInvalid("`documents` is not a non-empty list.")
    texts: list[str] = []
    for index, document in enumerate(given):
        text = document.get("text") if isinstance(document, dict) else document
        if not isinstance(text, str) or not text:
            raise RequestInvalid(f"`documents[{index}]` is neither a text nor an object with one.")
        texts.append(text)
    return tuple(texts)


def _results(reply: Fields, ask: RerankAsk) -> list[Fields]:
    """Return the checked results. A score beside the wrong text would be believed: refused here."""
    given = reply.get("results")
    # Some servers return every document whatever `top_n` says.
    if not isinstance(given, list) or len(given) < ask.top:
        raise BackendInvalid(f"The backend did not answer with {ask.top} results.")
    scores: dict[int, float] = {}
    for entry in given:
        index = entry.get("index") if isinstance(entry, dict) else None
        score = entry.get("relevance_score") if isinstance(entry, dict) else None
        if isinstance(index, bool) or not isinstance(index, int):
            raise BackendInvalid("A result of the backend has no index.")
        if (
            isinstance(score, bool)
            or not isinstance(score, int | float)
            or not math.isfinite(score)
        ):
            raise BackendInvalid("A result of the backend has no score.")
        if index in scores or not 0 <= index < len(ask.documents):
            raise BackendInvalid("The backend's results do not match the documents.")
        scores[index] = float(score)
    best = sorted(scores.items(), key=lambda one: (-one[1], one[0]))[: ask.top]
    results: list[Fields] = []
    for index, score in best:
        result: Fields = {"index": index, "relevance_score": score}
        if ask.texts_wanted:
            result["document"] = {"text": ask.documents[index]}
        results.append(result)
    return results


def _usage(reply: Fields) -> Fields:
    """Return the usage under OpenAI's names, however the server tells it."""
    usage = reply.get("usage")
    if isinstance(usage, dict):
        told = dict(usage)
        if "prompt_tokens" not in told and isinstance(told.get("total_tokens"), int):
            told["prompt_tokens"] = told["total_tokens"]
        return told
    meta = reply.get("meta")
    tokens = meta.get("tokens") if isinstance(meta, dict) else None
    if isinstance(tokens, dict) and isinstance(tokens.get("input_tokens"), int):
        return {"prompt_tokens": tokens["input_tokens"], "total_tokens": tokens["input_tokens"]}
    return {}
