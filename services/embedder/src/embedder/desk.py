"""The one desk where texts are encoded: requests take turns, text by text."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from embedder.domain import Encoded
from embedder.errors import Busy


class Desk:
    """Encodes on one thread of its own, so that the service goes on answering meanwhile.

    A list is handed over one text at a time: a question that arrives during a bulk import waits for one text of it
    and not for all.
    """

    def __init__(self, encode: Callable[[str], Encoded], waiting_max: int) -> None:
        self._encode = encode
        self._waiting_max = waiting_max
        self._waiting = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encode")

    @property
    def waiting(self) -> int:
        """Texts accepted and not yet encoded, over all requests."""
        return self._waiting

    async def encode_all(self, texts: tuple[str, ...]) -> list[Encoded]:
        """Return one vector per text, in order. Raises Busy when too many texts wait already."""
        if self._waiting + len(texts) > self._waiting_max:
            raise Busy(Retry_After="1")
        self._waiting += len(texts)
        loop = asyncio.get_running_loop()
        encoded: list[Encoded] = []
        try:
            for text in texts:
                encoded.append(await loop.run_in_executor(self._thread, self._encode, text))
                self._waiting -= 1
        finally:
            self._waiting -= len(texts) - len(encoded)
        return encoded

    def close(self) -> None:
        """Let the text in hand finish and drop the rest."""
        self._thread.shutdown(wait=True, cancel_futures=True)
