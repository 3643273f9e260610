"""Our own writes, until the watch shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from backstay.domain import objects
from backstay.domain.objects import Obj

MOST: Final = 10_000
"""Writes that are remembered."""


class Echoes:
    """The versions that the newest writes have made."""

    def __init__(self) -> None:
        self._written: dict[tuple[str, str], None] = {}

    def add(self, written: Obj) -> None:
        """Given an object as a write has stored it, remember its version."""
        self._written[objects.uid(written), objects.version(written)] = None
        if len(self._written) > MOST:
            del self._written[next(iter(self._written))]

    def has(self, obj: Mapping[str, Any]) -> bool:
        """Given an object as a watch shows it, return whether that is what we wrote ourselves:
        then nobody else has changed it since what that write was made from. From any thread.
        """
        return (objects.uid(obj), objects.version(obj)) in self._written
