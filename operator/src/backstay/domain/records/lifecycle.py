"""The records of finished runs: what they show of their points, and when they go.

Invariant: a record is an index of artifacts. It shows what they carry, and is removed only after
its last one, which is to be asked for by name before. One whose good points went although nothing
of ours removed them stays, as Gone (`domain.vanished`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from backstay.api.backup import (
    BackupPhase,
    BackupSpec,
    BackupStatus,
    PointGone,
    PointResult,
    PointStatus,
)
from backstay.api.common import changed
from backstay.domain.retention.expiry import tiers_of
from backstay.domain.retention.points import Point, Rules
from backstay.domain.run.status import points_left
from backstay.domain.subject import Subject

Run: TypeAlias = Subject[BackupSpec, BackupStatus]

KEEP_FAILED: Final = 10
"""Records of failed runs without any artifact, where the policy names no number."""


@dataclass(frozen=True, slots=True)
class RecordSeen:
    """A finished Backup and which of its artifacts still exist."""

    name: str
    finished_at: datetime
    promised: bool
    """It had at least one good point."""
    artifacts: bool
    """Any snapshot or content of it exists."""
    unsettled: bool = False
    """A good point of it was neither removed by retention nor given up by a person."""


def shown(record: Run, points: Mapping[str, tuple[Point, str]]) -> BackupStatus:
    """Given a finished Backup and, by the names of their artifacts, the points that exist and how
    long they are kept, return the status that tells so.
    """
    entries = tuple(_entry(entry, points) for entry in record.status.points)
    phase = _phase(record.status)
    same = all(a is b for a, b in zip(entries, record.status.points, strict=True))
    if same and phase is record.status.phase:
        return record.status
    tiers = list(dict.fromkeys(t for e in entries for t in e.tiers))
    untils = list(dict.fromkeys(e.until for e in entries if e.until))
    return changed(
        record.status,
        phase=phase,
        points=entries,
        tiers=",".join(tiers) or None,
        until=untils[0] if len(untils) == 1 else ("mixed" if untils else None),
    )


def _entry(entry: PointStatus, points: Mapping[str, tuple[Point, str]]) -> PointStatus:
    """The entry as it should be; itself where it says so already, as nearly always."""
    point, until = points.get(entry.artifact or "", (None, ""))
    tiers: tuple[str, ...] = tiers_of(point) if point is not None else ()
    kept = until or None
    if (point is None or entry.gone) and entry.artifact:
        tiers, kept = (), "swept" if entry.gone is PointGone.SWEPT else "gone"
    if (tiers, kept) == (entry.tiers, entry.until):
        return entry
    return changed(entry, tiers=tiers, until=kept)


def _phase(status: BackupStatus) -> BackupPhase:
    """Gone while none of its good points is there and one was not removed by retention; what the
    run had come to when one is back.
    """
    gone = [p.gone for p in status.points if p.result is PointResult.GOOD and p.rolling is None]
    lost = PointGone.MISSING in gone or PointGone.ACCEPTED in gone
    if lost and None not in gone:
        return BackupPhase.GONE
    if status.phase is not BackupPhase.GONE:
        return status.phase
    whole = all(p.result is PointResult.GOOD for p in status.points)
    if whole and (status.plan is None or not points_left(status)):
        return BackupPhase.COMPLETED
    return BackupPhase.PARTIALLY_FAILED


def removable(
    finished: Sequence[Run],
    alive: Collection[str],
    rules: Rules | None,
    now: datetime,
    unsettled: Collection[str] = (),
) -> list[Run]:
    """Given the finished Backups of a policy, the uids of runs that have an artifact, the rules,
    now and the uids of runs with a point that is not gone as it should be, return the Backups whose
    last point is, and old ones that never had any.
    """
    seen = [
        RecordSeen(
            name=record.name,
            finished_at=record.status.completed_at or now,
            promised=any(p.result is PointResult.GOOD for p in record.status.points),
            artifacts=record.uid in alive,
            unsettled=record.uid in unsettled,
        )
        for record in finished
    ]
    keep = rules.failed if rules is not None and not rules.keeps_all else KEEP_FAILED
    names = frozenset(records_to_remove(seen, keep))
    return [record for record in finished if record.name in names]


def records_to_remove(records: Sequence[RecordSeen], keep_failed: int) -> list[str]:
    """Given finished Backups, return those whose last point is gone as it should be, and all but
    the newest `keep_failed` of those that never had one: they say why.
    """
    gone = [r.name for r in records if r.promised and not r.artifacts and not r.unsettled]
    empty = sorted(
        (r for r in records if not r.promised and not r.artifacts),
        key=lambda r: (r.finished_at, r.name),
        reverse=True,
    )
    return gone + [r.name for r in empty[keep_failed:]]
