"""The stores: where points are kept, by the word that `status` has for each."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from pydantic import Field

StoreName: TypeAlias = Annotated[str, Field(max_length=63)]
"""Not an enum: a store is added by registering it (stores/registry.py)."""
SNAPSHOT: Final = "Snapshot"
"""CSI snapshots: spec.snapshot."""
ROLLING: Final = "Rolling"
"""Hard-link copies of directories: spec.rolling."""
REPOSITORY: Final = "Repository"
"""Copies in a restic repository: spec.repository."""
