"""The records of finished runs: what they show of their points, and when they go.

Invariant: a record is an index of artifacts. It shows what they carry, and is removed only after
its last one, which is to be asked for by name before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from backstay.api.backup import BackupSpec, BackupStatus, PointResult, PointStatus
from backstay.api.common import changed
from backstay.domain.points import Point, Rules
from backstay.domain.subject import Subject
from backstay.domain.until import tiers_of

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


def shown(record: Run, points: Mapping[str, tuple[Point, str]]) -> BackupStatus:
    """Given a finished Backup and, by the names of their artifacts, the points that exist and how
    long they are kept, return the status that tells so.
    """
    entries = tuple(_entry(entry, points) for entry in record.status.points)
    if all(a is b for a, b in zip(entries, record.status.points, strict=True)):
        return record.status
    tiers = list(dict.fromkeys(t for e in entries for t in e.tiers))
    untils = list(dict.fromkeys(e.until for e in entries if e.until))
    return changed(
        record.status,
        points=entries,
        tiers=",".join(tiers) or None,
        until=untils[0] if len(untils) == 1 else ("mixed" if untils else None),
    )


def _entry(entry: PointStatus, points: Mapping[str, tuple[Point, str]]) -> PointStatus:
    """The entry as it should be; itself where it says so already, as nearly always."""
    point, until = points.get(entry.artifact or "", (None, ""))
    tiers: tuple[str, ...] = tiers_of(point) if point is not None else ()
    kept = until or None
    if point is None and entry.artifact:
        kept = "gone"
    if (tiers, kept) == (entry.tiers, entry.until):
        return entry
    return changed(entry, tiers=tiers, until=kept)


def removable(
    finished: Sequence[Run], alive: Collection[str], rules: Rules | None, now: datetime
) -> list[Run]:
    """Given the finished Backups of a policy, the uids of runs that have an artifact, and the
    rules, return the Backups whose last point is gone, and old ones that never had any.
    """
    seen = [
        RecordSeen(
            name=record.name,
            finished_at=record.status.completed_at or now,
            promised=any(p.result is PointResult.GOOD for p in record.status.points),
            artifacts=record.uid in alive,
        )
        for record in finished
    ]
    keep = rules.failed if rules is not None and not rules.keeps_all else KEEP_FAILED
    names = frozenset(records_to_remove(seen, keep))
    return [record for record in finished if record.name in names]


def records_to_remove(records: Sequence[RecordSeen], keep_failed: int) -> list[str]:
    """Given finished Backups, return those whose last point is gone, and all but the newest
    `keep_failed` of those that never had one: they say why.
    """
    gone = [r.name for r in records if r.promised and not r.artifacts]
    empty = sorted(
        (r for r in records if not r.promised and not r.artifacts),
        key=lambda r: (r.finished_at, r.name),
        reverse=True,
    )
    return gone + [r.name for r in empty[keep_failed:]]
