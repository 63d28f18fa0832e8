"""The addresses of OpenAI's protocol, each one object."""

from typing import Any

from model_gateway.endpoint import Endpoint
from model_gateway.endpoints.audio import Transcriptions, Translations
from model_gateway.endpoints.chat import Chat
from model_gateway.endpoints.completions import Completions
from model_gateway.endpoints.embeddings import Embeddings
from model_gateway.endpoints.images import Images
from model_gateway.endpoints.rerank import Rerank
from model_gateway.endpoints.responses import Responses
from model_gateway.endpoints.speech import Speech

ENDPOINTS: tuple[Endpoint[Any], ...] = (
    Chat(),
    Completions(),
    Responses(),
    Embeddings(),
    Rerank(),
    Transcriptions(),
    Translations(),
    Speech(),
    Images(),
)
