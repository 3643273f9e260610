"""Since when something has been refused: what is being set right just now is given some time.

In memory: a process that follows another starts over, and so is patient once more.
"""

from __future__ import annotations

from collections.abc import Hashable
from datetime import timedelta

from backstay.domain.clock import Clock


class Patience:
    """Patience of `limit` with each key."""

    def __init__(self, clock: Clock, limit: timedelta) -> None:
        self._clock = clock
        self._limit = limit.total_seconds()
        self._since: dict[Hashable, float] = {}

    def is_over(self, key: Hashable) -> bool:
        """Note that `key` is refused now; return whether it has been for `limit` or longer."""
        now = self._clock.monotonic()
        return now - self._since.setdefault(key, now) >= self._limit

    def left(self, key: Hashable) -> timedelta | None:
        """Return how long patience with `key` lasts still, None if it is over or not needed."""
        since = self._since.get(key)
        if since is None:
            return None
        left = since + self._limit - self._clock.monotonic()
        return timedelta(seconds=left) if left > 0 else None

    def forget(self, key: Hashable) -> None:
        """Note that `key` is not refused any more, or does not matter."""
        self._since.pop(key, None)
