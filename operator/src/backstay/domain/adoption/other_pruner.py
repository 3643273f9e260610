"""Is the other tool's pruner still at work? Then nothing of it may be adopted.

backup-ns prunes with two scripts of its image, `/app/retain.sh && /app/mark-and-delete.sh`, in a
CronJob `pruner` (label app=pruner) of namespace backup-ns; nothing says that an installation kept
those names, so whatever looks like it counts. A pruner that is seen in vain costs a person one
look at the condition, one that is overlooked deletes snapshots that a policy keeps.

A pruner that is no CronJob of this cluster is known by its marks: on a calendar snapshot without
a tier label it writes the day of its run as delete-after. So any other date is a person's, and
the date itself is when the mark was written, to the day. managedFields only bound it from above:
they record when the same writer (kubectl, for the pruner and for people) last changed any label, so
alone they would take a hold or a note that was added today for a mark of today. A mark explains
itself when a CronJob that is suspended by now has run on its day or since.

Invariant: suspended means stopped only when no Job of it is active.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Final

from backstay.domain import labels, objects
from backstay.domain.adoption.other_labels import renamed
from backstay.domain.calendar import parse_date
from backstay.domain.errors import DataError
from backstay.domain.objects import Obj, dig
from backstay.domain.times import parse_time

TOOL: Final = "backup-ns"
MARK_MEMORY: Final = timedelta(hours=26)
"""A daily pruner has marked something within it, or has nothing to mark."""
RUN_LENGTH: Final = timedelta(hours=1)
"""activeDeadlineSeconds of its Job: a mark comes at most so long after the Job's start."""
_FAR: Final = timedelta(days=3)
"""More than any zone and MARK_MEMORY together."""

_SCRIPTS: Final = re.compile(
    r"(?<![\w.-])(?:retain|mark-and-delete)\.sh\b"
    r"|\b(?:applyRetentionPolicy|deleteAfterMark|deleteAfterSweep)\b"
)
_TIERS: Final = (labels.DAILY, labels.WEEKLY, labels.MONTHLY)
"""A snapshot with one of them is none that it marks."""
_IMAGE: Final = re.compile(rf"(?:^|/){TOOL}(?:[:@]|$)")


@dataclass(frozen=True, slots=True)
class Pruner:
    """A CronJob that prunes for the other tool."""

    name: str
    """namespace/name"""
    stopped: bool
    last_run: datetime | None


def pruners(cronjobs: Sequence[Obj]) -> list[Pruner]:
    """Given the cluster's CronJobs, return those that prune for backup-ns, stopped or not."""
    return [
        Pruner(
            name=_address(job),
            stopped=bool(dig(job, "spec", "suspend")) and not dig(job, "status", "active"),
            last_run=_last_run(job),
        )
        for job in cronjobs
        if _is_pruner(job)
    ]


def creators(cronjobs: Sequence[Obj], namespace: str) -> list[str]:
    """Given the cluster's CronJobs, return those of the namespace that still make snapshots with
    backup-ns.
    """
    return [
        f"CronJob {_address(job)}"
        for job in cronjobs
        if objects.namespace(job) == namespace
        and not dig(job, "spec", "suspend")
        and not _is_pruner(job)
        and _is_theirs(job)
    ]


def refusal(
    found: Sequence[Pruner],
    snapshots: Sequence[Obj],
    prefix: str,
    now: datetime,
    zone: tzinfo = UTC,
) -> str | None:
    """Given the pruners, the tool's snapshots of a namespace, its prefix, now (aware) and the zone
    of its dates, return why nothing may be adopted, naming the remedy; None if nothing prunes.
    """
    running = sorted(p.name for p in found if not p.stopped)
    if running:
        namespace, _, name = running[0].partition("/")
        names = ", ".join(running[:3]) + (f" and {len(running) - 3} more" if running[3:] else "")
        return (
            f"the other tool's pruner still runs (CronJob {names}) and would delete what the "
            "policy keeps: stop it and wait for its Jobs to end, for example: kubectl patch "
            f'cronjob {name} -n {namespace} -p \'{{"spec":{{"suspend":true}}}}\''
        )
    known = max((p.last_run for p in found if p.last_run is not None), default=None)
    for snapshot in sorted(snapshots, key=objects.name):
        mark = _mark(snapshot, prefix, zone)
        if mark is None or now - mark.latest > MARK_MEMORY:
            continue
        if known is None or mark.earliest > known + RUN_LENGTH:
            at, until = mark.latest, mark.latest + MARK_MEMORY
            key = renamed(labels.DELETE_AFTER, prefix)
            return (
                "a pruner that is no CronJob of this cluster marked snapshot "
                f"{objects.name(snapshot)} at {at:%Y-%m-%d %H:%M} UTC: stop it; the snapshots are "
                f"adopted after {until:%Y-%m-%d %H:%M} UTC if nothing is marked until then. If a "
                "person wrote that date, write another one: kubectl label volumesnapshot "
                f"{objects.name(snapshot)} -n {objects.namespace(snapshot)} {key}=YYYY-MM-DD "
                "--overwrite"
            )
    return None


def _is_pruner(job: Obj) -> bool:
    texts = [
        " ".join(str(word) for word in (*(c.get("command") or ()), *(c.get("args") or ())))
        for c in _containers(job)
    ]
    if any(_SCRIPTS.search(text) for text in texts):
        return True
    template = dig(job, "spec", "jobTemplate", "spec", "template", default={})
    theirs = (
        _is_theirs(job)
        or objects.namespace(job) == TOOL
        or str(dig(template, "spec", "serviceAccountName", default="")).startswith(TOOL)
    )
    names = (objects.name(job), objects.labels(template).get("app", ""))
    return theirs and any("pruner" in name for name in names)


def _is_theirs(job: Obj) -> bool:
    """Whether it runs the tool's image, under whatever name it is mirrored: all is set by BAK_*."""
    return any(
        _IMAGE.search(str(c.get("image", "")))
        or any(str(e.get("name", "")).startswith("BAK_") for e in c.get("env") or ())
        for c in _containers(job)
    )


def _containers(job: Obj) -> Iterator[Obj]:
    pod = dig(job, "spec", "jobTemplate", "spec", "template", "spec", default={})
    yield from pod.get("initContainers") or ()
    yield from pod.get("containers") or ()


def _address(job: Obj) -> str:
    return f"{objects.namespace(job)}/{objects.name(job)}"


def _last_run(job: Obj) -> datetime | None:
    times = (dig(job, "status", k) for k in ("lastScheduleTime", "lastSuccessfulTime"))
    return max((t for t in map(_time, times) if t is not None), default=None)


@dataclass(frozen=True, slots=True)
class _Mark:
    """When a pruner wrote a mark, as far as that can be known. In UTC."""

    earliest: datetime
    latest: datetime


def _mark(snapshot: Obj, prefix: str, zone: tzinfo) -> _Mark | None:
    """The mark of a pruner on a snapshot; None if it has none, or its date is a person's."""
    carried = objects.labels(snapshot)
    day = parse_date(carried.get(renamed(labels.DELETE_AFTER, prefix), ""))
    written = _last_write(snapshot, renamed(labels.DELETE_AFTER, prefix))
    calendar = carried.get(renamed(labels.RETAIN, prefix)) == labels.Retain.DAILY_WEEKLY_MONTHLY
    tiered = any(renamed(key, prefix) in carried for key in _TIERS)
    if day is None or written is None or not calendar or tiered:
        return None
    if abs(day - written.date()) > _FAR:
        return None  # Not of a pruner's run, or of one that is long over.
    begin = datetime.combine(day, time(), zone).astimezone(UTC)
    if begin > written:
        return None  # A day that was still to come.
    end = datetime.combine(day, time.max, zone).astimezone(UTC)
    return _Mark(begin, min(written, end))


def _last_write(snapshot: Obj, label: str) -> datetime | None:
    """When the last writer of a label, other than who made the snapshot, last wrote anything."""
    times = [
        _time(entry.get("time"))
        for entry in dig(snapshot, "metadata", "managedFields", default=[])
        if f"f:{label}" in dig(entry, "fieldsV1", "f:metadata", "f:labels", default={})
        and dig(entry, "fieldsV1", "f:spec") is None
    ]
    return max((t for t in times if t is not None), default=None)


def _time(text: object) -> datetime | None:
    try:
        return parse_time(str(text)) if text else None
    except DataError:
        return None
