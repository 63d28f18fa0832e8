"""What the model gateway says of its models. Chat and embeddings are OpenAI's own shapes, passed on as they come."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

ModelName = Annotated[str, Field(min_length=1, max_length=128)]


class OpenAIShape(BaseModel):
    """A shape of somebody else's protocol: fields we do not know pass, so that newer clients and servers work."""

    model_config = ConfigDict(frozen=True, extra="allow")


class ModelInfo(OpenAIShape):
    """One model that can be asked, and whether it runs in the house."""

    id: ModelName
    object: Literal["model"] = "model"
    owned_by: str = "lares"
    in_house: bool = True
    kind: str = "chat"
    enabled: bool = True
    available: bool = True
    routes: tuple["RouteInfo", ...] = ()


class RouteInfo(OpenAIShape):
    """One way of a model, in the order in which they are tried. Of a way over the GPU nodes: what the scheduler says."""

    way: str
    in_house: bool
    max_tier: Literal["convenience", "sensitive", "sacred"]
    context_tokens: int | None = None
    enabled: bool
    available: bool
    resident: bool | None = None
    expected_wait_seconds: float | None = None
    why: str = ""


class ModelList(OpenAIShape):
    """`GET /v1/models`."""

    object: Literal["list"] = "list"
    data: tuple[ModelInfo, ...]
