"""What a run has done for its snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from backstay.api.dump_status import DumpStatus
from backstay.api.store import SNAPSHOT
from backstay.domain.run.values import StoreAction


@dataclass(frozen=True, slots=True)
class CreateSnapshot(StoreAction):
    """Ask the driver for a snapshot of this claim, or find that this was done."""

    store: ClassVar[str] = SNAPSHOT
    claim: str
    name: str
    requested_at: datetime
    dumps: tuple[DumpStatus, ...]


@dataclass(frozen=True, slots=True)
class LabelContent(StoreAction):
    """Make the content carry what its snapshot says, and Retain: it is found whatever happens."""

    store: ClassVar[str] = SNAPSHOT
    repeated: ClassVar[bool] = True
    claim: str


@dataclass(frozen=True, slots=True)
class MarkGood(StoreAction):
    """Make the content Retain, then write result=good and the tiers onto it and the snapshot."""

    store: ClassVar[str] = SNAPSHOT
    claim: str


@dataclass(frozen=True, slots=True)
class MarkFailed(StoreAction):
    """Write result=failed onto the snapshot if it is there and still pending, and label its content
    if that has a disk snapshot.
    """

    store: ClassVar[str] = SNAPSHOT
    spared: ClassVar[bool] = True
    snapshot: str
