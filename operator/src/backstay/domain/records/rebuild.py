"""Records recreated from what the artifacts carry.

Invariants: a record that is there is never changed, and one artifact that cannot be read never
keeps another's record away; what a record says is a function of the artifacts alone, so making it
twice gives the same; an Imported record is final from its first status on.

What no artifact carries is not made up: the pods of dumps, the claims of a run that never got a
snapshot, why one failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backstay.api.backup import BackupPhase, BackupStatus, Trigger
from backstay.api.common import changed, format_time
from backstay.api.dump_status import DumpStatus
from backstay.api.point import PointResult, PointStatus, SnapshotStatus
from backstay.api.store import SNAPSHOT
from backstay.domain import labels, naming, objects
from backstay.domain.objects import Obj, dig
from backstay.domain.records.dumps import shown_dump
from backstay.domain.run.ends import size_of
from backstay.domain.stores.snapshots.carriers import identity, is_adopted, record_of
from backstay.domain.stores.snapshots.moments import moment_of


@dataclass(frozen=True, slots=True)
class Artifact:
    """A snapshot and its content, or one of them where the other is gone."""

    snapshot: Obj | None
    content: Obj | None
    size: int | None = None
    """Bytes that a restore needs, where known."""

    @property
    def carrier(self) -> Obj:
        """What says most: the snapshot, else the content."""
        found = self.snapshot or self.content
        assert found is not None  # noqa: S101 - an artifact is at least one of them
        return found


@dataclass(frozen=True, slots=True)
class Import:
    """A record to make, and the artifacts that are to point at it."""

    body: Obj
    status: BackupStatus
    artifacts: Sequence[Artifact]

    @property
    def name(self) -> str:
        """Name of the Backup."""
        return objects.name(self.body)


def pair(
    snapshots: Iterable[Obj], contents: Iterable[Obj], size: Callable[[Obj, Obj | None], int | None]
) -> list[Artifact]:
    """Given a policy's snapshots and contents, and what gives an artifact's size, return the
    artifacts. Contents of snapshots that are not among them stand alone.
    """
    left = {dig(c, "spec", "volumeSnapshotRef", "uid"): c for c in contents}
    found = []
    for snapshot in snapshots:
        content = left.pop(objects.uid(snapshot), None)
        found.append(Artifact(snapshot, content, size(snapshot, content)))
    return found + [Artifact(None, c, dig(c, "status", "restoreSize")) for c in left.values()]


def imports(
    namespace: str, policy: str, artifacts: Iterable[Artifact], living: Iterable[str]
) -> list[Import]:
    """Given a policy's artifacts and the uids of all Backups, return the records that the
    artifacts point at and that are not there, by name. A run of which one artifact points at
    nothing is whole in it: whoever was killed between two of them left such a one.

    Artifacts without a result or a record's name have none.
    """
    uids = frozenset(living)
    runs: dict[str, list[Artifact]] = {}
    lost: set[str] = set()
    for artifact in artifacts:
        name = identity(artifact.carrier, labels.BACKUP)
        if name and _result(artifact) is not None:
            runs.setdefault(name, []).append(artifact)
            if objects.annotations(artifact.carrier).get(labels.RUN) not in uids:
                lost.add(name)
    return [make_import(namespace, policy, name, runs[name]) for name in sorted(lost)]


def make_import(namespace: str, policy: str, name: str, artifacts: Sequence[Artifact]) -> Import:
    """Given the artifacts of one run (at least one), return its record."""
    artifacts = sorted(artifacts, key=_name)
    spec: Obj = {"policy": policy, "trigger": Trigger.IMPORTED.value}
    if (slot := _slot(artifacts, scheduled=True)) is not None:
        spec["scheduledFor"] = format_time(slot)
    metadata = {
        "name": name,
        "namespace": namespace,
        "labels": {labels.POLICY: naming.label_value(policy)},
    }
    return Import({"metadata": metadata, "spec": spec}, status_of(artifacts), tuple(artifacts))


def status_of(artifacts: Sequence[Artifact]) -> BackupStatus:
    """Given the artifacts of one run, return the final status that they show."""
    best: dict[str, PointStatus] = {}
    for artifact in artifacts:
        point = _point(artifact)
        if point.source not in best or _rank(best[point.source]) < _rank(point):
            best[point.source] = point
    points = tuple(best[claim] for claim in sorted(best))
    good = [p for p in points if p.result is PointResult.GOOD]
    phase = BackupPhase.COMPLETED if len(good) == len(points) else BackupPhase.PARTIALLY_FAILED
    moments = [p.taken_at for p in points if p.taken_at is not None]
    status = BackupStatus(
        phase=phase if good else BackupPhase.FAILED,
        message="made from its artifacts",
        attempt=max(p.attempt for p in points),
        started_at=_slot(artifacts),
        completed_at=max(moments, default=None),
        taken=min((p.taken_at for p in good if p.taken_at), default=None),
        dumps=_dumps(artifacts, points),
        points=points,
    )
    return changed(status, size=size_of(status, good))


def _result(artifact: Artifact) -> PointResult | None:
    """What the carrier says. A pending one whose run is gone failed, as retention has it."""
    written = objects.labels(artifact.carrier).get(labels.RESULT)
    if written == labels.Result.PENDING:
        return PointResult.FAILED
    return PointResult(written) if written in set(PointResult) else None


def _rank(point: PointStatus) -> tuple[bool, int, str]:
    return point.result is PointResult.GOOD, point.attempt, point.ref or ""


def _name(artifact: Artifact) -> str:
    """The snapshot's name, there or not."""
    if artifact.snapshot is not None:
        return objects.name(artifact.snapshot)
    return str(dig(artifact.content, "spec", "volumeSnapshotRef", "name", default=""))


def _point(artifact: Artifact) -> PointStatus:
    carrier, record = artifact.carrier, record_of(artifact.carrier)
    bound = dig(artifact.snapshot, "status", "boundVolumeSnapshotContentName")
    content = bound or objects.name(artifact.content or {})
    return PointStatus(
        source=identity(carrier, labels.PVC),
        store=SNAPSHOT,
        attempt=max(record.attempt, 1) if record else 1,
        ref=_name(artifact),
        snapshot=SnapshotStatus(content=content) if content else None,
        result=_result(artifact) or PointResult.FAILED,
        taken_at=_taken(artifact),
        bytes=artifact.size,
    )


def _dumps(artifacts: Sequence[Artifact], points: Sequence[PointStatus]) -> tuple[DumpStatus, ...]:
    """The dumps inside the artifacts that the points speak of."""
    shown = {p.ref: p for p in points}
    found: dict[str, DumpStatus] = {}
    for artifact in artifacts:
        record, point = record_of(artifact.carrier), shown.get(_name(artifact))
        if record is not None and point is not None:
            for dump in record.dumps:
                found.setdefault(dump.name, shown_dump(dump, record, point))
    return tuple(found[name] for name in sorted(found))


def _slot(artifacts: Sequence[Artifact], *, scheduled: bool = False) -> datetime | None:
    """The slot of the run, if it was `scheduled` where that is asked; snapshots of other tools
    are of no run of ours.
    """
    for artifact in artifacts:
        record, carried = record_of(artifact.carrier), objects.labels(artifact.carrier)
        cronjob = carried.get(labels.TYPE) == labels.RunType.CRONJOB
        if record is not None and not is_adopted(artifact.carrier) and (cronjob or not scheduled):
            return record.slot
    return None


def _taken(artifact: Artifact) -> datetime | None:
    return moment_of(artifact.carrier)


def is_asked(policy: Mapping[str, Any]) -> bool:
    """Given a policy as read, return whether its records are to be rebuilt: a new policy's are,
    and those of one that carries the annotation.
    """
    asked = labels.REBUILD in objects.annotations(policy)
    return asked or dig(policy, "status", "rebuiltAt") is None


def is_begun(backup: Obj, policy: str) -> bool:
    """Given a Backup as read and a policy's name, return whether it is an Imported record of that
    policy whose maker died before its status.
    """
    spec = dig(backup, "spec", default={})
    mine = spec.get("trigger") == Trigger.IMPORTED.value and spec.get("policy") == policy
    return mine and dig(backup, "status", "phase") is None
