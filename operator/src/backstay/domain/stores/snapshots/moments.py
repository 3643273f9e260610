"""When a point was taken: what our own run saw, never what somebody else's clock says.

Drivers report creationTime 0, one old moment for every snapshot of a volume, or the moment at
which a snapshot was bound again; nodes and storage have clocks of their own. So a run writes down
the moment of its snapshot (`moment_taken`, annotation taken-at), and everything that compares,
groups or dates points reads that. Where it is missing (an older point, one of another tool, one
bound again by hand), first match wins:

| the snapshot | its moment |
|---|---|
| has taken-at | that; a person may correct it |
| was bound again by hand, with a record | the slot of the run |
| no record, and no tier label names the time of its creation | the first day that they name |
| any other | its creation in the API server |

Invariants: no moment without taken-at is later than the creation in the API server; the driver's
creationTime is read only where there is nothing else (files without a creation).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

from backstay.domain import labels, objects
from backstay.domain.calendar import TIER_LABELS, Tier, local_date, parse_date, period_of
from backstay.domain.errors import DataError
from backstay.domain.objects import Obj, dig
from backstay.domain.records.annotation import parse_record
from backstay.domain.times import parse_time

SLACK: Final = timedelta(seconds=60)
"""Clocks that are no further apart are taken for equal."""
_DAY: Final = timedelta(days=1)
_NOON: Final = time(12)
_LOOK_BACK: Final = 366
"""Days: a week's label has no year, so the newest such week counts."""


def moment_taken(reported: datetime | None, *, requested: datetime, now: datetime) -> datetime:
    """Given when the driver says that it took the snapshot, when that was asked for, and now, when
    it is seen, return its moment: the driver's where that lies between both.
    """
    if reported is not None and requested - SLACK <= reported <= now + SLACK:
        return reported
    return now


def moment_of(obj: Obj, zone: tzinfo = UTC, *, prefix: str = labels.PREFIX) -> datetime | None:
    """Given a snapshot or content, the zone of its policy's dates and the prefix of its tier
    labels, return when it was taken; None if nothing says so. See the module.
    """
    notes = dig(obj, "metadata", "annotations", default={})
    if (written := _time(notes.get(labels.TAKEN_AT))) is not None:
        return written
    made = created(obj)
    slot = _slot(notes.get(labels.RECORD))
    if made is None:
        return slot or _time(dig(obj, "status", "creationTime"))
    found = slot if is_bound_by_hand(obj) else None
    # A person may have put another tool's label where it does not belong; ours are written by us.
    if labels.RECORD not in notes and (prefix == labels.PREFIX or is_bound_by_hand(obj)):
        found = _of_labels(obj, zone, prefix, made)
    return made if found is None else min(found, made)


def created(obj: Obj) -> datetime | None:
    """Given any object, return when the API server stored it; None if it does not say so."""
    return _time(dig(obj, "metadata", "creationTimestamp"))


def is_bound_by_hand(obj: Obj) -> bool:
    """Given a snapshot or content, return whether it was made for a disk that was there before."""
    return bool(
        dig(obj, "spec", "source", "volumeSnapshotContentName")
        or dig(obj, "spec", "source", "snapshotHandle")
    )


def _slot(record: str | None) -> datetime | None:
    """The slot of the run, as its record says it."""
    try:
        return parse_record(record).slot if record is not None else None
    except DataError:
        return None


def _of_labels(obj: Obj, zone: tzinfo, prefix: str, made: datetime) -> datetime | None:
    """The first day that the tier labels name, if none of them names the time of its creation."""
    carried = objects.labels(obj)
    named: dict[Tier, str] = {}
    for tier, key in TIER_LABELS.items():
        value = carried.get(prefix + key.removeprefix(labels.PREFIX))
        if value is None:
            continue
        # What was not bound by hand was taken then; another tool's days may be of another zone.
        slack = 0 if is_bound_by_hand(obj) else 1
        if any(period_of(tier, made - n * _DAY, zone).is_named_by(value) for n in range(slack + 1)):
            return None
        named[tier] = value
    days = (_first_day(tier, value, local_date(made, zone), zone) for tier, value in named.items())
    first = next((day for day in days if day is not None), None)
    if first is None:
        return None
    return datetime.combine(_agreed(first, named, zone), _NOON, zone).astimezone(UTC)


def _agreed(first: date, named: dict[Tier, str], zone: tzinfo) -> date:
    """The first of the days of the finest period that is also of the others (a week has days of
    two months); the first of all where there is none.
    """
    span = (first + n * _DAY for n in range(31))
    return next((day for day in span if _is_of_all(day, named, zone)), first)


def _is_of_all(day: date, named: dict[Tier, str], zone: tzinfo) -> bool:
    noon = datetime.combine(day, _NOON, zone)
    tiers = (tier for tier in named if tier is not Tier.HOURLY)
    return all(period_of(tier, noon, zone).is_named_by(named[tier]) for tier in tiers)


def _first_day(tier: Tier, value: str, made: date, zone: tzinfo) -> date | None:
    """The first day of the newest period before `made` that a label names."""
    match tier:
        case Tier.HOURLY | Tier.DAILY:
            return parse_date(value[:10])
        case Tier.WEEKLY:
            return _first_of_week(value, made, zone)
        case Tier.MONTHLY:
            return parse_date(f"{value}-01")
        case Tier.YEARLY:
            return parse_date(f"{value}-01-01")


def _first_of_week(value: str, made: date, zone: tzinfo) -> date | None:
    monday = made - timedelta(days=made.weekday())
    for _ in range(0, _LOOK_BACK * (5 if "-" in value else 1), 7):
        noon = datetime.combine(monday, _NOON, zone)
        if period_of(Tier.WEEKLY, noon, zone).is_named_by(value):
            return monday
        monday -= timedelta(days=7)
    return None


def _time(text: object) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        return parse_time(text)
    except DataError:
        return None
