"""A process that ends before one of its writes, on a real API server.

A client asks its fence before each write, so a fence that raises Fatal at the write number k is a
process that was killed after k writes: whatever it had read or decided is lost.
"""

from __future__ import annotations

from backstay.domain.errors import Fatal
from backstay.kube.client import Fence


class Killed(Fatal):
    """The process ended here."""


def killing(at: int) -> Fence:
    """Given the number of a write, counted from 0, return a fence that ends the process there."""
    left = at

    def fence() -> None:
        nonlocal left
        if left == 0:
            raise Killed("killed")
        left -= 1

    return fence
