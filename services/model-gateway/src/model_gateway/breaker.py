"""Leaves a failing backend alone for a while, so that a dead one is answered for at once."""

from kit.clock import Clock

FAILURES_MAX = 3
REST_SECONDS = 5.0


class Breaker:
    """Opens after three failures in a row; then one request every five seconds may try."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._next_try = 0.0

    @property
    def open(self) -> bool:
        """Whether the backend is being left alone."""
        return self._failures >= FAILURES_MAX

    def allow(self) -> bool:
        """Return whether a request may try now. While open, a yes is given once per rest."""
        if not self.open:
            return True
        now = self._clock.monotonic()
        if now < self._next_try:
            return False
        self._next_try = now + REST_SECONDS
        return True

    def succeeded(self) -> None:
        """The backend answered."""
        self._failures = 0

    def failed(self) -> None:
        """The backend did not answer, or broke."""
        self._failures += 1
        self._next_try = self._clock.monotonic() + REST_SECONDS
