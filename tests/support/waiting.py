"""Waiting for a condition with a deadline, for tests: never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(condition: Callable[[], object], what: str, seconds: float = 20) -> None:
    """Given a condition and its name, return once it holds. Raise AssertionError naming it when it
    does not within `seconds`.
    """
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)
