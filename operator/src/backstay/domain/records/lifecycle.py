"""The records of finished runs: what they show of their points, and when they go.

Invariant: a record is an index of artifacts. It shows what they carry, and is removed only after
its last one, which is to be asked for by name before. One whose good points went although nothing
of ours removed them stays, as Gone (`stores.snapshots.vanished`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from backstay.api.backup import BackupPhase, BackupSpec, BackupStatus
from backstay.api.common import changed
from backstay.api.point import PointGone, PointResult, PointStatus
from backstay.domain.retention.expiry import tiers_of
from backstay.domain.retention.findings import Findings
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


def settled(
    finished: Sequence[Run],
    found: Mapping[str, Findings],
    rules: Collection[Rules | None],
    now: datetime,
) -> tuple[list[tuple[Run, BackupStatus]], list[Run]]:
    """Given the finished Backups of a policy, what was found in each store that was looked at, the
    rules of these and now, return each Backup with the status that it is to show, and those that
    can go.
    """
    points = {name: point for f in found.values() for name, point in f.points.items()}
    statuses = []
    for run in finished:
        noted = [entry for f in found.values() for entry in f.noted.get(run.uid, ())]
        statuses.append((run, _shown(_with_entries(run.status, noted), points, found)))
    alive = {uid for f in found.values() for uid in f.alive}
    # What a store that was not looked at has is there still.
    alive |= {r.uid for r in finished if any(_is_elsewhere(p, found) for p in r.status.points)}
    unsettled = {uid for f in found.values() for uid in f.unsettled}
    return statuses, removable(finished, alive, rules, now, unsettled)


def moves(before: BackupStatus, after: BackupStatus) -> bool:
    """Given a status before and after, return whether a good point is gone now, or back."""
    return before is not after and [p.gone for p in before.points] != [p.gone for p in after.points]


def announced(status: BackupStatus) -> set[str]:
    """Given a Backup's status, return the points whose removal it announces, by their names in
    their stores.
    """
    return {p.ref or "" for p in status.points if p.gone is PointGone.SWEPT}


def _with_entries(status: BackupStatus, noted: Sequence[PointStatus]) -> BackupStatus:
    """The status with these points in the place of those that name the same artifacts."""
    new = {entry.artifact: entry for entry in noted}
    if not new:
        return status
    return changed(status, points=tuple(new.get(p.artifact, p) for p in status.points))


def _is_elsewhere(entry: PointStatus, looked: Collection[str]) -> bool:
    gone = entry.gone is not None or (entry.rolling is not None and entry.rolling.gone)
    return entry.store not in looked and entry.result is PointResult.GOOD and not gone


def _shown(
    before: BackupStatus,
    points: Mapping[str, tuple[Point, str]],
    looked: Collection[str],
) -> BackupStatus:
    """The status of a finished Backup that says which of its points exist, and for how long."""
    entries = tuple(_entry(e, points) if e.store in looked else e for e in before.points)
    phase = _phase(before)
    same = all(a is b for a, b in zip(entries, before.points, strict=True))
    if same and phase is before.phase:
        return before
    tiers = list(dict.fromkeys(t for e in entries for t in e.tiers))
    untils = list(dict.fromkeys(e.until for e in entries if e.until))
    return changed(
        before,
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
    gone = [
        PointGone.SWEPT if p.rolling is not None and p.rolling.gone else p.gone
        for p in status.points
        if p.result is PointResult.GOOD
    ]
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
    rules: Collection[Rules | None],
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
    kept = [r.failed for r in rules if r is not None and not r.keeps_all]
    keep = max(kept, default=KEEP_FAILED)
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
