"""A look at everything, now and then.

Invariant: whatever the watch loses (a dropped event, a write that got no answer, an edit made
while nobody ran) is found by the next pass. Passes never overlap; a failed one is repeated
soon, and failing for ever never ends the loop: only `Fatal` does.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from backstay.domain.clock import Clock
from backstay.domain.errors import Fatal
from backstay.engine.backoff import Backoff

log = logging.getLogger(__name__)


class Resync:
    """Calls `callback` at once and then each `interval`, give or take `jitter` (a fraction)."""

    def __init__(
        self,
        clock: Clock,
        interval: timedelta,
        jitter: float,
        callback: Callable[[], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._interval = interval
        self._jitter = jitter
        self._callback = callback
        self._retry = Backoff(first=timedelta(seconds=1), cap=interval)

    async def run(self) -> None:
        """Go on until cancelled. Raise Fatal as soon as the callback does."""
        failures = 0
        while True:
            try:
                await self._callback()
            except Fatal:
                raise
            except Exception as error:
                failures += 1
                pause = self._retry.delay(failures, self._clock).total_seconds()
                log.error(
                    "resync: %s; try %d failed, next in %.1f s",
                    error, failures, pause, exc_info=error,
                )  # fmt: skip
            else:
                failures = 0
                pause = self._clock.jitter(self._interval.total_seconds(), self._jitter)
            await self._clock.sleep(pause)
