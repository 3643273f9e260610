"""What a run has done for its rolling copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from backstay.api.store import ROLLING
from backstay.domain.run.values import StoreAction


@dataclass(frozen=True, slots=True)
class StartCopy(StoreAction):
    """Make the Job that copies this series, and before it the temporary claim that it reads, if it
    reads one; or find that this was done.
    """

    store: ClassVar[str] = ROLLING
    series: str


@dataclass(frozen=True, slots=True)
class CancelCopy(StoreAction):
    """Delete the Job of this series."""

    store: ClassVar[str] = ROLLING
    spared: ClassVar[bool] = True
    series: str
