"""One request's place with the scheduler: queued, granted, perhaps taken back, over."""

import asyncio
from collections.abc import Callable

from contracts.scheduling import Ask, Granted, Queued, Refused, Running

from model_gateway.call import Call


class Taken(Exception):
    """The scheduler took the grant back before the first byte: the request waits again."""


class Place:
    """The scheduler's answers arrive by `queued`, `granted`, `refused` and `preempted`; the asker waits on `change`."""

    def __init__(self, ask: Ask, call: Call) -> None:
        self.ask = ask
        self.call = call
        self.grant: Granted | None = None
        self.refusal: Refused | None = None
        self.first_byte = False
        self.taken = False
        self.over = False
        self.drawn_at: float | None = None
        self.watts = 0.0
        self._changed = asyncio.Event()
        self._cut: Callable[[], None] | None = None

    @property
    def running(self) -> Running | None:
        """What a returning gateway says of it, if it holds a grant."""
        if self.grant is None:
            return None
        return Running(
            ask=self.ask,
            instance_id=self.grant.instance_id,
            fence=self.grant.fence,
            first_byte=self.first_byte,
        )

    def on_queued(self, queued: Queued) -> None:
        """Tell a waiting client where it stands."""
        self.call.waiting = describe(queued)

    def on_granted(self, granted: Granted) -> None:
        """The request may be sent."""
        self.grant = granted
        self.taken = False
        self.call.waiting = ""
        self._changed.set()

    def on_refused(self, refused: Refused) -> None:
        """The request will not be served, or its node has gone while it was."""
        self.refusal = refused
        self._wake()

    def on_preempted(self) -> None:
        """The grant is taken back. After the first byte it is too late: the two messages crossed."""
        if self.grant is not None and not self.first_byte:
            self.taken = True
            self._wake()

    def lost_grant(self) -> None:
        """Forget a grant that has been given back."""
        self.grant = None
        self.taken = False
        self.drawn_at = None

    def cut_by(self, cut: Callable[[], None] | None) -> None:
        """Call `cut` when the node goes while the answer is handed on."""
        self._cut = cut

    async def change(self) -> None:
        """Return when something has happened since the last call."""
        await self._changed.wait()
        self._changed.clear()

    def wake(self) -> None:
        """Let whoever waits look again."""
        self._changed.set()

    def _wake(self) -> None:
        self._changed.set()
        if self._cut is not None:
            self._cut()


def describe(queued: Queued) -> str:
    """Return where a request stands, in a line for its client."""
    soon = queued.expected_start_seconds
    start = "" if soon is None else f" expected_start_seconds={soon:.1f}"
    return f"queued position={queued.position}{start} {queued.why}"
