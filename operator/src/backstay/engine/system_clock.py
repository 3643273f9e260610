"""The real clock: the one place that asks the system for time and randomness."""

from __future__ import annotations

import asyncio
import random  # noqa: TID251 - this is the Clock that everybody else must use
import time
from datetime import UTC, datetime


class SystemClock:
    """`backstay.domain.clock.Clock` on the system's clocks."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        return datetime.now(UTC)  # noqa: TID251 - this is the Clock

    def monotonic(self) -> float:
        """Return seconds since an arbitrary fixed point; never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Given seconds (zero or less: just yield), return when they have passed."""
        await asyncio.sleep(max(0.0, seconds))

    def jitter(self, base: float, fraction: float) -> float:
        """Given a base and a fraction (0..1), return a number in base * [1 - f, 1 + f]."""
        return base * (1.0 + fraction * random.uniform(-1.0, 1.0))  # noqa: S311 - spreads load
