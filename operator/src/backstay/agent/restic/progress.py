"""How much was moved so far, said now and then for whoever reads the Job's log."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Final

EVERY: Final = 15.0
"""Seconds between two lines."""


class Progress:
    """To be called with every news; writes a line of it when it is time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Given what measures seconds."""
        self._clock = clock
        self._began = self._last = clock()

    def __call__(self, moved: int, of: int) -> None:
        """Given how many bytes were moved, and of how many as far as is known."""
        now = self._clock()
        if now - self._last < EVERY:
            return
        self._last = now
        said = {"bytes": moved, "of": of, "seconds": round(now - self._began)}
        sys.stdout.write(json.dumps({"progress": said}, separators=(",", ":")) + "\n")
        sys.stdout.flush()
