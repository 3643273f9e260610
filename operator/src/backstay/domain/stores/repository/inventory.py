"""A list of a repository beside the Backups of its namespace: what is there, missing, unknown.

Invariants: a point is there when its record and its data are, and the record counts
(`points.sort`); what is younger than the list is not missing in it, and what cannot be read is
there; tags that somebody changed by hand change ids, and the Backup follows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from backstay.api.backup import BackupStatus
from backstay.api.common import changed
from backstay.api.point import PointStatus
from backstay.api.repository_store import StoredStatus
from backstay.domain import naming
from backstay.domain.errors import DataError
from backstay.domain.records.lifecycle import Run
from backstay.domain.run.status import with_point
from backstay.domain.stores.copies.agent_result import AgentResult
from backstay.domain.stores.repository.kept import Shown, is_living
from backstay.domain.stores.repository.listing import parse_line
from backstay.domain.stores.repository.points import Sorted, StoredPoint, sort
from backstay.domain.stores.repository.results import SHORT_ID

LEFT_ALONE: Final = timedelta(days=7)
"""So old data without a record is before it is taken for left: no upload takes that long."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a list shows."""

    found: Sorted
    snapshots: int
    """How many there are, of whatever, that can be read."""
    damaged: frozenset[str] = frozenset()
    """Ids of snapshots that are there and cannot be read."""


def inventory_of(lines: Sequence[str], result: AgentResult) -> Inventory:
    """Given the lines of `repository-list` and its answer, return what they show.

    Raise DataError unless all of it is there and can be understood: half a list is none.
    """
    wanted = result.number("snapshots")
    snapshots = [parse_line(line) for line in lines if line.strip()]
    if wanted is None or len(snapshots) != wanted:
        raise DataError(f"{len(snapshots)} of {wanted} lines of its log are left")
    raw = result.raw.get("damaged")
    damaged = frozenset(map(str, raw)) if isinstance(raw, list) else frozenset[str]()
    return Inventory(sort(snapshots), wanted, damaged)


def mirrored(
    found: Inventory, runs: Iterable[Run], id: str, began: datetime
) -> list[tuple[Run, BackupStatus]]:
    """Given a list, the Backups of the namespace, the ID of the repository and when the list was
    decided on, return the Backups that show a point otherwise, and the status of each.
    """
    points = _by_record(found.found.points)
    changes = []
    for run in runs:
        status = run.status
        for entry in _entries(run, id):
            new = _seen(Shown(run, entry), points, found.damaged, began)
            if new is not entry:
                status = with_point(status, new)
        if status is not run.status:
            changes.append((run, status))
    return changes


def unknown(found: Inventory, runs: Sequence[Run], id: str) -> list[StoredPoint]:
    """Given a list, the Backups of the namespace and the ID of the repository, return the points
    that no Backup shows and that are of no run of which the Backup is there: that knows better.
    """
    shown = {
        name
        for run in runs
        for p in run.status.points
        if p.stored is not None and p.stored.id == id
        for name in (p.stored.record, p.stored.data)
    }
    living = {naming.run_name(run.name, run.uid) for run in runs}
    return [
        point
        for point in found.found.points
        if not shown & {point.record.id, point.record.original, point.data.id, point.data.original}
        if run_in(point) not in living
    ]


def leftovers(found: Inventory, runs: Iterable[Run], namespace: str, now: datetime) -> list[str]:
    """Given a list, the Backups of a namespace, its name and now, return the data of uploads there
    that never came to a record and never will, by id, the oldest first. Data that a Backup names
    stays: its record may come back.
    """
    named = {p.stored.data for r in runs for p in r.status.points if p.stored is not None}
    return [
        one.id
        for one in sorted(found.found.unrecorded, key=lambda s: (s.time, s.id))
        if one.host.startswith(f"{namespace}/") and now - one.time > LEFT_ALONE
        if not {one.id, one.original} & named
    ]


def run_in(point: StoredPoint) -> str:
    """Given a point, return the part of its name that all points of its run have."""
    return point.run.partition("/")[0]


def _by_record(points: Iterable[StoredPoint]) -> Mapping[str, StoredPoint]:
    found: dict[str, StoredPoint] = {}
    for point in points:
        found[point.record.id] = point
        if point.record.original:
            found.setdefault(point.record.original, point)
    return found


def _entries(run: Run, id: str) -> Iterator[PointStatus]:
    for entry in run.status.points:
        if entry.stored is not None and entry.stored.id == id and _is_followed(entry, entry.stored):
            yield entry


def _is_followed(entry: PointStatus, stored: StoredStatus) -> bool:
    # One that was removed or given up may be brought back, from versions of the bucket.
    return is_living(entry) or stored.missing


def _seen(
    shown: Shown, points: Mapping[str, StoredPoint], damaged: Collection[str], began: datetime
) -> PointStatus:
    entry, stored = shown.entry, shown.stored
    point = points.get(stored.record)
    if point is not None and stored.data in {point.data.id, point.data.original}:
        ids = {"data": point.data.id, "record": point.record.id}
        new = changed(stored, missing=False, **ids)
        if new == stored:
            return entry
        return changed(entry, ref=point.data.id[:SHORT_ID], stored=new)
    if stored.missing or {stored.record, stored.data} & set(damaged):
        return entry
    # By our own clock, as the other is; who is not over yet has a point that the list may lack.
    good_since = shown.good_since
    if not shown.run.status.phase.final or good_since is None or good_since >= began:
        return entry
    return changed(entry, stored=changed(stored, missing=True))
