"""Hands a backend's stream on as it comes, and knows its regular end from a broken one."""

from collections.abc import AsyncGenerator

from model_gateway import sse
from model_gateway.endpoint import STREAM_TYPE, Answer, Tally
from model_gateway.errors import BackendFailed, BackendInvalid


def check_stream(answer: Answer) -> None:
    """Return if the answer is a stream of events. Raises BackendInvalid."""
    if not answer.content_type.startswith(STREAM_TYPE):
        raise BackendInvalid("The backend answered a streaming request without a stream.")


def ended(reader: sse.Reader) -> None:
    """Return if the stream came to its regular end. Raises BackendFailed."""
    if not (reader.done or reader.finished):
        raise BackendFailed("The backend stopped in the middle of its answer.")


async def relay(reader: sse.Reader, answer: Answer, tally: Tally) -> AsyncGenerator[bytes]:
    """Yield the chunks as they come, and `[DONE]` at the end of a whole answer alone.

    What arrives together is sent on together. Raises BackendFailed or BackendInvalid.
    """
    check_stream(answer)
    splitter = sse.Splitter()
    async for piece in answer.pieces():
        out: list[bytes] = []
        invalid: BackendInvalid | None = None
        try:
            for event in splitter.feed(piece):
                if (sent := reader.read(event)) is not None:
                    out.append(sent)
                if reader.done:
                    break
        except BackendInvalid as error:
            # What came before a bad event is the client's all the same.
            invalid = error
        tally.pieces = reader.pieces
        if reader.usage is not None:
            tally.take(reader.usage)
        if out:
            yield out[0] if len(out) == 1 else b"".join(out)
        if invalid is not None:
            raise invalid
        if reader.done:
            break
    # What follows the end is nobody's.
    if not reader.done and (rest := splitter.rest()):
        last = reader.read(rest)
        tally.pieces = reader.pieces
        tally.take(reader.usage)
        if last is not None:
            yield last
    ended(reader)
    yield sse.DONE
