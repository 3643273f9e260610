"""From VolumeSnapshots as read to the points that retention and policies reason about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo

from backstay.domain import labels, objects
from backstay.domain.errors import DataError
from backstay.domain.objects import Obj, dig
from backstay.domain.records.annotation import parse_record
from backstay.domain.records.glance import glance
from backstay.domain.records.record import Record
from backstay.domain.retention.points import Point
from backstay.domain.stores.snapshots.moments import created, is_bound_by_hand, moment_of
from backstay.domain.times import parse_time


def identity(obj: Obj, key: str) -> str:
    """Given a snapshot or content and an identity key, return the full value, "" if none.

    A value too long for a label stands in the annotation of the same key.
    """
    return objects.annotations(obj).get(key) or objects.labels(obj).get(key, "")


def point_of(snapshot: Obj, zone: tzinfo = UTC) -> Point:
    """Given a snapshot of ours as read and the zone of its policy's dates, return it as a point
    of its series. Raise DataError if it does not say when it was made.
    """
    taken = moment_of(snapshot, zone)
    if taken is None:
        raise DataError(f"VolumeSnapshot {objects.name(snapshot)} has no time")
    notes = objects.annotations(snapshot)
    seen = glance(notes.get(labels.RECORD))
    carried = objects.labels(snapshot)
    if not _is_of_its_run(snapshot, notes):
        carried.pop(labels.RESULT, None)
    return Point(
        namespace=objects.namespace(snapshot),
        name=objects.name(snapshot),
        uid=objects.uid(snapshot),
        resource_version=objects.version(snapshot),
        claim=identity(snapshot, labels.PVC),
        taken=taken,
        ready=bool(dig(snapshot, "status", "readyToUse", default=False)),
        labels=carried,
        marked_at=notes.get(labels.MARKED_AT),
        in_use=notes.get(labels.IN_USE),
        deleting=bool(dig(snapshot, "metadata", "deletionTimestamp")),
        sizes=seen.sizes,
        forms=seen.forms,
        good_since=_good_since(snapshot, notes),
        real=labels.ADOPTED not in notes and labels.RESTORE_REQUEST not in notes,
        origin=seen.origin,
        released=notes.get(labels.SWEEP_RELEASED),
    )


def _good_since(snapshot: Obj, notes: Mapping[str, str]) -> datetime | None:
    try:
        return parse_time(notes[labels.GOOD_SINCE])
    except (KeyError, DataError):
        return created(snapshot)


def _is_of_its_run(snapshot: Obj, notes: Mapping[str, str]) -> bool:
    """Whether the labels were written for this very snapshot: one that was recreated from the
    manifest of another holds what the volume holds now. A pair that was bound by hand has the
    disk of the one before.
    """
    made_for = notes.get(labels.MADE_FOR)
    return made_for in (None, objects.uid(snapshot)) or is_bound_by_hand(snapshot)


def is_adopted(obj: Obj) -> bool:
    """Given a snapshot or content of ours, return whether another tool made it: it is of no slot
    of our schedules.
    """
    return labels.ADOPTED in objects.annotations(obj)


def is_good(point: Point) -> bool:
    """Given a point, return whether it counts as a good backup."""
    return point.result is labels.Result.GOOD and point.ready and not point.deleting


def record_of(snapshot: Obj) -> Record | None:
    """Given a snapshot or content, return its record; None if it has none that can be read."""
    text = objects.annotations(snapshot).get(labels.RECORD)
    if text is None:
        return None
    try:
        return parse_record(text)
    except DataError:
        return None
