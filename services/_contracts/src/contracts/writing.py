"""What memory's writing takes and gives beside single memories: batches, merging, and the embedding models."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from contracts.base import Contract
from contracts.memory import RememberRequest

BATCH_MAX = 256


class BatchRequest(Contract):
    """`POST /v1/memories/batch`: many memories in one request, of which one that is refused stops no other."""

    memories: list[RememberRequest] = Field(min_length=1, max_length=BATCH_MAX)


class BatchOutcome(Contract):
    """What became of one of them: `id` is the memory's, or that of the one it joined; else why it was refused."""

    index: int
    outcome: Literal["remembered", "merged", "refused"]
    id: UUID | None = None
    code: str | None = None
    reason: str | None = None


class BatchResult(Contract):
    """One outcome per memory, in their order. What is not refused is stored."""

    results: list[BatchOutcome]


class MergeMemories(Contract):
    """`POST /v1/memories/{id}/merge`: the other memory that is the same."""

    other: UUID


class EmbeddingModel(Contract):
    """A model by which memories are found by meaning."""

    name: str
    dimensions: int


class EmbeddingProblem(Contract):
    """Why the model that the settings name is not used."""

    model: str
    code: str


class EmbeddingStatus(Contract):
    """`GET /v1/embedding`: which model answers, and how far the one that is to follow has come."""

    active: EmbeddingModel
    building: EmbeddingModel | None = None
    done: int = 0
    total: int = 0
    problem: EmbeddingProblem | None = None
