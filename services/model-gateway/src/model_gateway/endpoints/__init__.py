"""The addresses of OpenAI's protocol, each one object."""

from typing import Any

from model_gateway.endpoint import Endpoint
from model_gateway.endpoints.chat import Chat
from model_gateway.endpoints.embeddings import Embeddings

ENDPOINTS: tuple[Endpoint[Any], ...] = (Chat(), Embeddings())
