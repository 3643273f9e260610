"""A clock whose time moves only when a test says so."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any, cast

START = datetime(2026, 11, 22, 0, 32, tzinfo=UTC)


class VirtualClock:
    """`backstay.domain.clock.Clock` on virtual time: sleepers wake in order, at once.

    `luck` (-1..1) is where in its range every jitter falls.
    """

    def __init__(self, start: datetime = START, *, luck: float = 0.0) -> None:
        self._start = start
        self._elapsed = 0.0
        self._skew = timedelta(0)
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self.luck = luck

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed) + self._skew

    def monotonic(self) -> float:
        return self._elapsed

    def jitter(self, base: float, fraction: float) -> float:
        return base * (1.0 + fraction * self.luck)

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), done))
        await done

    def set_wall(self, moment: datetime) -> None:
        """Given an aware datetime, make it `now()` without moving monotonic time."""
        self._skew += moment - self.now()

    async def advance(self, seconds: float) -> None:
        """Given seconds, let them pass: each sleeper wakes at its time, then all settle."""
        end = self._elapsed + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, done = heapq.heappop(self._sleepers)
            if done.done():
                continue
            self._elapsed = max(self._elapsed, due)
            done.set_result(None)
            await settle()
        self._elapsed = end

    def stall(self, seconds: float) -> None:
        """Given seconds, let them pass without waking anybody, as when the loop is blocked."""
        self._elapsed += seconds

    def next_due(self) -> float | None:
        """Return in how many seconds the next sleeper wakes, None if nobody sleeps."""
        waits = [due - self._elapsed for due, _, done in self._sleepers if not done.done()]
        return min(waits, default=None)


async def settle() -> None:
    """Return when no task of this loop can go on without time, I/O or another thread."""
    ready = cast("deque[Any]", vars(asyncio.get_running_loop())["_ready"])
    for _ in range(100_000):
        await asyncio.sleep(0)
        if not ready:
            return
    raise AssertionError("the loop never came to rest: something runs without ever waiting")


class InstantClock(VirtualClock):
    """A virtual clock whose sleeps end at once: time passes because somebody sleeps.

    For code that also waits for real sockets. `naps` lists the sleeps in seconds.
    """

    def __init__(self, start: datetime = START, *, luck: float = 0.0) -> None:
        super().__init__(start, luck=luck)
        self.naps: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self._elapsed += max(0.0, seconds)
        await asyncio.sleep(0)
