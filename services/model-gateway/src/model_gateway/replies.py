"""What a model server's answer means here, whichever way it came."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
from kit import logs
from kit.errors import KitError

from model_gateway import errors
from model_gateway.body import read_bounded

log = logs.get(__name__)

REFUSAL_BYTES_MAX = 64 * 1024
REFUSAL_CHARS_MAX = 300
REQUEST_AT_FAULT = (400, 413, 422)


class HttpAnswer:
    """An aiohttp answer whose first piece has been read."""

    def __init__(self, response: aiohttp.ClientResponse, first: bytes) -> None:
        self._response = response
        self._first = first

    @property
    def content_type(self) -> str:
        """As the server named it."""
        return self._response.headers.get("content-type", "")

    @property
    def headers(self) -> Mapping[str, str]:
        """As the server sent them."""
        return self._response.headers

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives."""
        if self._first:
            yield self._first
        # Not `iter_any`: it is one step more for every token.
        read = self._response.content.readany
        while piece := await read():
            yield piece


def refuse_compressed(answer: aiohttp.ClientResponse) -> None:
    """Return if the body can be read as it is. Raises BackendInvalid."""
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise errors.BackendInvalid("The backend compressed its answer, which was not asked for.")


async def refusal(answer: aiohttp.ClientResponse, who: str) -> KitError:
    """Return what a status other than 200 means. `who` begins the sentence."""
    log.info("backend.refused", who=who, status=answer.status)
    if answer.status in REQUEST_AT_FAULT:
        return await _request_refused(answer)
    if answer.status in (401, 403):
        return errors.BackendRefusedKey(f"{who} answered {answer.status}.")
    if answer.status == 429:
        return errors.BackendBusy(Retry_After=_retry_after(answer))
    if answer.status in (503, 529):
        return errors.BackendUnavailable(
            f"{who} says that it is not ready.", Retry_After=_retry_after(answer)
        )
    if answer.status == 404:
        return errors.BackendInvalid(f"{who} knows no such address or model.")
    return errors.BackendFailed(f"{who} answered {answer.status}.")


async def _request_refused(answer: aiohttp.ClientResponse) -> KitError:
    try:
        body = await read_bounded(answer.content.iter_any(), REFUSAL_BYTES_MAX)
        said: Any = json.loads(body)["error"]
        kind = str(said.get("type") or said.get("code"))
        message = str(said["message"])[:REFUSAL_CHARS_MAX]
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        errors.BackendInvalid,
    ):
        return errors.RequestRefused()
    too_long = kind == "invalid_request_error" and message.startswith("prompt is too long")
    if too_long or kind in ("exceed_context_size_error", "context_length_exceeded"):
        return errors.PromptTooLong()
    return errors.RequestRefused(f"The model's server refused the request: {message}")


def _retry_after(answer: aiohttp.ClientResponse) -> str:
    said = answer.headers.get("retry-after", "")
    return said if said.isascii() and said.isdigit() and len(said) <= 4 else "10"
