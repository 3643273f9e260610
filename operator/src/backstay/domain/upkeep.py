"""The retention pass over one policy: everything that was read in, patches and sweeps out.

Invariants: each item of the result stands for itself, so one that fails never blocks another;
a pass over a world that needs nothing returns nothing; a content is known to have lost its
snapshot only when the snapshot was asked for by name and was not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from backstay.domain import labels, objects
from backstay.domain.brakes import Brake, Held, brake_marks, withhold
from backstay.domain.carriers import point_of
from backstay.domain.objects import Obj, dig
from backstay.domain.points import Point, Rules, Verdict
from backstay.domain.retention import judge
from backstay.domain.sweep import Action, Carrier, Content, DeletionPolicy, plan_sweep
from backstay.domain.until import until

MIRRORED_NOTES = (
    labels.PVC,
    labels.POLICY,
    labels.BACKUP,
    labels.RUN,
    labels.RECORD,
    labels.ADOPTED,
)
"""Annotations of a snapshot that its content carries too, to rebuild everything from it."""


@dataclass(frozen=True, slots=True)
class Patch:
    """Labels and annotations (None removes) and spec fields to write onto an object as read."""

    obj: Obj
    labels: Mapping[str, str | None] = field(default_factory=dict)
    annotations: Mapping[str, str | None] = field(default_factory=dict)
    spec: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.labels or self.annotations or self.spec)


@dataclass(frozen=True, slots=True)
class Item:
    """What to do with one snapshot and its content. The sweep's step comes alone."""

    point: Point
    """The point as it will be labelled."""
    snapshot: Patch | None = None
    content: Patch | None = None
    sweep: Action | None = None
    until: str = ""
    """How long it is kept, for the Until column."""
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a pass over one policy rests on."""

    now: datetime
    rules: Rules | None
    """None: the policy is gone."""
    snapshots: Sequence[Obj]
    contents: Mapping[str, Obj]
    """By name: those bound to the snapshots, whether they carry our labels or not."""
    running: frozenset[str]
    """uids of the Backups that are not final."""
    requests: frozenset[str]
    """uids of the RestoreRequests that are not final."""
    released: frozenset[str] = frozenset()
    """Hashes of the plans that a person released."""
    clock: Brake | None = None
    """Set: our clock is off, and nothing is marked or swept."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One item per snapshot, and the series in which nothing is marked for now."""

    items: Sequence[Item]
    held: Sequence[Held]


def plan(seen: Seen) -> Plan:
    """Given what was read of one policy, return what to do."""
    found, held = judged(seen)
    return Plan([_item(snapshot, verdict, seen) for snapshot, verdict in found], held)


def judged(seen: Seen) -> tuple[list[tuple[Obj, Verdict]], list[Held]]:
    """Given what was read, return each snapshot with its verdict, series by series, and the
    series that a brake holds. The pass acts on it and `kubectl backstay retention` shows it.
    """
    by_series: dict[tuple[str, str], list[tuple[Obj, Point]]] = {}
    for snapshot in seen.snapshots:
        point = _as_it_counts(snapshot, seen)
        by_series.setdefault((point.namespace, point.claim), []).append((snapshot, point))
    found, held = [], []
    for series in by_series.values():
        verdicts = judge([point for _, point in series], seen.rules, seen.now)
        if seen.clock is not None:
            verdicts = [withhold(v, seen.clock.message) for v in verdicts]
        verdicts, stopped = brake_marks(verdicts, seen.released)
        held += [stopped] if stopped else []
        found += [(snapshot, v) for (snapshot, _), v in zip(series, verdicts, strict=True)]
    return found, held


def labels_after(verdict: Verdict) -> dict[str, str]:
    """Given a verdict, return all labels that its snapshot is to carry."""
    after = {**verdict.point.labels, **verdict.set_labels}
    for key in verdict.remove_labels:
        after.pop(key, None)
    return after


def _as_it_counts(snapshot: Obj, seen: Seen) -> Point:
    """The point as retention is to see it: orphaned pending ones as failed, stale users struck."""
    point = point_of(snapshot)
    run = objects.annotations(snapshot).get(labels.RUN, "")
    if point.result is labels.Result.PENDING and run not in seen.running:
        failed = {**point.labels, labels.RESULT: labels.Result.FAILED.value}
        point = replace(point, labels=failed)
    users = [u for u in (point.in_use or "").split(",") if u in seen.requests]
    return replace(point, in_use=",".join(users) or None)


def _item(snapshot: Obj, verdict: Verdict, seen: Seen) -> Item:
    point = verdict.point
    after = labels_after(verdict)
    notes: dict[str, str | None] = dict(verdict.set_annotations)
    notes |= dict.fromkeys(verdict.remove_annotations)
    if point.in_use != objects.annotations(snapshot).get(labels.IN_USE):
        notes[labels.IN_USE] = point.in_use
    changes = Patch(snapshot, _difference(objects.labels(snapshot), after), notes)
    labelled = replace(
        point,
        labels=after,
        marked_at=verdict.set_annotations.get(labels.MARKED_AT)
        or (None if labels.MARKED_AT in verdict.remove_annotations else point.marked_at),
    )
    bound = dig(snapshot, "status", "boundVolumeSnapshotContentName", default="")
    content = seen.contents.get(bound)
    shown = until(labelled, seen.rules, seen.now, last=verdict.last)
    item = Item(labelled, changes or None, until=shown, reasons=verdict.reasons)
    if content and dig(content, "spec", "volumeSnapshotRef", "uid") == objects.uid(snapshot):
        mirror = _mirror(snapshot, after, content, labelled, due=verdict.sweep)
        if mirror:
            # The sweep waits for the mirror: a content that loses its snapshot must be found.
            return replace(item, content=mirror)
    if changes or seen.clock is not None:
        return item
    mine = content_of(content) if content else None
    return replace(item, sweep=plan_sweep(carrier(snapshot), mine, (), due=verdict.sweep))


def _mirror(
    snapshot: Obj, after: Mapping[str, str], content: Obj, point: Point, *, due: bool
) -> Patch:
    """All our labels of the snapshot, its identity and record, and Retain for good points.

    An intent that is not due goes at once: should the snapshot be lost, it would take the disk.
    """
    wanted = {k: v for k, v in after.items() if k.startswith(labels.PREFIX)}
    found = {k: v for k, v in objects.labels(content).items() if k.startswith(labels.PREFIX)}
    theirs, ours = objects.annotations(content), objects.annotations(snapshot)
    notes: dict[str, str | None] = {
        k: ours[k] for k in MIRRORED_NOTES if k in ours and theirs.get(k) != ours[k]
    }
    if point.marked_at != theirs.get(labels.MARKED_AT):
        notes[labels.MARKED_AT] = point.marked_at
    dropped = not due and labels.SWEEP in theirs
    if dropped:
        notes[labels.SWEEP] = None
    retained = dig(content, "spec", "deletionPolicy") == DeletionPolicy.RETAIN.value
    spec = {}
    if not retained and (dropped or point.result is labels.Result.GOOD):
        spec = {"deletionPolicy": DeletionPolicy.RETAIN.value}
    return Patch(content, _difference(found, wanted), notes, spec)


def _difference(found: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str | None]:
    changes: dict[str, str | None] = {k: v for k, v in wanted.items() if found.get(k) != v}
    changes |= {k: None for k in found if k.startswith(labels.PREFIX) and k not in wanted}
    return changes


def carrier(snapshot: Obj) -> Carrier:
    """Given a snapshot as read, return what a sweep looks at."""
    return Carrier(
        name=objects.name(snapshot),
        uid=objects.uid(snapshot),
        resource_version=objects.version(snapshot),
        deleting=bool(dig(snapshot, "metadata", "deletionTimestamp")),
    )


def content_of(content: Obj) -> Content:
    """Given a content as read, return what a sweep looks at."""
    return Content(
        name=objects.name(content),
        uid=objects.uid(content),
        resource_version=objects.version(content),
        driver=str(dig(content, "spec", "driver", default="")),
        handle=dig(content, "status", "snapshotHandle")
        or dig(content, "spec", "source", "snapshotHandle"),
        deletion_policy=DeletionPolicy(dig(content, "spec", "deletionPolicy")),
        sweep_intent=objects.annotations(content).get(labels.SWEEP),
        ref_uid=dig(content, "spec", "volumeSnapshotRef", "uid"),
    )


def unbound(contents: Iterable[Obj], snapshots: Iterable[Obj]) -> list[Obj]:
    """Given a policy's contents and snapshots, return the contents whose snapshot is not among
    them: they may have lost it, which is to be asked by name.
    """
    there = {objects.uid(s) for s in snapshots}
    return [c for c in contents if dig(c, "spec", "volumeSnapshotRef", "uid") not in there]


@dataclass(frozen=True, slots=True)
class RecordSeen:
    """A finished Backup and which of its artifacts still exist."""

    name: str
    finished_at: datetime
    promised: bool
    """It had at least one good point."""
    artifacts: bool
    """Any snapshot or content of it exists."""


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
