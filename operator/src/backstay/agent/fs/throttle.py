"""Hold writers back to so many bytes a second, all processes of a run together."""

from __future__ import annotations

import multiprocessing
import time

_FORK = multiprocessing.get_context("fork")


class Pace:
    """To be called with the number of bytes after each that were written; waits as long as they
    should have taken. Copies of it in forked processes share the rate.
    """

    def __init__(self, bandwidth: int) -> None:
        """Given bytes a second; 0: no limit."""
        self._bandwidth = bandwidth
        self._over = _FORK.Value("d", 0.0) if bandwidth else None
        """When all that was written should have been: seconds of the monotonic clock, which is
        one for all processes."""

    def __call__(self, count: int) -> None:
        if self._over is None or not count:
            return
        now = time.monotonic()
        with self._over.get_lock():
            self._over.value = over = max(now, self._over.value) + count / self._bandwidth
        time.sleep(over - now)
