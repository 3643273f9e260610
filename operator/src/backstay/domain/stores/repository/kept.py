"""The points of a policy in repositories, as its Backups show them, and as retention judges them.

A Backup is the home of what retention writes: labels and marks are nowhere else. Lost with the
Backup, they cost a day of grace.

Invariants: a series is one source in one repository, known by its ID: another one under the same
name has none of its points; a point that a list has not shown is never judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from backstay.api.backup import Trigger
from backstay.api.common import changed
from backstay.api.point import PointGone, PointResult, PointStatus
from backstay.api.repository_store import StoredStatus
from backstay.api.store import REPOSITORY
from backstay.domain import labels, objects
from backstay.domain.errors import DataError
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention.incarnations import Origin
from backstay.domain.retention.points import Point, Verdict
from backstay.domain.times import parse_time

BY_HAND: Final = (labels.HOLD, labels.DELETE_AFTER)
"""Labels of a Backup that speak of its points in repositories."""
FORGOTTEN: Final = frozenset({PointGone.SWEPT, PointGone.ACCEPTED})


@dataclass(frozen=True, slots=True)
class Shown:
    """A point as a Backup shows it: it was good, and nobody has removed it since."""

    run: Run
    entry: PointStatus

    @property
    def stored(self) -> StoredStatus:
        """What the Backup shows of it as one of a repository."""
        assert self.entry.stored is not None  # noqa: S101 - only stored points are shown so
        return self.entry.stored

    @property
    def artifact(self) -> str:
        """What names it among the points of the policy."""
        return self.entry.artifact or ""

    @property
    def good_since(self) -> datetime | None:
        """Since when it is good; None while its run is not over. A record that was recreated says
        only when the data was taken.
        """
        if self.run.spec.trigger is Trigger.IMPORTED:
            return self.entry.taken_at
        try:
            return parse_time(self.stored.annotations[labels.GOOD_SINCE])
        except (KeyError, DataError):
            return self.run.status.completed_at


@dataclass(frozen=True, slots=True)
class Kept:
    """The points of one source in one repository."""

    source: str
    repository: str
    """The BackupRepository that they were written by."""
    id: str
    """The ID of its repository."""
    shown: Sequence[Shown] = field(default=(), kw_only=True)
    """Those that the last list has shown, or that are younger."""
    missing: Sequence[Shown] = field(default=(), kw_only=True)
    """Those that it has not."""

    @property
    def place(self) -> str:
        """Where they are, for people."""
        return f"{self.source} in repository {self.repository}"


def kept_of(runs: Iterable[Run]) -> list[Kept]:
    """Given the Backups of a policy, return its points in repositories by source and repository."""
    there: dict[tuple[str, str, str], list[Shown]] = {}
    missing: dict[tuple[str, str, str], list[Shown]] = {}
    for run in sorted(runs, key=lambda r: r.name):
        for entry in run.status.points:
            if not is_living(entry) or entry.stored is None:
                continue
            key = entry.source, entry.stored.repository, entry.stored.id
            found = missing if entry.stored.missing else there
            found.setdefault(key, []).append(Shown(run, entry))
    return [
        Kept(*key, shown=tuple(there.get(key, ())), missing=tuple(missing.get(key, ())))
        for key in sorted({*there, *missing})
    ]


def is_living(entry: PointStatus) -> bool:
    """Given a point as a Backup shows it, return whether it is a good one in a repository that
    nobody has removed, nor given up.
    """
    if entry.store != REPOSITORY or entry.result is not PointResult.GOOD:
        return False
    stored = entry.stored
    if stored is None or entry.ref is None or entry.taken_at is None:
        return False
    return not (stored.missing and entry.gone in FORGOTTEN)


def point_of(shown: Shown, now: datetime, *, user: str | None = None) -> Point:
    """Given a point as its Backup shows it, now, and who uses it in words, return it as retention
    judges it. What is in a list is ready.
    """
    entry, stored = shown.entry, shown.stored
    assert entry.taken_at is not None  # noqa: S101 - such are not shown
    return Point(
        namespace=shown.run.namespace,
        name=entry.ref or "",
        uid=stored.record,
        resource_version="",
        claim=entry.source,
        taken=entry.taken_at,
        ready=True,
        labels=carried(shown.run, stored),
        marked_at=stored.annotations.get(labels.MARKED_AT),
        named_by=user,
        sizes=stored.source.dumps,
        forms=stored.source.forms,
        good_since=shown.good_since or now,
        origin=Origin(stored.source.ids, stored.source.continues or "", stored.source.servers),
        released=stored.annotations.get(labels.SWEEP_RELEASED),
    )


def carried(run: Run, stored: StoredStatus) -> dict[str, str]:
    """Given a Backup and a point of it, return the labels that the point goes by: what retention
    has written, and on top of it what a person wrote on the Backup.
    """
    said = objects.labels(run.obj)
    return {**stored.labels, **{key: said[key] for key in BY_HAND if key in said}}


def written(shown: Shown, verdict: Verdict) -> PointStatus:
    """Given a point and the verdict on it, return it with the labels and marks of that verdict."""
    stored = shown.stored
    marked = _merged(stored.labels, verdict.set_labels, verdict.remove_labels)
    notes = _merged(stored.annotations, verdict.set_annotations, verdict.remove_annotations)
    if (marked, notes) == (stored.labels, stored.annotations):
        return shown.entry
    return changed(shown.entry, stored=changed(stored, labels=marked, annotations=notes))


def _merged(
    before: Mapping[str, str], new: Mapping[str, str], removed: Iterable[str]
) -> dict[str, str]:
    gone = set(removed)
    return {key: value for key, value in {**before, **new}.items() if key not in gone}
