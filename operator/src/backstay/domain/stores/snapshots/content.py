"""What a content carries of its snapshot: enough to restore and to rebuild everything from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from backstay.domain import labels, objects
from backstay.domain.errors import DataError
from backstay.domain.objects import Obj, dig
from backstay.domain.retention.points import Point, is_held
from backstay.domain.stores.snapshots.deletion import Carrier, Content, DeletionPolicy

MIRRORED_NOTES = (
    labels.PVC,
    labels.POLICY,
    labels.BACKUP,
    labels.RUN,
    labels.RECORD,
    labels.ADOPTED,
    labels.TAKEN_AT,
    labels.GOOD_SINCE,
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


def mirror(
    snapshot: Obj, after: Mapping[str, str], content: Obj, point: Point, *, due: bool
) -> Patch:
    """Given a snapshot, the labels that it is to carry, its content, the point as it will be
    labelled and whether a sweep is due, return what the content is to get: all our labels of the
    snapshot, its identity and record, and Retain for good points and for those with a date: a
    sweep needs it, and takes no write for it so.

    A proof of a sweep that is not due any more goes at once: with the snapshot it would take the
    disk. Nothing is written where the sweep is at its end already (`deletion.plan_sweep`).
    """
    if due and content_of(content).leaves_with(objects.uid(snapshot)):
        return Patch(content)
    wanted = {k: v for k, v in after.items() if k.startswith(labels.PREFIX) and k != labels.SWEPT}
    found = {k: v for k, v in objects.labels(content).items() if k.startswith(labels.PREFIX)}
    if due and labels.SWEPT in found:
        wanted[labels.SWEPT] = found[labels.SWEPT]
    theirs, ours = objects.annotations(content), objects.annotations(snapshot)
    notes: dict[str, str | None] = {
        k: ours[k] for k in MIRRORED_NOTES if k in ours and theirs.get(k) != ours[k]
    }
    if point.marked_at != theirs.get(labels.MARKED_AT):
        notes[labels.MARKED_AT] = point.marked_at
    # What a sweep wrote that is not meant any more, or what says nothing.
    stale = labels.SWEEP in theirs or (labels.SWEPT in found and not due)
    if labels.SWEEP in theirs:
        notes[labels.SWEEP] = None
    retained = dig(content, "spec", "deletionPolicy") == DeletionPolicy.RETAIN.value
    spec = {}
    kept = point.result is labels.Result.GOOD or labels.DELETE_AFTER in after
    if not retained and (stale or kept):
        spec = {"deletionPolicy": DeletionPolicy.RETAIN.value}
    return Patch(content, difference(found, wanted), notes, spec)


def difference(found: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str | None]:
    """Given labels as found and as wanted, return what to set and which of ours to remove."""
    if found == wanted:
        return {}
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
    """Given a content as read, return what a sweep looks at. Raise DataError if it has no
    deletionPolicy that we know.
    """
    try:
        deletion_policy = DeletionPolicy(dig(content, "spec", "deletionPolicy"))
    except ValueError as error:
        raise DataError(f"content {objects.name(content)}: {error}") from error
    carried = objects.labels(content)
    return Content(
        name=objects.name(content),
        uid=objects.uid(content),
        resource_version=objects.version(content),
        driver=str(dig(content, "spec", "driver", default="")),
        handle=dig(content, "status", "snapshotHandle")
        or dig(content, "spec", "source", "snapshotHandle"),
        deletion_policy=deletion_policy,
        ref_uid=dig(content, "spec", "volumeSnapshotRef", "uid"),
        delete_after=carried.get(labels.DELETE_AFTER),
        swept=carried.get(labels.SWEPT),
        held=is_held(carried),
        deleting=bool(dig(content, "metadata", "deletionTimestamp")),
    )
