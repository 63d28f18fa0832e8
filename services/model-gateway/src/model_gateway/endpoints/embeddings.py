"""`/v1/embeddings`: a vector per text, in order."""

from dataclasses import dataclass
from typing import Any

from model_gateway.body import read_json, to_json
from model_gateway.catalogue import Model
from model_gateway.endpoint import Answer, Ask, Endpoint, Form, Outgoing, Tally, Whole
from model_gateway.endpoints.fields import DROPPED_FIELDS, refuse_unknown
from model_gateway.errors import RequestInvalid
from model_gateway.vectors import read_vectors
from model_gateway.ways import Needs, Way

EMBEDDING_FIELDS = frozenset({"model", "input", "encoding_format", "dimensions"})


@dataclass(frozen=True)
class EmbedAsk(Ask):
    """A checked embeddings request."""

    texts: tuple[str, ...] = ()
    base64: bool = False


class Embeddings(Endpoint[EmbedAsk]):
    """Texts to vectors."""

    path = "/embeddings"
    kinds = frozenset({"embeddings"})

    def read(self, form: Form, model: Model) -> EmbedAsk:
        """Return the checked request. Raises RequestInvalid."""
        fields = form.fields
        refuse_unknown(fields, EMBEDDING_FIELDS | DROPPED_FIELDS)
        given = fields.get("input")
        texts: list[Any] = (
            [given] if isinstance(given, str) else given if isinstance(given, list) else []
        )
        if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
            raise RequestInvalid(
                "`input` is not a non-empty text or a list of them. Lists of token numbers are not taken."
            )
        encoding = fields.get("encoding_format") or "float"
        if encoding not in ("float", "base64"):
            raise RequestInvalid("`encoding_format` is neither float nor base64.")
        wanted = fields.get("dimensions")
        if wanted is not None and wanted != model.dimensions:
            raise RequestInvalid(
                f"`dimensions` of this model is {model.dimensions} and cannot be changed."
            )
        needs = Needs(inputs=len(texts))
        return EmbedAsk(form, needs, texts=tuple(texts), base64=encoding == "base64")

    def outgoing(self, ask: EmbedAsk, way: Way) -> Outgoing:
        """Return the texts under the way's name for the model."""
        encoding = "base64" if ask.base64 else "float"
        payload = {
            "model": way.upstream_name,
            "input": list(ask.texts),
            "encoding_format": encoding,
        }
        return Outgoing(self.path, to_json(payload))

    async def whole(self, ask: EmbedAsk, way: Way, answer: Answer, tally: Tally) -> Whole:
        """Return the vectors in the inputs' order. Raises BackendInvalid."""
        reply = await read_json(answer.pieces())
        data = read_vectors(reply, len(ask.texts), way.dimensions, ask.base64)
        usage = reply.get("usage") or {}
        tally.take(usage)
        body = {"object": "list", "model": way.model, "data": data, "usage": usage}
        return Whole(to_json(body))
