"""The two services that a turn calls, behind typed methods: memory and the model gateway."""

import json
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from contracts import memory as memory_contracts
from contracts.exchange import ForgetReport
from contracts.memory import Tier
from contracts.names import AGENT_HEADER, CLASS_HEADER, TIER_HEADER
from kit import logs
from kit.client import Reply, ServiceClient, Unavailable
from kit.errors import KitError

from orchestrator.domain import Recalled
from orchestrator.errors import MemoryAway, ModelAway, ModelRefused
from orchestrator.prompt import Message

log = logs.get(__name__)

RECALL_SECONDS = 4.0
WRITE_SECONDS = 8.0
# What is always known is worth a moment's wait and no more.
IDENTITY_SECONDS = 1.0
FORGET_TRIES_MAX = 3


class Memory:
    """The memory service, on behalf of the caller of the running request."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def recall(self, query: str, tiers: Sequence[str], limit: int) -> list[Recalled]:
        """Return the memories that bear on the query, best first. Raises MemoryAway."""
        body = {"query": query[:2000], "limit": limit, "tiers": list(tiers)}
        reply = await self._call("POST", "/v1/recall", json=body, timeout_s=RECALL_SECONDS)
        found = memory_contracts.RecallResult.model_validate_json(reply.body)
        return [_recalled(one) for one in found.results]

    async def remember(self, text: str, tier: str, turn_id: UUID, key: str) -> UUID:
        """Keep a fact, once per `key`; return its id when it is durable. Raises MemoryAway or memory's own error."""
        body = {"text": text, "tier": tier, "source": {"kind": "conversation", "ref": str(turn_id)}}
        headers = {"Idempotency-Key": key}
        reply = await self._call(
            "POST", "/v1/memories", json=body, headers=headers, timeout_s=WRITE_SECONDS
        )
        return memory_contracts.Memory.model_validate_json(reply.body).id

    async def identity(self) -> str:
        """Return what is always to be known of the person, one line each; "" when there is nothing. Raises MemoryAway."""
        reply = await self._call("GET", "/v1/identity", timeout_s=IDENTITY_SECONDS)
        return memory_contracts.Identity.model_validate_json(reply.body).text

    async def keep_said(self, text: str, conversation_id: UUID, turn_id: UUID) -> None:
        """Keep what was said in passing for half an hour, once per turn. Raises MemoryAway or memory's own error."""
        body = {
            "text": text,
            "tier": Tier.SENSITIVE.value,
            "level": "session",
            "source": {"kind": "conversation", "ref": str(turn_id)},
            "thread": str(conversation_id),
            "speaker": "me",
        }
        headers = {"Idempotency-Key": f"said-{turn_id}"}
        await self._call(
            "POST", "/v1/memories", json=body, headers=headers, timeout_s=WRITE_SECONDS
        )

    async def forget_said(self, conversation_id: UUID) -> None:
        """Erase what was kept of a conversation as it was said. Raises MemoryAway, or memory's own error."""
        body: dict[str, Any] = {"thread": str(conversation_id)}
        for _ in range(FORGET_TRIES_MAX):
            found = await self._forget_matching({**body, "dry_run": True})
            if found.memories == 0:
                return
            try:
                await self._forget_matching({**body, "dry_run": False, "confirm": found.memories})
            except KitError as error:
                # Another was kept in between: count again.
                if error.status != 409:
                    raise

    async def _forget_matching(self, body: dict[str, Any]) -> ForgetReport:
        reply = await self._call("POST", "/v1/forget", json=body, timeout_s=WRITE_SECONDS)
        return ForgetReport.model_validate_json(reply.body)

    async def get(self, memory_id: UUID) -> Recalled | None:
        """Return one memory, or None when it is gone or not the caller's. Raises MemoryAway."""
        try:
            reply = await self._call("GET", f"/v1/memories/{memory_id}", timeout_s=RECALL_SECONDS)
        except KitError as error:
            if error.status in (404, 410):
                return None
            raise
        return _memory(memory_contracts.Memory.model_validate_json(reply.body), 1.0, ())

    async def forget(self, memory_id: UUID) -> dict[str, int]:
        """Erase a memory everywhere; return how many copies of each kind went. An absent one is {}. Raises MemoryAway."""
        try:
            reply = await self._call("DELETE", f"/v1/memories/{memory_id}", timeout_s=WRITE_SECONDS)
        except KitError as error:
            # Gone already: a repeated request has nothing left to erase, and that is success.
            if error.status in (404, 410):
                return {}
            raise
        return {str(kind): int(count) for kind, count in reply.json()["erased"].items()}

    async def _call(self, method: str, path: str, **options: Any) -> Reply:
        try:
            return await self._client.request(method, path, **options)
        except Unavailable:
            raise MemoryAway(Retry_After="3") from None


def _recalled(found: memory_contracts.Recalled) -> Recalled:
    reasons = tuple(f"{reason.arm}: {reason.detail}"[:200] for reason in found.reasons)
    return _memory(found.memory, found.score, reasons)


def _memory(memory: memory_contracts.Memory, score: float, reasons: tuple[str, ...]) -> Recalled:
    return Recalled(
        memory_id=memory.id,
        text=memory.text,
        tier=memory.tier,
        score=score,
        reasons=reasons,
        updated_at=memory.updated_at.isoformat(),
        created_at=memory.created_at.isoformat(),
    )


@dataclass(frozen=True, slots=True)
class Usage:
    """What the gateway says that an answer cost."""

    model: str
    prompt_tokens: int | None
    completion_tokens: int | None


class Models:
    """The model gateway: a prompt in, pieces of text out."""

    def __init__(
        self,
        client: ServiceClient,
        model: str,
        tokens_max: int,
        idle_s: float,
        agent: Callable[[], str | None],
    ) -> None:
        self._client = client
        self._agent = agent
        self._model = model
        self._tokens_max = tokens_max
        self._idle_s = idle_s

    async def answer(self, messages: Sequence[Message]) -> AsyncGenerator[str | Usage]:
        """Yield the answer piece by piece, then at most one Usage. Closing the generator cancels it upstream.

        Raises ModelAway when the model is not there or breaks off, ModelRefused when the gateway says no.
        """
        body: dict[str, Any] = {
            "model": self._model,
            "messages": list(messages),
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": self._tokens_max,
        }
        # Conversations and the memories in a prompt are sensitive at most: the gateway keeps such a prompt in the
        # house, or lets it out only where the person who runs the house said so.
        headers = {TIER_HEADER: Tier.SENSITIVE.value, CLASS_HEADER: "interactive"}
        if (agent := self._agent()) is not None:
            headers[AGENT_HEADER] = agent
        try:
            async with self._client.stream(
                "POST", "/v1/chat/completions", json=body, headers=headers, idle_s=self._idle_s
            ) as events:
                async for event in events:
                    if event.data == "[DONE]":
                        return
                    for piece in _pieces(json.loads(event.data)):
                        yield piece
        except Unavailable:
            raise ModelAway(Retry_After="5") from None
        except ValueError:
            log.warning("model.unreadable")
            raise ModelAway() from None
        except ModelAway:
            raise
        except KitError as error:
            log.warning("model.refused", code=error.code, status=error.status)
            if error.status >= 500:
                raise ModelAway() from None
            raise ModelRefused(f"The model gateway refused the request ({error.code}).") from None
        # A stream that ends without [DONE] was cut: what came is not the whole answer.
        raise ModelAway("The model broke off in the middle of its answer.")


def _pieces(chunk: dict[str, Any]) -> list[str | Usage]:
    if chunk.get("error"):
        raise ModelAway("The model broke off in the middle of its answer.")
    pieces: list[str | Usage] = []
    for choice in chunk.get("choices") or ():
        text = (choice.get("delta") or {}).get("content")
        if text:
            pieces.append(str(text))
    usage = chunk.get("usage")
    if usage:
        pieces.append(
            Usage(
                str(chunk.get("model", "")),
                usage.get("prompt_tokens"),
                usage.get("completion_tokens"),
            )
        )
    return pieces
