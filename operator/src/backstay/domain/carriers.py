"""From VolumeSnapshots as read to the points that retention and policies reason about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from backstay.api.policy import PolicySpec
from backstay.domain import labels, objects
from backstay.domain.calendar import load_zone
from backstay.domain.errors import DataError
from backstay.domain.objects import Obj, dig
from backstay.domain.points import Point, Rules
from backstay.domain.record import Record, dump_sizes, parse_record
from backstay.domain.times import parse_time

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def identity(obj: Obj, key: str) -> str:
    """Given a snapshot or content and an identity key, return the full value, "" if none.

    A value too long for a label stands in the annotation of the same key.
    """
    return objects.annotations(obj).get(key) or objects.labels(obj).get(key, "")


def point_of(snapshot: Obj) -> Point:
    """Given a snapshot of ours as read, return it as a point of its series."""
    taken = dig(snapshot, "status", "creationTime") or dig(
        snapshot, "metadata", "creationTimestamp"
    )
    notes = objects.annotations(snapshot)
    return Point(
        namespace=objects.namespace(snapshot),
        name=objects.name(snapshot),
        uid=objects.uid(snapshot),
        resource_version=objects.version(snapshot),
        claim=identity(snapshot, labels.PVC),
        taken=parse_time(taken),
        ready=bool(dig(snapshot, "status", "readyToUse", default=False)),
        labels=objects.labels(snapshot),
        marked_at=notes.get(labels.MARKED_AT),
        in_use=notes.get(labels.IN_USE),
        deleting=bool(dig(snapshot, "metadata", "deletionTimestamp")),
        sizes=dump_sizes(notes[labels.RECORD]) if labels.RECORD in notes else {},
    )


def cut_of(snapshot: Obj) -> datetime | None:
    """Given any snapshot, return when it was cut, else made; None if it tells no readable time."""
    taken = dig(snapshot, "status", "creationTime") or dig(
        snapshot, "metadata", "creationTimestamp"
    )
    try:
        return parse_time(str(taken)) if taken else None
    except DataError:
        return None


def cut_of_content(content: Obj) -> datetime | None:
    """Given a content, return when its snapshot was cut: contents tell nanoseconds since 1970."""
    nanoseconds = dig(content, "status", "creationTime")
    if not isinstance(nanoseconds, int):
        return None
    try:
        return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return None


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


def rules_of(spec: PolicySpec) -> Rules:
    """Given a policy's spec, return its retention. Raise UserError for an unknown zone."""
    zone = load_zone(spec.schedule.time_zone if spec.schedule else "UTC")
    kept = spec.retention
    if kept is None:
        return Rules.keep_everything(zone)
    return Rules(
        zone=zone,
        last=kept.last,
        within=kept.within or timedelta(0),
        hourly=kept.hourly,
        daily=kept.daily,
        weekly=kept.weekly,
        monthly=kept.monthly,
        yearly=kept.yearly,
        adhoc_days=kept.adhoc_days,
        failed=kept.failed,
    )
