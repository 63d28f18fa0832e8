"""What every contract shares: frozen, strict about unknown fields, with bounded strings."""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Instant = AwareDatetime
ShortText = Annotated[str, Field(min_length=1, max_length=200)]


class Contract(BaseModel):
    """A message between two services. Unknown fields are refused, so that a typo fails at the border."""

    model_config = ConfigDict(frozen=True, extra="forbid")
