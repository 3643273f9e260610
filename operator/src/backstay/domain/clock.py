"""Time and randomness as a value that is handed in.

Invariants: nothing outside an implementation of `Clock` asks the system for the time, sleeps, or
draws a random number, so that every rule can be run on virtual time. `now()` may jump (somebody
sets the clock); `monotonic()` never goes back and is the one to measure durations with.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The only source of time and randomness."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds since an arbitrary fixed point; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Given seconds (zero or less: just yield), return when they have passed."""
        ...

    def jitter(self, base: float, fraction: float) -> float:
        """Given a base and a fraction (0..1), return a number in base * [1 - f, 1 + f]."""
        ...
