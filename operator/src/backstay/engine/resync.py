"""A look at everything, now and then.

Invariant: whatever the watch loses (a dropped event, a write that got no answer, an edit made
while nobody ran) is found by the next pass. Passes never overlap; a failed one is repeated
soon, and failing for ever never ends the loop: only `Fatal` does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from backstay.domain.clock import Clock
from backstay.domain.errors import Fatal, Transient
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
        self._wake = asyncio.Event()
        self._retry = Backoff(first=timedelta(seconds=1), cap=interval)

    def wake(self) -> None:
        """Have the next pass made at once: much may have changed unseen."""
        self._wake.set()

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
                expected = isinstance(error, Transient)
                log.log(
                    logging.WARNING if expected else logging.ERROR,
                    "resync: %s; try %d failed, next in %.1f s",
                    error, failures, pause, exc_info=None if expected else error,
                )  # fmt: skip
            else:
                failures = 0
                pause = self._clock.jitter(self._interval.total_seconds(), self._jitter)
            await self._sleep_or_wake(pause)

    async def _sleep_or_wake(self, seconds: float) -> None:
        sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        wake = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({sleep, wake}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            wake.cancel()
            self._wake.clear()
