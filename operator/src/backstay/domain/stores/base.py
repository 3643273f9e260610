"""What the pure twin of a store is: what runs and retention passes ask of it."""

from __future__ import annotations

from typing import Protocol

from backstay.domain.run.values import RunStore
from backstay.domain.upkeep import KeptStore


class StorePlan(RunStore, KeptStore, Protocol):
    """Everything that is decided about the points of a store."""
