"""What has been seen already, bounded in number and in time. Pure: the caller brings the time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable


class Once:
    """Keys that were taken. A full one takes nothing new until its oldest key is `seconds` old: it fails closed."""

    def __init__(self, size_max: int, seconds: float) -> None:
        self._size_max = size_max
        self._seconds = seconds
        self._taken: OrderedDict[Hashable, float] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._taken

    def take(self, key: Hashable, now: float) -> bool:
        """Take a key that was not taken before. Returns False when there is no room; raises KeyError when it was taken."""
        if key in self._taken:
            raise KeyError(key)
        while self._taken and next(iter(self._taken.values())) <= now - self._seconds:
            self._taken.popitem(last=False)
        if len(self._taken) >= self._size_max:
            return False
        self._taken[key] = now
        return True

    def renew(self, key: Hashable, now: float) -> None:
        """Count a key's time from now on, if there is room for it."""
        if key in self._taken or len(self._taken) < self._size_max:
            self._taken[key] = now
            self._taken.move_to_end(key)
