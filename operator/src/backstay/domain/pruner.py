"""Is the other tool's pruner still at work? Then nothing of it may be adopted.

backup-ns prunes with two scripts of its image, `/app/retain.sh && /app/mark-and-delete.sh`, in a
CronJob `pruner` (label app=pruner) of namespace backup-ns; nothing says that an installation kept
those names, so whatever looks like it counts. A pruner that is seen in vain costs a person one
look at the condition, one that is overlooked deletes snapshots that a policy keeps.

A pruner that is no CronJob of this cluster is known by its marks: it writes delete-after onto a
calendar snapshot after that was made, which managedFields tell with the time. A mark explains
itself when a CronJob that is suspended by now has run since then.

Invariant: suspended means stopped only when no Job of it is active.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from backstay.domain import labels, objects
from backstay.domain.adoption import renamed
from backstay.domain.errors import DataError
from backstay.domain.objects import Obj, dig
from backstay.domain.times import parse_time

TOOL: Final = "backup-ns"
MARK_MEMORY: Final = timedelta(hours=26)
"""A daily pruner has marked something within it, or has nothing to mark."""
RUN_LENGTH: Final = timedelta(hours=1)
"""activeDeadlineSeconds of its Job: a mark comes at most so long after the Job's start."""

_SCRIPTS: Final = re.compile(
    r"(?<![\w.-])(?:retain|mark-and-delete)\.sh\b"
    r"|\b(?:applyRetentionPolicy|deleteAfterMark|deleteAfterSweep)\b"
)
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
    found: Sequence[Pruner], snapshots: Sequence[Obj], prefix: str, now: datetime
) -> str | None:
    """Given the pruners, the tool's snapshots of a namespace, its prefix and now (aware), return
    why nothing may be adopted, naming the remedy; None if nothing prunes.
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
        at = _marked_later(snapshot, prefix)
        if at is None or now - at > MARK_MEMORY:
            continue
        if known is None or at > known + RUN_LENGTH:
            until = at + MARK_MEMORY
            return (
                f"a pruner that is no CronJob of this cluster marked snapshot "
                f"{objects.name(snapshot)} at {at:%Y-%m-%d %H:%M} UTC: stop it; the snapshots are "
                f"adopted after {until:%Y-%m-%d %H:%M} UTC if nothing is marked until then"
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


def _marked_later(snapshot: Obj, prefix: str) -> datetime | None:
    """When delete-after was written onto a calendar snapshot by another write than its creation."""
    carried = objects.labels(snapshot)
    if carried.get(renamed(labels.RETAIN, prefix)) != labels.Retain.DAILY_WEEKLY_MONTHLY:
        return None
    key = f"f:{renamed(labels.DELETE_AFTER, prefix)}"
    times = [
        _time(entry.get("time"))
        for entry in dig(snapshot, "metadata", "managedFields", default=[])
        if key in dig(entry, "fieldsV1", "f:metadata", "f:labels", default={})
        and dig(entry, "fieldsV1", "f:spec") is None
    ]
    return max((t for t in times if t is not None), default=None)


def _time(text: object) -> datetime | None:
    try:
        return parse_time(str(text)) if text else None
    except DataError:
        return None
