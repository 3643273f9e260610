"""Backups made from the records of a repository: in an empty cluster, or where they were lost.

Invariants: what a Backup says is a function of the record, so making it twice gives the same; what
a record says was written by anybody who has the password, so only what a run of ours would have
written is taken from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic import ValidationError

from backstay.api.backup import BackupPhase, BackupSpec, BackupStatus, Trigger
from backstay.api.common import format_time
from backstay.api.point import PointResult, PointStatus
from backstay.api.repository_store import StoredSource, StoredStatus
from backstay.api.store import REPOSITORY
from backstay.domain import labels, naming
from backstay.domain.errors import DataError
from backstay.domain.objects import Obj, dig
from backstay.domain.records.dumps import shown_dump
from backstay.domain.records.lifecycle import Run
from backstay.domain.records.record import Record
from backstay.domain.run.status import format_size
from backstay.domain.stores.repository.carried import Carried
from backstay.domain.stores.repository.inventory import run_in
from backstay.domain.stores.repository.origins import origin_of
from backstay.domain.stores.repository.points import StoredPoint
from backstay.domain.stores.repository.results import SHORT_ID

MADE: Final = "made from its records in repository {name}"
_OURS: Final = (labels.TYPE, labels.RETAIN, labels.RETAIN_DAYS)
"""Labels that a run gives its points and that retention goes by."""


class Scope(StrEnum):
    """Of which points Backups are made: others may share the repository."""

    ALL = "All"
    """Whoever made them: for where nothing is ever removed."""
    NAMESPACE = "Namespace"
    """Those of a namespace of this name, in whatever cluster: a person says that they are ours."""
    OURS = "Ours"
    """Those of this very namespace."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where Backups are made, and of which repository."""

    namespace: str
    namespace_uid: str
    repository: str
    id: str

    def has(self, record: Record, scope: Scope) -> bool:
        """Given a record and a scope, return whether its point is in that."""
        if scope is Scope.ALL:
            return True
        if record.namespace != self.namespace:
            return False
        return scope is Scope.NAMESPACE or record.namespace_uid == self.namespace_uid


@dataclass(frozen=True, slots=True)
class _Read:
    point: StoredPoint
    carried: Carried

    @property
    def source(self) -> str:
        claim, path = self.carried.record.claim.name, self.carried.path
        return f"{claim}/{path}" if path else claim


def imported(
    points: Iterable[StoredPoint], place: Place, scope: Scope, backups: Sequence[Run]
) -> tuple[list[tuple[Obj, BackupStatus]], dict[str, str]]:
    """Given points that no Backup shows, where Backups are to be made, of which points, and the
    Backups that are there, return each new Backup with its status, final from the first one on; and
    by record why one is not imported.
    """
    by_run: dict[str, list[_Read]] = {}
    refused: dict[str, str] = {}
    for point in points:
        try:
            read = _read(point)
        except DataError as error:
            refused[point.record.id] = error.message
            continue
        if not place.has(read.carried.record, scope):
            continue
        by_run.setdefault(run_in(point), []).append(read)
    # One that was begun keeps no name: it is found by that name, and ended.
    taken = {run.name for run in backups if not _is_begun(run.obj)}
    made = []
    for run in sorted(by_run):
        reads = by_run[run]
        name = _name(run, reads[0], taken)
        taken.add(name)
        made.append((_body(name, place, reads[0]), _status(place, reads)))
    return made, refused


def _read(point: StoredPoint) -> _Read:
    """Raise DataError if it is none that a run of ours could have made."""
    read = _Read(point, Carried.from_json(point.said))
    try:
        BackupSpec.model_validate(_spec(read))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise DataError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    return read


def _is_begun(backup: Obj) -> bool:
    imported = dig(backup, "spec", "trigger") == Trigger.IMPORTED.value
    return imported and dig(backup, "status", "phase") is None


def _name(run: str, read: _Read, taken: Collection[str]) -> str:
    """The name of the Backup that was lost; where another has it now, that with the run's."""
    lost = naming.object_name(read.carried.record.backup or run)
    return lost if lost not in taken else naming.object_name(f"{lost}-{naming.digest(run)[:5]}")


def _body(name: str, place: Place, read: _Read) -> Obj:
    carried = {labels.POLICY: naming.label_value(read.carried.record.policy)}
    metadata = {"name": name, "namespace": place.namespace, "labels": carried}
    return {"metadata": metadata, "spec": _spec(read)}


def _spec(read: _Read) -> Obj:
    record = read.carried.record
    spec: Obj = {"policy": record.policy, "trigger": Trigger.IMPORTED.value}
    if read.carried.labels.get(labels.TYPE) == labels.RunType.CRONJOB:
        spec["scheduledFor"] = format_time(record.slot)
    return spec


def _status(place: Place, reads: Sequence[_Read]) -> BackupStatus:
    # A run has one point of a source; of an attempt that was made again the last one counts.
    best: dict[str, _Read] = {}
    for read in sorted(reads, key=lambda r: (r.point.attempt, r.point.record.time)):
        best[read.source] = read
    points = tuple(_point(place, best[source]) for source in sorted(best))
    moments = [p.taken_at for p in points if p.taken_at is not None]
    lacks = any(p.unreadable for p in points)
    dumps = {
        dump.name: shown_dump(dump, read.carried.record, entry)
        for read, entry in zip((best[s] for s in sorted(best)), points, strict=True)
        for dump in read.carried.record.dumps
    }
    return BackupStatus(
        phase=BackupPhase.PARTIALLY_FAILED if lacks else BackupPhase.COMPLETED,
        message=MADE.format(name=place.repository),
        attempt=max(p.attempt for p in points),
        started_at=reads[0].carried.record.slot,
        completed_at=max(moments, default=None),
        taken=min(moments, default=None),
        size=format_size(sum(p.bytes or 0 for p in points)),
        dumps=tuple(dumps[name] for name in sorted(dumps)),
        points=points,
    )


def _point(place: Place, read: _Read) -> PointStatus:
    point, record = read.point, read.carried.record
    born = {key: value for key, value in read.carried.labels.items() if key in _OURS}
    return PointStatus(
        source=read.source,
        store=REPOSITORY,
        ref=point.data.id[:SHORT_ID],
        attempt=max(point.attempt, 1),
        result=PointResult.GOOD,
        taken_at=point.data.time,
        bytes=point.content.bytes,
        stored=StoredStatus(
            repository=place.repository,
            id=place.id,
            data=point.data.id,
            record=point.record.id,
            tree=point.data.tree,
            source=StoredSource.model_validate(origin_of(point.said)),
            labels={
                labels.POLICY: record.policy,
                labels.BACKUP: record.backup,
                labels.RETAIN: labels.Retain.DAILY_WEEKLY_MONTHLY.value,
                **born,
                labels.RESULT: labels.Result.GOOD.value,
            },
            annotations={},
            files=point.content.files,
            new_bytes=point.content.added,
            unreadable=point.content.unreadable,
        ),
    )
