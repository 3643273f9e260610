"""How long to wait after the n-th failure in a row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from backstay.domain.clock import Clock

SPREAD = 0.25
"""Jitter around every delay, as a fraction: failures that came together must not retry together."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Doubling delays from `first` to `cap`."""

    first: timedelta
    cap: timedelta

    def delay(self, failures: int, clock: Clock) -> timedelta:
        """Given failures in a row (1 or more), return the jittered delay, never over `cap`."""
        doublings = min(failures - 1, 32)  # beyond this every cap is reached; floats stay small
        seconds = min(self.first.total_seconds() * 2.0**doublings, self.cap.total_seconds())
        return min(timedelta(seconds=clock.jitter(seconds, SPREAD)), self.cap)
