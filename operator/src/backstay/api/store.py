"""The stores: where points are kept."""

from __future__ import annotations

from enum import StrEnum


class StoreKind(StrEnum):
    """A store, by the word that `status` has for it."""

    SNAPSHOT = "Snapshot"
    """CSI snapshots: spec.snapshot."""
    ROLLING = "Rolling"
    """Hard-link copies of directories: spec.rolling."""
