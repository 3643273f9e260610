"""What a run has done for its points in a repository."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from backstay.api.store import REPOSITORY
from backstay.domain.run.values import StoreAction


@dataclass(frozen=True, slots=True)
class StartUpload(StoreAction):
    """Make the Job that uploads this source, and before it the temporary claim that it reads, if it
    reads one; or find that this was done.
    """

    store: ClassVar[str] = REPOSITORY
    source: str


@dataclass(frozen=True, slots=True)
class CancelUpload(StoreAction):
    """Delete the Job of this source."""

    store: ClassVar[str] = REPOSITORY
    spared: ClassVar[bool] = True
    source: str
