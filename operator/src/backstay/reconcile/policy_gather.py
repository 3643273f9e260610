"""What the decision on a policy rests on, made of what was read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from backstay.api.backup import BackupPhase, Trigger
from backstay.api.point import PointGone, PointResult
from backstay.api.store import REPOSITORY, SNAPSHOT
from backstay.domain import labels, objects
from backstay.domain.objects import Obj, dig
from backstay.domain.run.late import waits_for_late
from backstay.domain.schedule.early import Named
from backstay.domain.schedule.policy_seen import GoodPoint, RunSeen
from backstay.domain.stores.snapshots.carriers import (
    identity,
    is_adopted,
    is_good,
    point_of,
    record_of,
)
from backstay.domain.times import parse_time
from backstay.reconcile.runs import parse

_NOT_THERE: Final = frozenset({PointGone.MISSING, PointGone.ACCEPTED})
"""Points of which a snapshot may be there, but none that can be restored from."""


def run_seen(obj: Obj) -> RunSeen:
    """Given a Backup, return what a policy's decision rests on of it."""
    subject = parse(obj)
    plan = subject.status.plan
    return RunSeen(
        name=objects.name(obj),
        slot=subject.spec.scheduled_for,
        # An Imported one never runs: no slot waits for the status that its maker owes it.
        finished=subject.status.phase.final or subject.spec.trigger is Trigger.IMPORTED,
        started=subject.status.started_at,
        complete=subject.status.phase is BackupPhase.COMPLETED,
        late=plan is not None and waits_for_late(subject.status),
        uploads=tuple(p.source for p in (plan.points if plan else ()) if p.store == REPOSITORY),
        token=objects.annotations(obj).get(labels.RUN, ""),
    )


def edited(obj: Obj) -> datetime | None:
    """Given a policy, return when its spec was last written, by the API server's word: an
    annotation that we take off ourselves is no edit.
    """
    entries = dig(obj, "metadata", "managedFields", default=[])
    times = [e["time"] for e in entries if e.get("time") and "f:spec" in e.get("fieldsV1", {})]
    return max(map(parse_time, times), default=None)


def resumed(obj: Obj) -> datetime | None:
    """Given a policy, return when suspend was last written by somebody who wrote nothing else of
    the spec, by the API server's word: as the time moves only with the value, it was another one
    before.
    """
    alone = [
        entry["time"]
        for entry in dig(obj, "metadata", "managedFields", default=[])
        if entry.get("time")
        and entry.get("operation") == "Update"
        and not entry.get("subresource")
        and set(dig(entry, "fieldsV1", "f:spec", default={})) == {"f:suspend"}
    ]
    return max(map(parse_time, alone), default=None)


def good_points(backups: Sequence[Obj], snapshots: Sequence[Obj]) -> list[GoodPoint]:
    """Given the Backups and the snapshots of a policy, return its good points that are there."""
    # What the records say is missing counts as that, though a snapshot of its name is there again.
    gone = {p.get("ref") for p in _reported(backups) if p.get("gone") in _NOT_THERE}
    read = [
        GoodPoint(p.claim, SNAPSHOT, p.taken, identity(snapshot, labels.BACKUP))
        for snapshot, p in zip(snapshots, map(point_of, snapshots), strict=True)
        if is_good(p) and p.name not in gone
    ]
    return read + [point for backup in backups for point in _mirrored(backup)]


def _mirrored(obj: Obj) -> list[GoodPoint]:
    """The points that a Backup shows as good and there, of stores that are not read here. What a
    restore kept of what was there before it is no backup.
    """
    return [
        GoodPoint(p.source, p.store, p.taken_at, objects.name(obj))
        for p in parse(obj).status.points
        # Snapshots are read by themselves: counted here too, they would count twice.
        if p.store != SNAPSHOT and p.result is PointResult.GOOD and p.taken_at and not p.gone
        if not p.missing and not (p.rolling and p.rolling.gone)
        if p.rolling is None or labels.RESTORE_REQUEST not in p.rolling.annotations
    ]


def missing(backups: Sequence[Obj]) -> int:
    """Given the Backups of a policy, return how many of their points are missing."""
    return sum(1 for point in _reported(backups) if _is_missing(point))


def _reported(backups: Sequence[Obj]) -> list[Obj]:
    return [p for b in backups for p in dig(b, "status", "points", default=())]


def _is_missing(point: Obj) -> bool:
    """Whether a point as a Backup shows it is missing, in whatever store."""
    if point.get("gone") in (PointGone.SWEPT, PointGone.ACCEPTED):
        return False  # No list shows what was removed, or given up.
    unlisted = (dig(point, block, "missing") for block in ("rolling", "stored"))
    return point.get("gone") == PointGone.MISSING or any(unlisted)


def slots(snapshots: Sequence[Obj]) -> list[Named]:
    """Given the snapshots of a policy, return the slots of the schedule that they name; an ad-hoc
    run or another tool fills none.
    """
    # During a move another tool's snapshot of this night would stand for ours.
    ours = [s for s in snapshots if not is_adopted(s)]
    scheduled = [s for s in ours if point_of(s).run_type is labels.RunType.CRONJOB]
    records = [(record_of(s), identity(s, labels.BACKUP)) for s in scheduled]
    return [Named(record.slot, run) for record, run in records if record]
