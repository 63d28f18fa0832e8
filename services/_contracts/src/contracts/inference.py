"""The OpenAI-compatible shapes that the house speaks to its model gateway."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.base import Contract

DEFAULT_CHAT_MODEL = "lares-small"
DEFAULT_EMBEDDING_MODEL = "minilm-l6-v2"
EMBEDDING_DIMENSIONS = 384

ModelName = Annotated[str, Field(min_length=1, max_length=128)]


class OpenAIShape(BaseModel):
    """A shape of somebody else's protocol: fields we do not know pass, so that newer clients and servers work."""

    model_config = ConfigDict(frozen=True, extra="allow")


class ChatMessage(Contract):
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: Annotated[str, Field(max_length=100_000)]


class ChatRequest(OpenAIShape):
    """`POST /v1/chat/completions`."""

    model: ModelName = DEFAULT_CHAT_MODEL
    messages: Annotated[tuple[ChatMessage, ...], Field(min_length=1, max_length=200)]
    stream: bool = False
    max_tokens: Annotated[int, Field(ge=1, le=8192)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None


class ChatDelta(OpenAIShape):
    """The new piece of a streamed answer."""

    role: str | None = None
    content: str | None = None


class ChatChunkChoice(OpenAIShape):
    """One choice of a streamed chunk."""

    index: int = 0
    delta: ChatDelta
    finish_reason: str | None = None


class ChatChunk(OpenAIShape):
    """One `data:` line of a streamed answer."""

    id: str = ""
    model: str = ""
    choices: tuple[ChatChunkChoice, ...] = ()


class EmbeddingRequest(OpenAIShape):
    """`POST /v1/embeddings`."""

    model: ModelName = DEFAULT_EMBEDDING_MODEL
    input: str | Annotated[tuple[str, ...], Field(min_length=1, max_length=64)]


class Embedding(OpenAIShape):
    """One vector, at the index of its input."""

    index: int
    embedding: tuple[float, ...]


class EmbeddingReply(OpenAIShape):
    """The vectors of a request, in the order of its inputs."""

    model: str
    data: tuple[Embedding, ...]


class ModelInfo(OpenAIShape):
    """One model that can be asked, and whether it runs in the house."""

    id: ModelName
    object: Literal["model"] = "model"
    owned_by: str = "lares"
    in_house: bool = True


class ModelList(OpenAIShape):
    """`GET /v1/models`."""

    object: Literal["list"] = "list"
    data: tuple[ModelInfo, ...]
