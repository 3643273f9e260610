"""Waiting for a condition with a deadline, for tests: never for a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


def eventually(
    condition: Callable[[], T], what: str, seconds: float = 180, every: float = 0.01
) -> T:
    """Given a condition and its name, return its first true value. Raise AssertionError naming it
    when there is none within `seconds`: a guard on a busy machine, not a speed. It is asked again
    after `every` seconds.
    """
    limit = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > limit:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(every)
    return found


@asynccontextmanager
async def within(seconds: float, what: str) -> AsyncIterator[None]:
    """Limit a block that waits. Raise AssertionError naming what it waits for when time is up."""
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise AssertionError(f"not within {seconds} s: {what}") from None
