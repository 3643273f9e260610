"""Waiting for a condition with a deadline, for tests: never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(
    condition: Callable[[], T], what: str, seconds: float = 20, every: float = 0.01
) -> T:
    """Given a condition and its name, return its first true value. Raise AssertionError naming it
    when there is none within `seconds`. It is asked again after `every` seconds.
    """
    limit = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > limit:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(every)
    return found
