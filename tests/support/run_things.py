"""What the world of one run consists of, and how dumps and moments go in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from backstay.api.dump_status import DumpStatus
from backstay.api.point import PointResult
from backstay.domain.stores.snapshots.sights import PointSeen


@dataclass(frozen=True, slots=True)
class DumpFate:
    """How one start of a dump goes: None never ends."""

    seconds: int | None = 7
    passes: bool = True


@dataclass(frozen=True, slots=True)
class SnapshotFate:
    """How the driver treats one snapshot: seconds until taken and from there until ready."""

    taken: int | None = 4
    ready: int | None = 9
    error: str = ""


@dataclass(slots=True)
class Owner:
    """Who took the lock of a dump file last."""

    attempt: int
    alive: bool = True


@dataclass(slots=True)
class File:
    """A dump file and what lies beside it."""

    done: tuple[int, str] | None = None
    replaced: int = 0
    failed: int | None = None
    owner: Owner | None = None


@dataclass(slots=True)
class Snapshot:
    """A VolumeSnapshot with its content."""

    claim: str
    dumps: tuple[DumpStatus, ...]
    error: str = ""
    result: PointResult = PointResult.PENDING
    retained: bool = False
    labelled: bool = False
    """Its content carries what finds it."""
    live: bool = True
    taken_at: datetime | None = None
    ready: bool = False
    inside: dict[str, str] = field(default_factory=dict)
    """sha256 by dump, as the disk was at the snapshot."""
    frozen: frozenset[str] = frozenset()
    """The hooks that held at the snapshot."""


def point_seen(found: Snapshot | None, *, claim_gone: bool) -> PointSeen:
    if found is None or not found.live:
        return PointSeen(claim_gone=claim_gone)
    return PointSeen(
        exists=True,
        result=found.result,
        taken=found.taken_at is not None,
        taken_at=found.taken_at,
        ready=found.ready,
        content="content" if found.taken_at else "",
        bare=found.taken_at is not None and not found.labelled,
        restore_size=1,
        error=found.error,
    )
